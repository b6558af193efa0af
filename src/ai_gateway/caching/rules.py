"""What the cache does for one call: the key's policy before the route's before the gateway's."""

from typing import Literal

from msgspec import Struct

from ai_gateway.model.policy import CachePolicy

_NOTHING_SAID = CachePolicy()
_MOST_KEPT = 1024


class Rules(Struct, frozen=True, kw_only=True):
    """`CachePolicy` with everything said."""

    mode: Literal["off", "exact", "semantic"] = "exact"
    ttl: float = 300.0
    scope: Literal["tenant", "user", "shared"] = "tenant"
    max_temperature: float | None = None
    keep_truncated: bool = False
    join: bool = True
    limited: bool = True
    threshold: float = 0.9
    guard: bool = True
    semantic_for: tuple[str, ...] = ()


class RuleBook:
    """Merges policies, and remembers what it merged."""

    def __init__(self, general: Rules) -> None:
        self.general = general
        self._merged: dict[tuple[CachePolicy, CachePolicy], Rules] = {}

    def rules(self, key: CachePolicy, route: CachePolicy) -> Rules:
        if key == _NOTHING_SAID and route == _NOTHING_SAID:
            return self.general
        merged = self._merged.get((key, route))
        if merged is None:
            if len(self._merged) >= _MOST_KEPT:
                self._merged.clear()
            merged = self._merged[key, route] = merge(key, route, self.general)
        return merged


def merge(key: CachePolicy, route: CachePolicy, general: Rules) -> Rules:
    said: dict[str, object] = {}
    for name in Rules.__struct_fields__:
        for policy in (key, route):
            value = getattr(policy, name)
            if value is not None:
                said[name] = value
                break
        else:
            said[name] = getattr(general, name)
    return Rules(**said)  # type: ignore[arg-type]
