"""Keeping a replica's index in step with the others': it follows the stream they all write to.

A new replica reads the stream from its oldest entry, so its index is whole within seconds. While the
shared state is away nothing is read and nothing is lost but what others could not write meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from ai_gateway.background import end

from .messages import Message, from_bytes, to_bytes

STREAM = "gw:semantic-cache"
_PAUSE = 0.25
"""Seconds between two looks."""
_AT_ONCE = 200
"""Messages read in one go: a few milliseconds of the event loop."""


class SharedStream(Protocol):
    """Of the room `state`; none of it raises."""

    def append(self, stream: str, value: bytes, most: int) -> None: ...
    async def read_after(self, stream: str, id: bytes, count: int) -> list[tuple[bytes, bytes]]: ...


class Following:
    def __init__(self, state: SharedStream, hear: Callable[[Message], None], most: int) -> None:
        self._state = state
        self._hear = hear
        self._most = most
        self._last = b"0"
        self._task: asyncio.Task[None] | None = None

    def tell(self, message: Message) -> None:
        self._state.append(STREAM, to_bytes(message), self._most)

    def start(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._task = asyncio.get_running_loop().create_task(self._follow(sleep))

    async def _follow(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        while True:
            if not await self.catch_up():
                await sleep(_PAUSE)

    async def catch_up(self) -> int:
        """How many messages there were."""
        found = await self._state.read_after(STREAM, self._last, _AT_ONCE)
        for id, data in found:
            self._last = id
            message = from_bytes(data)
            if message is not None:
                self._hear(message)
        return len(found)

    async def close(self) -> None:
        await end(self._task)
