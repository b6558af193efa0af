"""How many calls a provider's model is given at once: as many as it carries without turning slow.

Additive increase, multiplicative decrease (Chiu and Jain, 1989), by how long answers take for their
tokens beside the best of what was seen. While calls fill the limit and the pace is good, it grows by a
tenth, at least by 1, with each round of answers. A round whose median is slower than `tolerance` times
the best, or a call that is throttled, turned away (503, 529) or timed out, lowers it by a fifth, once for all the calls that were under way by then.
Where it has come down to `min` and answers are still slow, the slowness is not of its making: what is seen
there is the new best (Envoy measures its minimum likewise, at a low limit).
"""

import asyncio
from collections.abc import Sequence

from ai_gateway.model.upstream import Concurrency

_FIRST = 20
_LEAST_SAMPLES = 20
_MOST_SAMPLES = 100
_GROWTH = 0.1
_CUT = 0.8
_FILLED = 0.75
_START_TOKENS = 50
"""A whole answer's start takes about as long as so many of its tokens, as in speed.py."""


class Limiter:
    """Of one provider's model in this process. `enter` before a call, `leave` after it."""

    __slots__ = ("_best", "_cut_at", "_peak", "_samples", "busy", "full", "limit", "promised", "settings", "waiting")  # fmt: skip

    def __init__(self, settings: Concurrency) -> None:
        self.settings = settings
        self.limit = float(min(settings.max, max(settings.min, _FIRST)))
        self.busy = 0
        self.promised = 0
        """Places given to calls that waited, and have not taken them yet."""
        self.full = 0
        """How often a call found no place."""
        self._peak = 0
        self._best = 0.0
        self._cut_at = 0.0
        self._samples: list[float] = []
        self.waiting: dict[asyncio.Future[Limiter], None] = {}
        """In the order they came."""

    def enter(self, *, waited: bool = False) -> bool:
        """Whether there is a place, which is then taken. Who waited goes before who comes."""
        if (self.waiting and not waited) or self.busy + self.promised >= int(self.limit):
            self.full += 1
            return False
        self.busy += 1
        if self.busy > self._peak:
            self._peak = self.busy
        return True

    def leave(self) -> None:
        self.busy -= 1
        self.wake()

    def answered(self, started: float, seconds: float, tokens: int, now: float) -> None:
        """A call that began at `started` was answered whole."""
        if started < self._cut_at:
            # It was slow, or quick, under another limit.
            return
        samples = self._samples
        samples.append(seconds / (tokens + _START_TOKENS))
        if len(samples) >= min(_MOST_SAMPLES, max(_LEAST_SAMPLES, int(self.limit))):
            self._judge(now)

    def overloaded(self, started: float, now: float) -> None:
        """A call that began at `started` was throttled, or got no answer in time."""
        if started >= self._cut_at:
            self._cut(now)

    def wake(self) -> None:
        """Gives free places to those who wait."""
        while self.waiting and self.busy + self.promised < int(self.limit):
            first = next(iter(self.waiting))
            del self.waiting[first]
            if not first.done():
                self.promised += 1
                first.set_result(self)

    def _judge(self, now: float) -> None:
        ordered = sorted(self._samples)
        median = ordered[len(ordered) // 2]
        settings = self.settings
        if self._best == 0.0 or median < self._best or int(self.limit) <= settings.min:
            self._best = median
        if median > self._best * settings.tolerance:
            self._cut(now)
            return
        if self._peak >= int(self.limit) * _FILLED:
            self.limit = min(settings.max, self.limit + max(1.0, self.limit * _GROWTH))
        self._samples.clear()
        self._peak = self.busy

    def _cut(self, now: float) -> None:
        self.limit = max(float(self.settings.min), self.limit * _CUT)
        self._cut_at = now
        self._samples.clear()
        self._peak = self.busy


async def place_at(limiters: Sequence[Limiter], seconds: float) -> Limiter | None:
    """Waits in turn until one of them has a place: it must be entered before anything is awaited. None
    where none came free."""
    free: asyncio.Future[Limiter] = asyncio.get_running_loop().create_future()
    for limiter in limiters:
        limiter.waiting[free] = None
    for limiter in limiters:
        # Its calls may have ended since it was asked: nobody would leave, to give the place on.
        limiter.wake()
    taken = False
    try:
        async with asyncio.timeout(seconds):
            found = await free
            taken = True
            return found
    except TimeoutError:
        return None
    finally:
        for limiter in limiters:
            limiter.waiting.pop(free, None)
        if free.done() and not free.cancelled():
            given = free.result()
            given.promised -= 1
            if not taken:
                given.wake()
