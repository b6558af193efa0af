"""Redis operations of one loop tick, gathered into one pipeline.

redis-py makes, secures and authenticates the connections (TLS, ACL, Sentinel, Cluster); an operation of
its own costs about 50 us of CPU, most of it per operation and not per command. So operations wait for
the end of the tick, or for the pipeline before them, and go together: the busier, the cheaper.
"""

import asyncio
from collections.abc import Callable, Sequence
from hashlib import sha1
from time import monotonic
from typing import Any

from msgspec import Struct
from redis.asyncio import ConnectionPool
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import NoScriptError, RedisError

from .store import StateLost

_LANES = 2
"""Pipelines under way at once: while one is answered the next is gathered."""
_LONGEST = 128
"""Operations of one pipeline: few enough for a sound Redis to answer well within the time-out."""
_CONNECT_SECONDS = 3.0
_IDLE = 1.0
"""Seconds after which a connection is looked at before it is used again."""
_LAG = 0.01
"""Seconds by which a timer may be late before it is the process that is slow, and not Redis."""

Command = tuple[bytes, ...]


class Script(Struct, frozen=True):
    text: bytes
    digest: bytes

    def command(self, keys: Sequence[bytes], payload: bytes) -> Command:
        return (b"EVALSHA", self.digest, b"%d" % len(keys), *keys, payload)


def script(text: bytes) -> Script:
    return Script(text, sha1(text, usedforsecurity=False).hexdigest().encode())


class Operation:
    __slots__ = ("command", "failed", "future", "script", "unheard")

    def __init__(
        self,
        command: Command,
        script: Script | None,
        future: "asyncio.Future[Any] | None",
        failed: Callable[[], None] | None,
        unheard: Callable[[Any], None] | None = None,
    ) -> None:
        self.command = command
        self.script = script
        self.future = future
        self.failed = failed
        self.unheard = unheard

    def give(self, reply: Any) -> None:
        if self.future is None:
            return
        if not self.future.done():
            self.future.set_result(reply)
        elif self.unheard is not None:
            self.unheard(reply)

    def fail(self, reason: str) -> None:
        if self.failed is not None:
            self.failed()
        if self.future is not None and not self.future.done():
            self.future.set_exception(StateLost(reason))


class Lane:
    """One connection that carries one pipeline at a time."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._connection: Any = None
        self._used = 0.0

    async def open(self) -> None:
        """A connection that is sound as far as can be seen from here. Raises RedisError, OSError."""
        connection = self._connection
        if connection is not None and (not connection.is_connected or await connection.can_read()):
            # Closed while idle, or with words on it that nobody asked for.
            await self.drop()
        if self._connection is None:
            self._connection = await self._pool.get_connection()

    async def exchange(self, operations: Sequence[Operation]) -> list[Any]:
        """Replies in order; a reply may be a RedisError. Raises RedisError, OSError."""
        now = monotonic()
        if now - self._used > _IDLE:
            await self.open()
        self._used = now
        connection = self._connection
        await connection.send_packed_command(
            b"".join([packed(o.command) for o in operations]), check_health=False
        )
        replies: list[Any] = []
        for _ in operations:
            try:
                replies.append(await connection.read_response(disable_decoding=True))
            except RedisError as error:
                if not connection.is_connected:
                    raise
                replies.append(error)
        return replies

    async def drop(self) -> None:
        """The next exchange begins on a new connection: no late reply is taken for another's."""
        connection, self._connection = self._connection, None
        self._used = 0.0
        if connection is not None:
            await connection.disconnect(nowait=True)
            await self._pool.release(connection)


class ClusterLane:
    """The same over redis-py's cluster pipeline, which sends each node its part and follows moves."""

    def __init__(self, cluster: "RedisCluster") -> None:
        self._cluster: Any = cluster

    async def open(self) -> None:
        await self._cluster.initialize()

    async def exchange(self, operations: Sequence[Operation]) -> list[Any]:
        pipeline = self._cluster.pipeline()
        for operation in operations:
            name, *rest = operation.command
            pipeline.execute_command(name.decode(), *rest)
        return list(await pipeline.execute(raise_on_error=False))

    async def drop(self) -> None:
        await self._cluster.aclose()


