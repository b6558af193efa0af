"""What other processes say: one subscription connection, kept up, whatever happens to it."""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any

from redis.exceptions import RedisError

from ai_gateway.background import end

from .store import Hearer

_LOOK_SECONDS = 0.25
_PING_SECONDS = 5.0
_PAUSE_SECONDS = 0.5


class Hearing:
    def __init__(self, clients: Callable[[], Any]) -> None:
        """`clients()` gives a redis-py client for a connection anew."""
        self._clients = clients
        self._hearers: dict[str, list[Hearer]] = {}
        self._gaps: list[Callable[[], None]] = []
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    def subscribe(
        self, channel: str, hearer: Hearer, gap: Callable[[], None] | None = None
    ) -> None:
        self._hearers.setdefault(channel, []).append(hearer)
        if gap is not None:
            self._gaps.append(gap)
        self._changed.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def deliver(self, channel: str, message: bytes) -> None:
        for hearer in self._hearers.get(channel, ()):
            hearer(message)

    async def close(self) -> None:
        await end(self._task)

    async def _run(self) -> None:
        first = True
        while True:
            client = self._clients()
            try:
                await self._listen(client, missed=not first)
            except (RedisError, OSError, TimeoutError):
                first = False
            finally:
                await client.aclose()
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _listen(self, client: Any, *, missed: bool) -> None:
        async with client.pubsub() as pubsub:
            heard = monotonic()
            while True:
                self._changed.clear()
                await pubsub.subscribe(*self._hearers)
                if missed:
                    missed = False
                    for gap in self._gaps:
                        gap()
                while not self._changed.is_set():
                    message = await pubsub.get_message(timeout=_LOOK_SECONDS)
                    if message is not None:
                        heard = monotonic()
                        if message["type"] == "message":
                            self.deliver(message["channel"].decode(), message["data"])
                    elif monotonic() - heard > 2 * _PING_SECONDS:
                        raise TimeoutError
                    elif monotonic() - heard > _PING_SECONDS:
                        await pubsub.ping()
