"""A route: a name that callers use, and what stands behind it."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from .policy import AuditLevel, CachePolicy

Strategy = Literal[
    "priority",  # in the order written; the later ones are for when the earlier ones fail
    "weighted",  # by chance, in proportion to the targets' weights
    "round-robin",  # in turn
    "least-busy",  # the fewest calls under way, for its weight
    "fastest",  # the least time expected, of two drawn by chance
    "cheapest",  # the least money expected for this very call
    "balanced",  # money and time together, errors punished
    "sticky",  # the same user or conversation, the same target
]


class RouteTarget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of a route's targets: a model by any name the catalogue resolves (`openai/gpt-4o`)."""

    model: str
    weight: Annotated[float, Meta(gt=0, le=1e6)] = 1.0
    tags: tuple[str, ...] = ()
    """What a caller or key may insist on, such as `eu` or `no-training`."""


class Route(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As written in `gateway.yaml` under `routes.<name>`, or made by the admin API."""

    targets: Annotated[tuple[RouteTarget, ...], Meta(max_length=64)]
    strategy: Strategy = "priority"
    retries: Annotated[int, Meta(ge=0, le=10)] = 2
    """How often the same target is asked again, over all of a call's targets."""
    attempt_timeout: Annotated[float, Meta(gt=0, le=86400)] | None = None
    """Seconds one target is given for a whole answer, or for a stream's first byte."""
    cost_weight: Annotated[float, Meta(ge=0, le=1)] = 0.5
    """`balanced`: 1 looks at money alone, 0 at time alone."""
    sticky_by: Literal["user", "conversation"] = "user"
    fallback_on: tuple[Literal["context_window", "content_filter"], ...] = ("context_window",)
    """Refusals by one target that send a call on to the next, beside failures."""
    cache: CachePolicy = CachePolicy()
    audit: AuditLevel | None = None
    guardrails: tuple[str, ...] = ()
