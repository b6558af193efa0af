"""What an experiment has shown, and what users said, as they are told."""

from msgspec import Struct

from .statistics import Difference


class VariantReport(Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str
    share: float
    calls: int = 0
    errors: int = 0
    error_rate: float = 0.0
    p50_seconds: float | None = None
    p95_seconds: float | None = None
    p99_seconds: float | None = None
    mean_seconds: float | None = None
    cost_usd: float = 0.0
    mean_cost_usd: float | None = None
    scores: int = 0
    mean_score: float | None = None
    labels: dict[str, int] = {}
    """Feedback by its label."""
    chance_best_score: float | None = None
    chance_lowest_errors: float | None = None
    chance_lowest_cost: float | None = None
    error_difference: Difference | None = None
    cost_difference: Difference | None = None
    score_difference: Difference | None = None
    """To the first variant; None while there is too little to say."""


class ExperimentReport(Struct, frozen=True, kw_only=True):
    route: str
    experiment: str
    running: bool
    stopped_because: str | None
    alpha: float
    variants: list[VariantReport]


class Feedback(Struct, frozen=True, kw_only=True):
    call: str
    """A call's id (`x-gateway-call-id`) or a request's (`x-request-id`)."""
    score: float | None = None
    label: str | None = None
    comment: str | None = None
