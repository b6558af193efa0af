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


class Probe(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Calls of the gateway's own by which it sees how a model is doing that callers do not ask for now: while
    its breaker is open, and, where `idle` says so, while nobody calls it."""

    interval: Annotated[float, Meta(ge=0.1, le=3600)] = 10.0
    """Seconds between two, give or take a fifth."""
    timeout: Annotated[float, Meta(gt=0, le=600)] = 10.0
    """Seconds for a whole answer."""
    rise: Annotated[int, Meta(ge=1, le=100)] = 2
    """Good ones in a row that close an open breaker."""
    fall: Annotated[int, Meta(ge=1, le=100)] = 3
    """Failed ones in a row that open the breaker of a model that nobody calls."""
    idle: Annotated[float, Meta(ge=1, le=86400)] | None = None
    """Seconds without a call after which a model that a route names is probed too; None: never."""


class Upstream(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    concurrency: Concurrency | None = None
    """None: no limit."""
    probe: Probe | None = None
    """None: only callers' calls tell how it is doing."""


def upstream_of(upstreams: Mapping[str, Upstream], provider: str, model: str) -> Upstream | None:
    """The first whose name fits: a provider's, or a pattern of `provider/model`."""
    for name, upstream in upstreams.items():
        pattern = name if "/" in name else f"{name}/*"
        if fnmatchcase(f"{provider}/{model}", pattern):
            return upstream
    return None
