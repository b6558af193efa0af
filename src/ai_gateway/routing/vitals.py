"""How a provider's model is doing: calls under way, speed, errors, breaker. One for all routes."""

from collections import deque
from collections.abc import Callable, Mapping
from math import exp
from time import time

from ai_gateway.model.upstream import Upstream, upstream_of

from .breaker import Breaker, BreakerChange, State, Why
from .concurrency import Limiter
from .keys import Key, Rest
from .probing import Probing
from .speed import Speed

_ERROR_STEP = 0.05
_ERROR_TAU = 30.0
_MOST_KEPT = 4096
_CHANGES_KEPT = 32
PASS_THROUGH = "pass-through"
"""Stands for the model in the breaker that a provider has for all that passes through to it."""

OnBreakerChange = Callable[[str, str, Breaker, Why], None]
"""`on_change(provider, model, breaker, why)`"""


class Vitals:
    __slots__ = ("_error_at", "_errors", "breaker", "changes", "in_flight", "limiter", "model", "output_tokens", "probing", "provider", "rests", "speed")  # fmt: skip

    def __init__(
        self, provider: str, model: str, breaker: Breaker, upstream: Upstream | None = None
    ) -> None:
        concurrency = None if upstream is None else upstream.concurrency
        probe = None if upstream is None else upstream.probe
        self.limiter = None if concurrency is None else Limiter(concurrency)
        """None: as many calls at once as come."""
        self.probing = None if probe is None else Probing(probe)
        self.provider = provider
        self.model = model
        self.breaker = breaker
        self.changes: deque[BreakerChange] = deque(maxlen=_CHANGES_KEPT)
        """The breaker's last ones, the latest at the end."""
        self.speed = Speed()
        self.rests: dict[int, Rest] = {}
        """By the credential's number."""
        self.in_flight = 0
        self.output_tokens = 0.0
        """A slow average of an answer's tokens; 0 while unknown."""
        self._errors = 0.0
        self._error_at = 0.0

    def rest(self, key: Key) -> Rest:
        found = self.rests.get(key.number)
        if found is None:
            found = self.rests[key.number] = Rest(key)
        found.key = key
        return found

    def answered(self, seconds: float, tokens: int, now: float) -> None:
        """A whole answer of so many tokens."""
        self.note(now, failed=False)
        self.speed.answered(seconds, tokens, now)
        self.told_tokens(tokens)

    def note(self, now: float, *, failed: bool) -> None:
        """Into the error rate."""
        rate = self.error_rate(now)
        self._errors = rate + ((1.0 if failed else 0.0) - rate) * _ERROR_STEP
        self._error_at = now

    @property
    def told_at(self) -> float:
        """When a call last told how it is doing; 0: never."""
        return self._error_at

    def error_rate(self, now: float) -> float:
        """From 0 to 1 over about the last 20 calls; fades while nobody asks."""
        if self._errors == 0.0:
            return 0.0
        return self._errors * exp((self._error_at - now) / _ERROR_TAU)

    def told_tokens(self, output: int) -> None:
        if output:
            self.output_tokens += (
                (output - self.output_tokens) * 0.05 if self.output_tokens else output
            )


class VitalsBook:
    """Of every provider's model that was asked for. Callers choose model names, so it is bounded:
    those that are idle and well are forgotten first."""

    def __init__(
        self,
        on_change: OnBreakerChange | None = None,
        upstreams: Mapping[str, Upstream] | None = None,
        *,
        wall: Callable[[], float] = time,
    ) -> None:
        """`wall` tells Unix seconds, for what people read."""
        self._on_change = on_change
        self._upstreams = upstreams or {}
        self._wall = wall
        self._kept: dict[tuple[str, str], Vitals] = {}

    def of(self, provider: str, model: str) -> Vitals:
        """The same one each time, while it is kept."""
        key = (provider, model)
        found = self._kept.get(key)
        if found is None:
            if len(self._kept) >= _MOST_KEPT:
                self._forget()
            found = self._kept[key] = self._new(provider, model)
        return found

    def all(self) -> list[Vitals]:
        return list(self._kept.values())

    def find(self, provider: str, model: str) -> Vitals | None:
        return self._kept.get((provider, model))

    def _new(self, provider: str, model: str) -> Vitals:
        def changed(breaker: Breaker, before: State, why: Why) -> None:
            made.changes.append(
                BreakerChange(
                    at=round(self._wall(), 3), before=before, after=breaker.state, cause=why
                )
            )
            if self._on_change is not None:
                self._on_change(provider, model, breaker, why)

        upstream = None
        if model != PASS_THROUGH:
            upstream = upstream_of(self._upstreams, provider, model)
        made = Vitals(provider, model, Breaker(changed), upstream)
        return made

    def _forget(self) -> None:
        dull = [
            key
            for key, vitals in self._kept.items()
            if vitals.in_flight == 0
            and vitals.breaker.state == "closed"
            and vitals.breaker.forced is None
        ]
        for key in dull or list(self._kept)[: _MOST_KEPT // 2]:
            del self._kept[key]
