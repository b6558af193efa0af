"""What a caller may do: the rules of its tenant, key and user, already merged into one."""

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, Struct

Period = Literal["day", "week", "month", "total"]
AuditLevel = Literal["off", "metadata", "full"]


class RateLimit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token bucket: holds `capacity`, refills by `refill` a second, a call takes from it.

    `per` names whose bucket it is. A call takes 1 from a bucket of requests; of LLM tokens it takes
    its estimate, corrected by the true usage once that is known.
    """

    per: Literal["user", "user_model", "key", "tenant", "provider"]
    unit: Literal["requests", "tokens"] = "requests"
    capacity: Annotated[float, Meta(ge=0)]
    refill: Annotated[float, Meta(ge=0)]
    models: tuple[str, ...] = ("*",)
    """The models, by the provider's name for them, or the routes that it holds for, as shell patterns."""
    providers: tuple[str, ...] = ("*",)
    """Likewise the providers."""


class Budget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much may be spent in a period. A hard one refuses; a soft one only warns."""

    per: Literal["user", "key", "tenant"]
    unit: Literal["usd", "tokens"] = "usd"
    amount: Decimal
    period: Period = "month"
    hard: bool = True

    def __post_init__(self) -> None:
        if not self.amount.is_finite() or self.amount < 0:
            raise ValueError("amount must be a number, not below 0")


class CachePolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """None: as the next wider policy says (key, then route, then the gateway's settings)."""

    mode: Literal["off", "exact", "semantic"] | None = None
    """`semantic` includes exact."""
    ttl: float | None = None
    """Seconds."""
    scope: Literal["tenant", "user", "shared"] | None = None
    """Who may be given an answer that another asked for: nobody outside the tenant, nobody but the
    same user, or anyone."""
    max_temperature: float | None = None
    """Calls that ask for more are not cached."""
    keep_truncated: bool | None = None
    """Answers that ended at the output limit are kept too."""
    join: bool | None = None
    """Identical calls in flight are asked once."""
    limited: bool | None = None
    """False: what the cache answers passes no limits, and takes nothing from them."""
    threshold: float | None = None
    """Cosine similarity from which a semantic neighbour answers."""
    guard: bool | None = None
    """A semantic neighbour must also pass the lexical guard."""
    semantic_for: tuple[Literal["images", "tool_results", "long"], ...] | None = None
    """Calls that hold such are looked up by meaning too."""


class Policy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    models: tuple[str, ...] = ("*",)
    """Names of models and routes that may be asked for, as shell patterns (`claude-*`)."""
    limits: tuple[RateLimit, ...] = ()
    budgets: tuple[Budget, ...] = ()
    max_in_flight: int | None = None
    """Calls at once."""
    priority: int = 0
    """Higher ones leave a full queue first."""
    cache: CachePolicy = CachePolicy()
    audit: AuditLevel | None = None
    attempts_trace: bool | None = None
    """Whether answers tell each attempt, with the providers asked in vain; None: as ATTEMPTS_TRACE says."""
    guardrails: tuple[str, ...] = ()
    """Names of guardrails that its calls must pass, beside those of the route."""
    providers: tuple[str, ...] = ("*",)
    """Providers that may be used, as shell patterns."""
    tools: tuple[str, ...] = ("*",)
    """Tools of MCP servers that may be seen and called: shell patterns of `server/tool`."""


UNRESTRICTED = Policy()
