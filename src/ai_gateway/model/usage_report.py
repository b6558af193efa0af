"""What was used and spent, as `/v1/usage` and the admin API tell it."""

from datetime import datetime
from decimal import Decimal
from typing import Literal

from msgspec import Struct

Scope = Literal["all", "tenant", "key", "user", "route", "tag"]
Subject = Literal["key", "user", "route", "tag"]
"""What sums are kept by, one at a time."""
Grouping = Literal["hour", "day", "provider", "model", "tenant", "key", "user", "route", "tag"]


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
    route: str | None = None
    tag: str | None = None
    """`name=value`. A call counts for each of its tags."""


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


class LatencyGroup(Struct, frozen=True, kw_only=True):
    name: str
    total: LatencyStep
    steps: list[LatencyStep]


class LatencyReport(Struct, frozen=True, kw_only=True):
    """Of the last calls of each step, as many as the sample holds."""

    sample: int
    """Most calls of a step that are looked at, whatever they are then filtered by."""
    total: LatencyStep
    steps: list[LatencyStep]
    groups: list[LatencyGroup]
    """By provider or model, where that was asked for, those with most calls first: calls that asked one."""


class UsageReport(Struct, frozen=True, kw_only=True):
    scope: Scope
    tenant: str | None
    key: str | None = None
    user: str | None = None
    route: str | None = None
    tag: str | None = None
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
    trace_id: str | None = None
    """Hexadecimal. Whether the trace was kept is another matter."""
    cache_key: str | None = None
    """Of the stored answer that it was given."""
    similarity: float | None = None
    """Of its question to the one whose answer it was given."""


class CallStep(Struct, frozen=True, kw_only=True):
    """A step on the path of a call. Milliseconds since it came."""

    name: str
    start_ms: float
    end_ms: float


class CallAttempt(Struct, frozen=True, kw_only=True):
    """One asking of one provider."""

    provider: str
    model: str
    start_ms: float
    end_ms: float
    status: int
    """The provider's; 0 where none came."""
    error: str | None


class CallDetail(CallRecord, frozen=True, kw_only=True, omit_defaults=True):
    """One call, and where its time went."""

    steps: list[CallStep] = []
    asked: list[CallAttempt] = []
    """Empty also for calls of before this was kept."""


class CallPage(Struct, frozen=True, kw_only=True):
    data: list[CallRecord]
    """Newest first."""
    next: str | None
    """`before` of the next page; None: there is none. A page may be short, even empty, and have a next:
    so many calls were looked at without finding enough that fit."""


class CacheEntryUse(Struct, frozen=True, kw_only=True):
    """A stored answer, by how often it was given again."""

    key: str
    tenant: str
    model: str
    """As it was asked for last."""
    hits: int
    semantic: int
    """Of the hits: found by meaning."""
    saved_usd: Decimal
    last_call: str
    """The id of the call that had it last."""
    last_at: datetime


class CacheUse(Struct, frozen=True, kw_only=True):
    looked_at: int
    """Most calls answered by the cache that are looked at, the newest first."""
    calls: int
    """How many there were."""
    entries: list[CacheEntryUse]


class SimilarityStep(Struct, frozen=True, kw_only=True):
    """Answers found by meaning, of questions as similar as this to theirs."""

    similarity: float
    """From here on, to the next step."""
    hits: int
    reported: int
    """Of the hits: of those somebody said that the answer was another question's."""


class SimilarityReport(Struct, frozen=True, kw_only=True):
    looked_at: int
    steps: list[SimilarityStep]


class RunningSums(Struct, frozen=True, kw_only=True):
    """What came in since the event before."""

    at: datetime
    seconds: float
    requests: int
    errors: int
    cached: int
    tokens: int
    cost_usd: Decimal
