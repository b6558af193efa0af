"""What was used and spent, as `/v1/usage` and the admin API tell it."""

from datetime import datetime
from decimal import Decimal
from typing import Literal

from msgspec import Struct

Scope = Literal["all", "tenant", "key", "user"]
Grouping = Literal["hour", "day", "provider", "model", "tenant", "key", "user"]


class UsageSums(Struct, frozen=True, kw_only=True):
    requests: int = 0
    errors: int = 0
    """Of the requests: those that a provider failed or refused, or whose caller left."""
    cached: int = 0
    """Of the requests: those answered without asking a provider."""
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    """Of the input: read from a provider's prompt cache."""
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    """Of the output."""
    audio_tokens: int = 0
    cost_usd: Decimal = Decimal(0)
    saved_usd: Decimal = Decimal(0)
    """What the cached answers would have cost."""
    seconds: float = 0.0
    """The calls' time, all added up."""


class UsageGroup(UsageSums, frozen=True, kw_only=True, omit_defaults=True):
    """The sums of one group, with what it is grouped by. Sums that are 0 are left out."""

    start: datetime | None = None
    """The hour's or day's beginning, UTC."""
    provider: str | None = None
    model: str | None = None
    tenant: str | None = None
    key: str | None = None
    user: str | None = None


class LatencyStep(Struct, frozen=True, kw_only=True):
    """Milliseconds; None where no call is known."""

    start: datetime | None
    """None: over all steps."""
    calls: int
    """In the sample."""
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    first_token_p50_ms: float | None
    first_token_p95_ms: float | None


class LatencyReport(Struct, frozen=True, kw_only=True):
    """Of the last calls of each step, as many as the sample holds."""

    sample: int
    """Most calls of a step that are looked at."""
    total: LatencyStep
    steps: list[LatencyStep]


class UsageReport(Struct, frozen=True, kw_only=True):
    scope: Scope
    tenant: str | None
    key: str | None = None
    user: str | None = None
    start: datetime
    """From here on, to the hour."""
    end: datetime
    """Up to here, not included."""
    total: UsageSums
    groups: list[UsageGroup]


class BudgetStanding(Struct, frozen=True, kw_only=True):
    """A budget that the caller is held to, and what is left of it."""

    per: Literal["user", "key", "tenant"]
    name: str
    """Whose: the user, the key's id or the tenant."""
    unit: Literal["usd", "tokens"]
    period: str
    """`day`, `week`, `month` or `total`."""
    hard: bool
    """At its limit calls are refused; a soft one only warns."""
    limit: Decimal
    used: Decimal
    """Spent, and set aside for calls in flight."""
    remaining: Decimal
    resets_at: datetime | None
    """None: never."""


class CallerReport(UsageReport, frozen=True, kw_only=True):
    budgets: list[BudgetStanding]


class CallRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One call, as the ledger keeps it."""

    id: str
    at: datetime
    tenant: str
    user: str
    request_id: str
    operation: str
    endpoint: str
    requested_model: str
    provider: str
    model: str
    status: int
    attempts: int
    input_tokens: int
    output_tokens: int
    key: str | None = None
    route: str | None = None
    error: str | None = None
    cache: str | None = None
    stream: bool = False
    usage_known: bool = True
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    audio_tokens: int = 0
    cost_usd: Decimal | None = None
    saved_usd: Decimal | None = None
    price_version: str | None = None
    duration_ms: float = 0.0
    upstream_ms: float = 0.0
    first_token_ms: float | None = None
    tags: tuple[str, ...] = ()


class CallPage(Struct, frozen=True, kw_only=True):
    data: list[CallRecord]
    """Newest first."""
    next: str | None
    """`before` of the next page; None: there is none."""
