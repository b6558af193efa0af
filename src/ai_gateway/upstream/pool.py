"""Connections to providers, kept for the next call."""

import asyncio
import errno
import ssl

from msgspec import Struct

from .connection import Connection
from .faults import UpstreamFault
from .names import Names

_IDLE_SECONDS = 60.0
_SWEEP_SECONDS = 15.0
_MOST_IDLE = 1024
_WATCH_SECONDS = 0.05
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""What keeps a connection from being made is this machine's own want."""
_TOO_LATE = "the provider did not answer in time"


class Origin(Struct, frozen=True):
    """Where a provider listens."""

    host: str
    port: int
    secure: bool


class Pool:
    """Takes the connection used last first, so that those no longer needed grow old and are closed."""

    def __init__(self, connect_timeout: float) -> None:
        self._connect_timeout = connect_timeout
        self._names = Names()
        self._idle: dict[Origin, list[Connection]] = {}
        self._tls: ssl.SSLContext | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._busy: set[Connection] = set()
        self._watchman: asyncio.TimerHandle | None = None

    @property
    def busy(self) -> int:
        """Connections that carry a call."""
        return len(self._busy)

    @property
    def idle(self) -> int:
        """Connections kept for the next call."""
        return sum(map(len, self._idle.values()))

    async def acquire(self, origin: Origin, *, fresh: bool, deadline: float) -> Connection:
        """A connection for one call, to be released; `deadline` is by the loop's clock.

        Raises UpstreamFault(connect | exhausted | timeout).
        """
        connection = None if fresh else self._take_idle(origin)
        if connection is None:
            connection = await self._connect(origin, deadline)
        self._busy.add(connection)
        if self._watchman is None:
            loop = asyncio.get_running_loop()
            self._watchman = loop.call_later(_WATCH_SECONDS, self._watch)
        return connection

    def _watch(self) -> None:
        """Ends what is overdue. One look around for all calls costs less than a timer for each."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in [c for c in self._busy if c.overdue(now)]:
            connection.fail(UpstreamFault("timeout", _TOO_LATE))
        self._watchman = loop.call_later(_WATCH_SECONDS, self._watch) if self._busy else None

    def _take_idle(self, origin: Origin) -> Connection | None:
        """An open connection that nobody uses, if there is one."""
        kept = self._idle.get(origin)
        while kept:
            connection = kept.pop()
            if not connection.closed:
                connection.reused = True
                return connection
        return None

    async def _connect(self, origin: Origin, deadline: float) -> Connection:
        """A new connection. Raises UpstreamFault(connect | exhausted | timeout)."""
        loop = asyncio.get_running_loop()
        patience = loop.time() + self._connect_timeout
        try:
            async with asyncio.timeout_at(min(patience, deadline)):
                return await self._reach(origin)
        except TimeoutError:
            if deadline < patience:
                raise UpstreamFault("timeout", _TOO_LATE) from None
            raise UpstreamFault("connect", "the provider could not be reached in time") from None
        except ssl.SSLError:
            raise UpstreamFault(
                "connect", "the provider's TLS certificate or handshake was not acceptable"
            ) from None
        except OSError as error:
            if error.errno in _OURS:
                raise UpstreamFault("exhausted", "the gateway has no more open files") from None
            raise UpstreamFault("connect", "the provider could not be reached") from None

    async def _reach(self, origin: Origin) -> Connection:
        """By the first of its addresses that takes it. Raises OSError."""
        loop = asyncio.get_running_loop()
        addresses = await self._names.addresses(origin.host)
        for number, address in enumerate(addresses, 1):
            try:
                _, connection = await loop.create_connection(
                    lambda: Connection(loop),
                    address,
                    origin.port,
                    ssl=self._context() if origin.secure else None,
                    server_hostname=origin.host if origin.secure else None,
                )
            except ssl.SSLError:
                raise
            except OSError as error:
                if number == len(addresses) or error.errno in _OURS:
                    raise
            else:
                return connection
        raise OSError("the name has no address")

    def release(self, connection: Connection, origin: Origin) -> None:
        """Gives a connection back: kept if its call ended well, else closed."""
        self._busy.discard(connection)
        if not (connection.complete and connection.reusable) or connection.closed:
            connection.close()
            return
        kept = self._idle.get(origin)
        if kept is None:
            kept = self._idle[origin] = []
        if len(kept) >= _MOST_IDLE:
            connection.close()
            return
        connection.forget()
        kept.append(connection)
        if self._sweeper is None:
            loop = asyncio.get_running_loop()
            self._sweeper = loop.call_later(_SWEEP_SECONDS, self._sweep)

    def close(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        if self._watchman is not None:
            self._watchman.cancel()
            self._watchman = None
        for kept in self._idle.values():
            for connection in kept:
                connection.close()
        self._idle.clear()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        oldest = loop.time() - _IDLE_SECONDS
        for origin, kept in list(self._idle.items()):
            young = [c for c in kept if not c.closed and c.seen > oldest]
            for connection in kept:
                if not connection.closed and connection.seen <= oldest:
                    connection.close()
            if young:
                self._idle[origin] = young
            else:
                del self._idle[origin]
        self._sweeper = loop.call_later(_SWEEP_SECONDS, self._sweep) if self._idle else None

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls
