"""Asking providers. Redirects are never followed: one must not carry a credential to another host.

Nothing is decompressed (no `accept-encoding` is sent, so answers come as they are), and no proxy
variables are read: a provider's base URL is where its calls go.
"""

import asyncio
from collections.abc import Iterable, Sequence
from math import inf
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from msgspec import Struct, structs

from .connection import Connection
from .faults import UpstreamFault
from .pool import Origin, Pool


class Timeouts(Struct, frozen=True, kw_only=True):
    """In seconds."""

    connect: float = 5.0
    first_byte: float = 60.0
    """Until a stream's head."""
    idle: float = 60.0
    """Between two pieces of a stream."""
    total: float = 600.0


class Address(Struct, frozen=True):
    """Where requests of one kind go, and all of their head that stays the same."""

    origin: Origin
    head: bytes
    url: str


def address(url: str, headers: Iterable[tuple[str, str]], method: str = "POST") -> Address:
    """For requests to an http or https URL. Raises ValueError for what could split a head."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    host = parts.hostname or ""
    port = parts.port or (443 if secure else 80)
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    lines = [f"{method} {target} HTTP/1.1", f"host: {parts.netloc}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if any("\r" in line or "\n" in line or "\0" in line for line in lines):
        raise ValueError("a header or address holds a line break")
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n"
    return Address(Origin(host, port, secure), head, url)


class UpstreamRequest(Struct, frozen=True, kw_only=True):
    address: Address
    body: bytes
    headers: Sequence[tuple[bytes, bytes]] = ()
    """Of this request alone; values as they came through an HTTP parser."""
    timeout: float | None = None
    """A shorter total time for this one, in seconds."""
    first_byte: float | None = None
    """A shorter time until a stream's head."""

    def head(self) -> bytes:
        head = self.address.head
        for header in self.headers:
            head += b"%b: %b\r\n" % header
        return b"%bcontent-length: %d\r\n\r\n" % (head, len(self.body))


class UpstreamAnswer(Struct, frozen=True, kw_only=True):
    """A whole answer."""

    status: int
    body: bytes
    headers: dict[bytes, bytes]

    def header(self, name: bytes) -> str | None:
        """By its name in lower case; None where absent."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")


class UpstreamStream:
    """An answer under way: opened, entered, read in pieces. Leaving before the end closes the
    connection, and with it the provider's work."""

    def __init__(
        self, pool: Pool, timeouts: Timeouts, request: UpstreamRequest, total: float
    ) -> None:
        self._pool = pool
        self._timeouts = timeouts
        self._request = request
        self._total = total
        self._connection: Connection | None = None
        self.status = 0

    async def open(self) -> None:
        """Asks, and waits for status and headers. Raises UpstreamFault."""
        deadline = asyncio.get_running_loop().time() + self._total
        request = self._request
        patience = self._timeouts.first_byte
        if request.first_byte is not None:
            patience = min(patience, request.first_byte)
        fresh = False
        while True:
            connection = await self._pool.acquire(
                request.address.origin, fresh=fresh, deadline=deadline
            )
            self._connection = connection
            connection.begin(
                request.head(),
                request.body,
                deadline=deadline,
                streaming=True,
                patience=patience,
            )
            try:
                await connection.head()
                break
            except UpstreamFault as fault:
                self._let_go()
                if not _was_stale(connection, fault):
                    raise
                fresh = True
            except BaseException:
                self._let_go()
                raise
        self.status = connection.status
        connection.patience = self._timeouts.idle

    async def __aenter__(self) -> Self:
        """Entered once open; whatever happens inside, the connection is let go of at the end."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._let_go()

    def close(self) -> None:
        """Leaves it, wherever it is."""
        self._let_go()

    @property
    def headers(self) -> dict[bytes, bytes]:
        assert self._connection is not None
        return self._connection.headers

    def header(self, name: bytes) -> str | None:
        """By its name in lower case; None where absent."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    async def read(self) -> bytes:
        """The next piece, of whatever size came; `b""` at the end. Raises UpstreamFault."""
        assert self._connection is not None
        return await self._connection.read()

    async def read_all(self, limit: int) -> bytes:
        """The rest as one, at most `limit` bytes. Raises UpstreamFault."""
        pieces: list[bytes] = []
        size = 0
        while piece := await self.read():
            size += len(piece)
            if size > limit:
                raise UpstreamFault("too_large", "the provider's answer is too large")
            pieces.append(piece)
        return b"".join(pieces)

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.release(connection, self._request.address.origin)


