"""How an upstream is treated beside what its routes say, as written in `gateway.yaml` under `upstreams.<name>`."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated

from msgspec import Meta, Struct


class Concurrency(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Calls under way at one model are limited to as many as it carries without turning slow."""

    min: Annotated[int, Meta(ge=1, le=10_000)] = 4
    max: Annotated[int, Meta(ge=1, le=100_000)] = 200
    tolerance: Annotated[float, Meta(ge=1.2, le=10)] = 2.0
    """How many times as slow as at its best it may become before the limit is lowered."""
    wait: Annotated[float, Meta(ge=0, le=60)] = 1.0
    """Seconds that a call waits for a place where no other target has one."""

    def __post_init__(self) -> None:
        if self.min > self.max:
            raise ValueError("min must not be above max")


class Upstream(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    concurrency: Concurrency | None = None
    """None: no limit."""


def upstream_of(upstreams: Mapping[str, Upstream], provider: str, model: str) -> Upstream | None:
    """The first whose name fits: a provider's, or a pattern of `provider/model`."""
    for name, upstream in upstreams.items():
        pattern = name if "/" in name else f"{name}/*"
        if fnmatchcase(f"{provider}/{model}", pattern):
            return upstream
    return None
