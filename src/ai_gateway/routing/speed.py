"""How fast a provider's model is: learnt from its answers, quick to notice that it turned slow.

A peak-EWMA (as in Finagle): a worse sample counts at once, better ones bring the figure down slowly;
and it fades while nobody asks, so that what was slow is tried again.
"""

from collections import deque
from math import exp

_TAU = 5.0
"""Seconds in which a figure gives way to what came after it."""
_START_TOKENS = 50
"""A whole answer's start takes about as long as so many of its tokens; without it short answers would
look slow for each token."""
_KEPT = 128
_LEAST_FOR_TAIL = 20
_TAIL_HOLDS = 8
"""Answers for which a tail that was worked out is taken as it is."""


class PeakEwma:
    __slots__ = ("_at", "_value", "known")

    def __init__(self) -> None:
        self._value = 0.0
        self._at = 0.0
        self.known = False

    def observe(self, sample: float, now: float) -> None:
        if sample < self._value:
            # As fading makes room, the sample fills it.
            sample += (self._value - sample) * exp((self._at - now) / _TAU)
        self._value = sample
        self._at = now
        self.known = True

    def at(self, now: float) -> float:
        return self._value * exp((self._at - now) / _TAU)


class Speed:
    """Of one provider's model. Seconds, by the path's clock."""

    __slots__ = ("_first", "_heard", "_per_token", "_samples", "_tail", "_tail_due", "_whole", "quickest")  # fmt: skip

    def __init__(self) -> None:
        self._first = PeakEwma()
        self._per_token = PeakEwma()
        self._whole = PeakEwma()
        self._samples: deque[float] = deque(maxlen=_KEPT)
        self._heard = 0
        self._tail = 0.0
        self._tail_due = 0
        """Of how many answers heard it is worked out anew."""
        self.quickest = 0.0
        """The least time until an answer (or first token) of late; 0 while unknown."""

    def answered(self, seconds: float, tokens: int, now: float) -> None:
        """A whole answer of so many tokens."""
        self._whole.observe(seconds / (tokens + _START_TOKENS), now)
        self._keep(seconds)

    def began(self, seconds: float, now: float) -> None:
        """A stream's first token."""
        self._first.observe(seconds, now)
        self._keep(seconds)

    def streamed(self, seconds: float, tokens: int, now: float) -> None:
        """The rest of a stream."""
        if tokens > 0:
            self._per_token.observe(seconds / tokens, now)

    def expected(self, tokens: float, now: float, *, stream: bool) -> float:
        """Seconds an answer of so many tokens should take; 0 where nothing is known."""
        if (stream and self._first.known) or not self._whole.known:
            return self._first.at(now) + tokens * self._per_token.at(now)
        return self._whole.at(now) * (tokens + _START_TOKENS)

    def tail(self) -> float | None:
        """The 95th percentile of the time until an answer (or a stream's first token) over the last
        128; None before there are 20."""
        if len(self._samples) < _LEAST_FOR_TAIL:
            return None
        if self._heard >= self._tail_due:
            ordered = sorted(self._samples)
            self._tail = ordered[len(ordered) * 95 // 100]
            self._tail_due = self._heard + _TAIL_HOLDS
        return self._tail

    def _keep(self, seconds: float) -> None:
        quickest = self.quickest * 1.02
        self.quickest = quickest if 0.0 < quickest < seconds else seconds
        self._samples.append(seconds)
        self._heard += 1
