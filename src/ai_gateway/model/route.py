"""A route: a name that callers use, and what stands behind it."""

from typing import Literal

from msgspec import Struct

from .policy import AuditLevel, CachePolicy

Strategy = Literal["priority"]


class RouteTarget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of a route's targets: a model by any name the catalogue resolves (`openai/gpt-4o`)."""

    model: str
    weight: float = 1.0


class Route(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As written in `gateway.yaml` under `routes.<name>`, or made by the admin API."""

    targets: tuple[RouteTarget, ...]
    strategy: Strategy = "priority"
    cache: CachePolicy = CachePolicy()
    audit: AuditLevel | None = None
    guardrails: tuple[str, ...] = ()
