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
    """One of a route's targets: a model by any name the catalogue resolves (`openai/gpt-4o`), or a
    pattern (`openai/*`), which stands for every chat model that fits."""

    model: str
    weight: Annotated[float, Meta(gt=0, le=1e6)] = 1.0
    tags: tuple[str, ...] = ()
    """What a caller or key may insist on, such as `eu` or `no-training`."""


class Hedge(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A second target is asked beside the first where that takes long; the quicker one answers."""

    after: Annotated[float, Meta(gt=0, le=600)] | None = None
    """Seconds; None: the 95th percentile of the first target's own time of late."""


class Shadow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Copies of answered calls go to another model, off the path, to be compared in the ledger."""

    model: str
    share: Annotated[float, Meta(ge=0, le=1)] = 0.01


class Parameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """In place of the caller's own; None leaves them."""

    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None


class Variant(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
    share: Annotated[float, Meta(gt=0, le=1e6)] = 1.0
    """Beside the other variants'."""
    model: str | None = None
    """Asked first, with the route's own targets behind it; None: the route as it is."""
    parameters: Parameters = Parameters()
    system: Annotated[str, Meta(max_length=100_000)] | None = None
    """In place of the caller's system prompt."""


class ExperimentGuard(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stops an experiment by itself: a variant that does surely worse than the first."""

    error_increase: Annotated[float, Meta(ge=0, le=1)] | None = 0.02
    """Of the share of failed calls; None: errors stop nothing."""
    cost_increase: Annotated[float, Meta(ge=0)] | None = 1.0
    """Of the mean cost of a call: 1.0 is twice the first variant's; None: cost stops nothing."""
    least_calls: Annotated[int, Meta(ge=10)] = 50
    """Of both variants, before anything is judged."""


class Experiment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
    variants: Annotated[tuple[Variant, ...], Meta(min_length=2, max_length=10)]
    """The first is what the others are measured against."""
    running: bool = True
    guard: ExperimentGuard | None = ExperimentGuard()


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
    hedge: Hedge | None = None
    shadow: Shadow | None = None
    experiment: Experiment | None = None
    cache: CachePolicy = CachePolicy()
    audit: AuditLevel | None = None
    guardrails: tuple[str, ...] = ()


def is_pattern(model: str) -> bool:
    return "*" in model or "?" in model


def is_wild(route: Route) -> bool:
    return any(is_pattern(target.model) for target in route.targets)
