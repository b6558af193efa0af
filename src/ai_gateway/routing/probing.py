"""When a provider's model is due for a probe, and what its probes have shown."""

from random import Random
from typing import Literal

from msgspec import Struct

from ai_gateway.model.upstream import Probe

from .breaker import Breaker

ProbeOutcome = Literal["good", "bad", "unknown"]
"""`unknown`: it says nothing of the model's health, such as a refused credential or a 404."""
_JITTER = 0.2


class ProbeResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    at: float
    """Unix seconds, at its end."""
    outcome: ProbeOutcome
    seconds: float
    detail: str | None = None
    """What failed."""


class Probing:
    __slots__ = ("_due", "_row", "last", "settings", "under_way")

    def __init__(self, settings: Probe) -> None:
        self.settings = settings
        self.under_way = False
        self.last: ProbeResult | None = None
        self._due: float | None = None
        self._row = 0
        """So many good ones in a row, or, below 0, failed ones."""

    def is_due(self, wanted: bool, now: float, random: Random) -> bool:
        """`wanted`: the model is one to be probed for now."""
        if not wanted:
            self._due, self._row = None, 0
            return False
        if self._due is None:
            self._due = now + random.uniform(0, self.settings.interval)
        return not self.under_way and now >= self._due

    def told(self, result: ProbeResult, breaker: Breaker, now: float, random: Random) -> None:
        """Acts on a probe that has ended."""
        settings = self.settings
        self.last = result
        self._due = now + settings.interval * random.uniform(1 - _JITTER, 1 + _JITTER)
        match result.outcome:
            case "good":
                self._row = max(self._row, 0) + 1
            case "bad":
                self._row = min(self._row, 0) - 1
            case "unknown":
                self._row = 0
        if self._row >= settings.rise:
            breaker.revive()
        elif -self._row >= settings.fall:
            breaker.condemn(now)
