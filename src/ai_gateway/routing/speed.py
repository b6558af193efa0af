"""How fast a provider's model is: learnt from its answers, quick to notice that it turned slow.

A peak-EWMA (as in Finagle): a worse sample counts at once, better ones bring the figure down slowly;
and it fades while nobody asks, so that what was slow is tried again.
"""

from math import exp

_TAU = 5.0
"""Seconds in which a figure gives way to what came after it."""
_START_TOKENS = 50
"""A whole answer's start takes about as long as so many of its tokens; without it short answers would
look slow for each token."""
_KEPT = 128
_LEAST_FOR_TAIL = 20


class PeakEwma:
    __slots__ = ("_at", "_value", "known")

    def __init__(self) -> None:
        self._value = 0.0
        self._at = 0.0
        self.known = False

    def observe(self, sample: float, now: float) -> None:
        faded = self._value * exp((self._at - now) / _TAU) if self.known else 0.0
        if sample >= self._value or not self.known:
            self._value = sample
        else:
            # As fading makes room, the sample fills it.
            self._value = faded + sample * (1 - exp((self._at - now) / _TAU))
        self._at = now
        self.known = True

    def at(self, now: float) -> float:
        return self._value * exp((self._at - now) / _TAU)


class Speed:
    """Of one provider's model. Seconds, by the path's clock."""

    __slots__ = ("_first", "_next", "_per_token", "_samples", "_tail", "_whole", "quickest")

    def __init__(self) -> None:
        self._first = PeakEwma()
        self._per_token = PeakEwma()
        self._whole = PeakEwma()
        self._samples: list[float] = []
        self._next = 0
        self._tail: float | None = None
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
        if self._tail is None:
            ordered = sorted(self._samples)
            self._tail = ordered[len(ordered) * 95 // 100]
        return self._tail

    def _keep(self, seconds: float) -> None:
        self.quickest = min(seconds, self.quickest * 1.02) if self.quickest else seconds
        if len(self._samples) < _KEPT:
            self._samples.append(seconds)
        else:
            self._samples[self._next] = seconds
            self._next = (self._next + 1) % _KEPT
        if self._next % 8 == 0:
            self._tail = None
