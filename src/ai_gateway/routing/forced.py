"""Operators' words on breakers hold in every process: they are told over the shared state, and kept in a
stream there for processes that start later.

The later word on a breaker wins, by the time it bears. One that could not be told, the shared state being
away, is told again until it is read back. What the shared state forgets, the processes that know it keep.
"""

import asyncio
from collections.abc import Callable
from time import time
from typing import Literal

from msgspec import DecodeError, Struct
from msgspec.json import Decoder, encode

from ai_gateway.background import end
from ai_gateway.state.store import State

from .vitals import VitalsBook

FORCED = "breakers-forced"
"""The channel, and the stream."""
_MOST_KEPT = 1000
_LOOK_SECONDS = 3.0
_STEP = 1e-3

Forced = Literal["open", "closed"] | None


class Word(Struct, frozen=True, kw_only=True, array_like=True):
    provider: str
    model: str
    forced: Forced
    at: float
    """Unix seconds."""


_read = Decoder(Word).decode


class ForcedBreakers:
    def __init__(
        self, vitals: VitalsBook, state: State, *, clock: Callable[[], float] = time
    ) -> None:
        self._vitals = vitals
        self._state = state
        self._clock = clock
        self._words: dict[tuple[str, str], Word] = {}
        self._untold: set[Word] = set()
        self._seen = b"0"
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Learns what was said before, and goes on listening."""
        self._state.subscribe(FORCED, self._hear)
        await self.look()
        self._task = asyncio.get_running_loop().create_task(self._follow())

    async def close(self) -> None:
        await end(self._task)

    def force(self, provider: str, model: str, forced: Forced) -> None:
        """Here at once; in the other processes as soon as they hear of it."""
        known = self._words.get((provider, model))
        # Other machines' clocks may be ahead of this one's.
        at = self._clock() if known is None else max(self._clock(), known.at + _STEP)
        word = Word(provider=provider, model=model, forced=forced, at=at)
        self._take(word)
        self._untold = {w for w in self._untold if (w.provider, w.model) != (provider, model)}
        self._untold.add(word)
        self._tell(word)

    async def look(self) -> None:
        """Reads what came to the stream since, and tells again what did not come there."""
        while found := await self._state.read_after(FORCED, self._seen, _MOST_KEPT):
            for id, message in found:
                self._seen = id
                self._hear(message)
                self._untold = {w for w in self._untold if encode(w) != message}
        for word in self._untold:
            self._tell(word)

    def _tell(self, word: Word) -> None:
        message = encode(word)
        self._state.append(FORCED, message, _MOST_KEPT)
        self._state.publish(FORCED, message)

    def _hear(self, message: bytes) -> None:
        try:
            self._take(_read(message))
        except DecodeError:
            # A newer version's.
            return

    def _take(self, word: Word) -> None:
        known = self._words.get((word.provider, word.model))
        if known is not None and known.at >= word.at:
            return
        if len(self._words) >= _MOST_KEPT:
            self._forget()
        self._words[word.provider, word.model] = word
        breaker = self._vitals.of(word.provider, word.model).breaker
        if breaker.forced != word.forced:
            breaker.force(word.forced)

    def _forget(self) -> None:
        """Breakers that were let go of need no memory but against a word that comes late."""
        free = [key for key, word in self._words.items() if word.forced is None]
        for key in free or list(self._words)[:1]:
            del self._words[key]

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            await self.look()