class ForwardedRequest:
    """A request whose body passes through in pieces, and so does its answer. Entered, written,
    answered, read; leaving before the end closes the connection."""

    def __init__(
        self, pool: Pool, timeouts: Timeouts, address: Address, length: int | None
    ) -> None:
        self._pool = pool
        self._timeouts = timeouts
        self._address = address
        self._length = length
        self._unsent = length
        """Of the body; None while a chunked one has not ended."""
        self._connection: Connection | None = None

    async def __aenter__(self) -> Self:
        """Connects and sends the head. Raises UpstreamFault."""
        # A connection kept from before may be gone, and a body cannot be sent twice: take a new one.
        fresh = self._length != 0
        deadline = asyncio.get_running_loop().time() + self._timeouts.total
        connection = await self._pool.acquire(self._address.origin, fresh=fresh, deadline=deadline)
        self._connection = connection
        framing = (
            b"transfer-encoding: chunked\r\n\r\n"
            if self._length is None
            else b"content-length: %d\r\n\r\n" % self._length
        )
        connection.begin(
            self._address.head + framing,
            b"",
            deadline=deadline,
            streaming=True,
            patience=self._timeouts.total,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            if self._unsent != 0:
                # Answered before it had all of the body: it would take the next request for the rest.
                connection.close()
            self._pool.release(connection, self._address.origin)

    @property
    def _open(self) -> Connection:
        assert self._connection is not None
        return self._connection

    async def write(self, piece: bytes) -> bool:
        """More of the body; false once the provider has answered and wants no more of it."""
        if not piece:
            return True
        if self._open.answering:
            return False
        if self._unsent is None:
            piece = b"%x\r\n%b\r\n" % (len(piece), piece)
        else:
            self._unsent -= len(piece)
        await self._open.send(piece)
        return True

    async def answer(self) -> int:
        """The body is over: waits for the status. Raises UpstreamFault."""
        if self._length is None and not self._open.answering:
            await self._open.send(b"0\r\n\r\n")
            self._unsent = 0
        await self._open.head()
        self._open.patience = self._timeouts.idle
        return self._open.status

    @property
    def headers(self) -> dict[bytes, bytes]:
        return self._open.headers

    async def read(self) -> bytes:
        """The next piece; `b""` at the end. Raises UpstreamFault."""
        return await self._open.read()


class UpstreamClient:
    """Asks, with the connections of one pool. One per process."""

    def __init__(self, timeouts: Timeouts, *, max_answer_bytes: int) -> None:
        self._timeouts = timeouts
        self._max_answer_bytes = max_answer_bytes
        self._pool = Pool(timeouts.connect)

    @property
    def pool(self) -> Pool:
        return self._pool

    async def fetch(self, request: UpstreamRequest) -> UpstreamAnswer:
        """A whole answer, however long the provider thinks, up to the total time.

        Raises UpstreamFault.
        """
        origin = request.address.origin
        deadline = asyncio.get_running_loop().time() + self._total(request)
        fresh = False
        while True:
            connection = await self._pool.acquire(origin, fresh=fresh, deadline=deadline)
            try:
                connection.begin(
                    request.head(), request.body, deadline=deadline, limit=self._max_answer_bytes
                )
                body = await connection.whole()
                return UpstreamAnswer(
                    status=connection.status, body=body, headers=connection.headers
                )
            except UpstreamFault as fault:
                if not _was_stale(connection, fault):
                    raise
                fresh = True
            finally:
                self._pool.release(connection, origin)

    def stream(self, request: UpstreamRequest) -> UpstreamStream:
        """To be opened, then entered with `async with`, then read."""
        return UpstreamStream(self._pool, self._timeouts, request, self._total(request))

    def forward(
        self, address: Address, *, length: int | None, endless: bool = False
    ) -> "ForwardedRequest":
        """To be sent in pieces; `length` is its body's, None where that is not known beforehand.

        `endless`: its answer may take, and be silent, for ever.
        """
        timeouts = self._timeouts
        if endless:
            timeouts = structs.replace(timeouts, idle=inf, total=inf)
        return ForwardedRequest(self._pool, timeouts, address, length)

    def close(self) -> None:
        self._pool.close()

    def _total(self, request: UpstreamRequest) -> float:
        total = self._timeouts.total
        return total if request.timeout is None else min(total, request.timeout)


def _was_stale(connection: Connection, fault: UpstreamFault) -> bool:
    """A kept connection that the provider closed just then: it never saw the request, so a new one
    may carry it (RFC 9112, section 9.3.1)."""
    return connection.reused and not connection.answered and fault.cause == "reset"