class Gathering:
    def __init__(
        self,
        lanes: Sequence[Lane | ClusterLane],
        *,
        timeout: float,
        lost: Callable[[str], None],
    ) -> None:
        """`lost(reason)` is told of every pipeline that failed as a whole, and of refusals to write."""
        self._idle = list(lanes)
        self._timeout = timeout
        self._lost = lost
        self._waiting: list[Operation] = []
        self._scheduled = False
        self._flights: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Connects, in the time that connecting may take. Raises StateLost."""
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                for lane in list(self._idle):
                    await lane.open()
        except (RedisError, OSError, TimeoutError) as error:
            raise StateLost(_reason(error)) from error

    def ask(
        self,
        command: Command,
        script: Script | None = None,
        unheard: Callable[[Any], None] | None = None,
    ) -> "asyncio.Future[Any]":
        """The reply. Raises StateLost. `unheard` gets it where whoever waits has left by then."""
        future = asyncio.get_running_loop().create_future()
        self._add(Operation(command, script, future, None, unheard))
        return future

    def tell(
        self,
        command: Command,
        script: Script | None = None,
        failed: Callable[[], None] | None = None,
    ) -> None:
        """Nobody waits for it; `failed` is called where it may not have been done."""
        self._add(Operation(command, script, None, failed))

    def fail_waiting(self, reason: str) -> None:
        waiting, self._waiting = self._waiting, []
        for operation in waiting:
            operation.fail(reason)

    async def close(self) -> None:
        """Sends what still waits, in the time that a pipeline has."""
        while self._flights or self._waiting:
            self._depart()
            if not self._flights:
                break
            await asyncio.wait(self._flights, timeout=2 * self._timeout)
            for flight in self._flights:
                flight.cancel()
        for lane in self._idle:
            await lane.drop()

    def _add(self, operation: Operation) -> None:
        self._waiting.append(operation)
        if not self._scheduled and self._idle:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._depart)

    def _depart(self) -> None:
        self._scheduled = False
        if not self._waiting or not self._idle:
            return
        operations, self._waiting = self._waiting[:_LONGEST], self._waiting[_LONGEST:]
        lane = self._idle.pop()
        flight = asyncio.get_running_loop().create_task(self._fly(lane, operations))
        self._flights.add(flight)
        flight.add_done_callback(self._flights.discard)
        if self._waiting and self._idle:
            self._depart()

    async def _fly(self, lane: Lane | ClusterLane, operations: list[Operation]) -> None:
        try:
            async with _Patience(self._timeout):
                replies = await lane.exchange(operations)
        except (Exception, asyncio.CancelledError) as error:
            # Whatever it was, nobody may be left waiting for a reply.
            reason = _reason(error)
            self._lost(reason)
            for operation in operations:
                operation.fail(reason)
            await lane.drop()
            if isinstance(error, asyncio.CancelledError):
                raise
        else:
            for operation, reply in zip(operations, replies, strict=True):
                if isinstance(reply, Exception):
                    self._failed(operation, reply)
                else:
                    operation.give(reply)
        finally:
            self._idle.append(lane)
            if self._waiting:
                self._depart()

    def _failed(self, operation: Operation, error: Exception) -> None:
        if isinstance(error, NoScriptError) and operation.script is not None:
            # Redis has forgotten it (a restart, SCRIPT FLUSH, a new master): the text itself goes along.
            _, _, *rest = operation.command
            operation.command = (b"EVAL", operation.script.text, *rest)
            self._add(operation)
            return
        reason = _reason(error)
        self._lost(reason)
        operation.fail(reason)


class _Patience:
    """A time-out that does not blame Redis for a loop that stood still: it waits once more, shortly."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[Any] | None = None
        self._over = False
        self._again = False

    async def __aenter__(self) -> None:
        loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._due = loop.time() + self._seconds
        self._timer = loop.call_at(self._due, self._ring)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._over and kind is asyncio.CancelledError and self._task is not None:
            self._task.uncancel()
            raise TimeoutError(f"no answer within {self._seconds * 1000:.0f} ms")

    def _ring(self) -> None:
        loop = asyncio.get_running_loop()
        if not self._again and loop.time() - self._due > _LAG:
            self._again = True
            self._due = loop.time() + self._seconds / 2
            self._timer = loop.call_at(self._due, self._ring)
            return
        self._over = True
        if self._task is not None:
            self._task.cancel()


def packed(command: Command) -> bytes:
    """In Redis's wire format."""
    parts = [b"*%d\r\n" % len(command)]
    parts += [b"$%d\r\n%b\r\n" % (len(part), part) for part in command]
    return b"".join(parts)


def lanes(pool: ConnectionPool) -> list[Lane]:
    return [Lane(pool) for _ in range(_LANES)]


def cluster_lanes(cluster: "RedisCluster") -> list[ClusterLane]:
    return [ClusterLane(cluster) for _ in range(_LANES)]


def _reason(error: BaseException) -> str:
    """For operators: what kind of failure, and Redis's own first words; never a key or a value."""
    if isinstance(error, TimeoutError):
        return f"time-out: {error}" if str(error) else "time-out"
    if isinstance(error, OSError) or type(error).__name__ == "ConnectionError":
        return "connection lost"
    words = " ".join(str(error).split()[:6])
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
