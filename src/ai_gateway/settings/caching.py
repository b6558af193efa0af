"""What the cache's policies ask for, and the rest of the settings do not give them."""

from collections.abc import Iterator, Mapping
from typing import Any

from ai_gateway.model.cache import CacheSettings
from ai_gateway.model.policy import CachePolicy


def meaning_without_embedder(sections: Mapping[str, Any], ttl: float) -> Iterator[str]:
    """A warning where `mode: semantic` is asked for and cannot be had. Sections that were refused are None."""
    cache: CacheSettings | None = sections["cache"]
    if cache is None or (cache.semantic is not None and ttl > 0):
        return
    lacking = "the cache is off (CACHE_TTL=0)" if ttl <= 0 else "`cache.semantic` names no embedder"
    for where, policy in _policies(sections, cache):
        if policy.mode == "semantic":
            instead = "nothing is cached" if ttl <= 0 else "only exact repeats are answered"
            yield f"{where}.mode is semantic, but {lacking}: {instead}."


def _policies(
    sections: Mapping[str, Any], cache: CacheSettings
) -> Iterator[tuple[str, CachePolicy]]:
    yield "cache", cache
    for name, route in sections["routes"].items():
        if route is not None:
            yield f"routes.{name}.cache", route.cache
    for kind in ("keys", "tenants"):
        for name, owner in sections[kind].items():
            if owner is not None:
                yield f"{kind}.{name}.policy.cache", owner.policy.cache
