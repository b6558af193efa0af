"""One HTTP/1.1 connection to a provider: bytes by asyncio, parsing by httptools (llhttp).

It carries one call at a time. Whoever stops listening before the answer is complete has the
connection closed: nothing else makes a provider stop working (RFC 9112, section 9.6).
"""

import asyncio
from math import inf
from typing import Any, cast

import httptools

from .faults import UpstreamFault

_HIGH_WATER = 64 * 1024
"""Bytes of a stream that wait for a slow caller before the provider is made to wait too."""
_MOST_HEAD_BYTES = 256 * 1024

_RESET = "the connection to the provider broke"


class Connection(asyncio.Protocol):
    """Created by the pool. `begin` sends a request; then either `whole` or `head` and `read`."""

    __slots__ = (
        "_body",
        "_closed",
        "_fault",
        "_has_length",
        "_head_bytes",
        "_headers_done",
        "_limit",
        "_loop",
        "_parser",
        "_paused",
        "_size",
        "_streaming",
        "_transport",
        "_unwritable",
        "_waiter",
        "answered",
        "complete",
        "deadline",
        "headers",
        "patience",
        "reusable",
        "reused",
        "seen",
        "status",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser: Any = httptools.HttpResponseParser(self)
        self._closed = False
        self._unwritable: asyncio.Future[None] | None = None
        """Set while the provider takes a request's body slower than it comes."""
        self.reused = False
        self._expect(inf, inf, streaming=False, limit=0)

    def _expect(self, deadline: float, patience: float, *, streaming: bool, limit: int) -> None:
        """Nothing of an answer is here yet."""
        self.deadline = deadline
        """When the call in hand must be over, by the loop's clock."""
        self.patience = patience
        """Seconds of the provider's silence after which the call is given up."""
        self._streaming = streaming
        self._limit = limit
        self._body: list[bytes] = []
        self._size = 0
        self._paused = False
        self._fault: UpstreamFault | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._head_bytes = 0
        self._headers_done = False
        self._has_length = False
        self.answered = False
        """Any byte of an answer has come."""
        self.complete = False
        self.reusable = False
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.seen = self._loop.time()
        """When the provider was last heard of."""

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def answering(self) -> bool:
        """The head of an answer is here."""
        return self._headers_done

    def overdue(self, now: float) -> bool:
        """The call in hand has taken too long. While the provider waits for a slow caller, its
        silence is not its own."""
        return now >= self.deadline or (not self._paused and now >= self.seen + self.patience)

    def begin(
        self,
        head: bytes,
        body: bytes,
        *,
        deadline: float,
        streaming: bool = False,
        patience: float = inf,
        limit: int = 0,
    ) -> None:
        """Sends a request. `limit` bounds the answer's body where it is taken whole."""
        self._expect(deadline, patience, streaming=streaming, limit=limit)
        assert self._transport is not None
        self._transport.writelines((head, body))

    async def send(self, data: bytes) -> None:
        """More of the request's body. Waits while the provider takes it slowly. Raises UpstreamFault."""
        if self._fault is not None:
            raise _anew(self._fault)
        if self._closed or self._transport is None:
            raise UpstreamFault("reset", _RESET)
        self.seen = self._loop.time()
        self._transport.write(data)
        if self._unwritable is not None:
            await asyncio.shield(self._unwritable)

    async def whole(self) -> bytes:
        """The entire body. Raises UpstreamFault."""
        while not self.complete:
            await self._wait()
        return self._body[0] if len(self._body) == 1 else b"".join(self._body)

    async def head(self) -> None:
        """Until status and headers are here. Raises UpstreamFault."""
        while not self._headers_done:
            await self._wait()

    async def read(self) -> bytes:
        """All that has come since; `b""` at the end. Raises UpstreamFault."""
        while not self._body:
            if self.complete:
                return b""
            await self._wait()
        data = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        self._size = 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return data

    def fail(self, fault: UpstreamFault) -> None:
        """Ends the call in hand, and the connection."""
        if not self.complete and self._fault is None:
            self._fault = fault
        self._abort()
        self._wake()

    def close(self) -> None:
        self._abort()
        self.forget()

    def forget(self) -> None:
        """Lets go of the answer. A kept connection, or an error's traceback, may outlive it by far."""
        self._body = []
        self._size = 0

    def _abort(self) -> None:
        self._closed = True
        if self._transport is not None:
            self._transport.abort()

    async def _wait(self) -> None:
        if self._fault is not None:
            raise _anew(self._fault)
        if self._closed:
            raise UpstreamFault("reset", _RESET)
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
        if self._fault is not None:
            raise _anew(self._fault)

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.seen = self._loop.time()
        if self.complete:
            # Nobody asked: a provider that talks out of turn is not spoken to again.
            self._abort()
            return
        self.answered = True
        if not self._headers_done:
            self._head_bytes += len(data)
            if self._head_bytes > _MOST_HEAD_BYTES + len(data):
                self.fail(UpstreamFault("protocol", "the provider's answer has too large a head"))
                return
        if self._parser is None:
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.fail(UpstreamFault("protocol", "the provider's answer is not HTTP"))
            return
        if self._streaming or self.complete or self._fault is not None:
            self._wake()

    def pause_writing(self) -> None:
        self._unwritable = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._unwritable is not None:
            if not self._unwritable.done():
                self._unwritable.set_result(None)
            self._unwritable = None

    def eof_received(self) -> None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        # The parser holds its protocol: apart, both are freed at once.
        self._parser = None
        self.resume_writing()
        if self._headers_done and not self._has_length and exc is None and not self.complete:
            # A body without a length ends with its connection (RFC 9112, section 6.3).
            self.complete = True
        elif not self.complete and self._fault is None:
            self._fault = UpstreamFault("reset", _RESET)
        self._wake()

    # httptools' callbacks

    def on_message_begin(self) -> None:
        if self.complete:
            # More than was asked for, in one piece with the answer: whatever follows could be taken
            # for the next call's answer, so there is no next call on this connection.
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.complete or self._headers_done:
            # Trailers are no headers, and there may be any number of them.
            return
        name = name.lower()
        if name in (b"content-length", b"transfer-encoding"):
            self._has_length = True
        self.headers[name] = value

    def on_headers_complete(self) -> None:
        if self.complete:
            return
        status = self._parser.get_status_code()
        if status < 200:
            # An interim answer: the real one follows.
            self.headers = {}
            return
        self.status = status
        self._headers_done = True

    def on_body(self, body: bytes) -> None:
        if self.complete:
            return
        self._body.append(body)
        self._size += len(body)
        if self._streaming:
            if self._size > _HIGH_WATER and not self._paused and self._transport is not None:
                self._paused = True
                self._transport.pause_reading()
        elif self._size > self._limit:
            self.forget()
            self.fail(
                UpstreamFault(
                    "too_large",
                    f"the provider's answer is larger than the gateway takes ({self._limit} bytes)",
                )
            )

    def on_message_complete(self) -> None:
        if self._headers_done and not self.complete:
            self.complete = True
            self.reusable = self._has_length and self._parser.should_keep_alive()


def _anew(fault: UpstreamFault) -> UpstreamFault:
    """What was raised would hold the frames it came through, and they the connection that keeps it."""
    return UpstreamFault(fault.cause, fault.message)
