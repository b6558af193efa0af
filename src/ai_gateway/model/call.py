"""One call on its way through the gateway: who asks what, where it went, how it ended."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

from msgspec import Struct, field

from .answer import StopReason
from .audit import Captured
from .carrier import Carrier
from .policy import UNRESTRICTED, AuditLevel, Policy
from .trace import Trace
from .usage import NO_USAGE, Usage

Operation = Literal[
    "chat",
    "embeddings",
    "count_tokens",
    "moderations",
    "rerank",
    "images",
    "forward",
    "realtime",
    "mcp",
]
"""`forward`: passed through as it is (`forward.py`)."""
CacheOutcome = Literal["hit", "semantic", "joined", "miss", "bypass"]


class Request(Struct, frozen=True, kw_only=True):
    """What arrived, before anything of it is believed."""

    id: str
    operation: Operation
    dialect: str
    """The caller's, fixed by the endpoint."""
    endpoint: str
    """The route as documented, such as `/v1/chat/completions`; a bounded label."""
    body: bytes
    headers: Mapping[bytes, bytes]
    """Names in lower case; a repeated header's values are joined by commas."""
    received: float
    """`time.perf_counter()` when the head had arrived."""
    timeout: float | None = None
    """The caller's own limit in seconds (`x-gateway-timeout-ms`); it only shortens."""
    path_model: str | None = None
    """The model, where the dialect names it in the path and not in the body."""
    path_stream: bool = False
    """Likewise the wish for a stream."""
    carrier: Carrier | None = None
    """The task that this call alone is carried by, where it is known."""


class Caller(Struct, frozen=True, kw_only=True):
    """Who asks, as far as access control could tell."""

    tenant: str
    user: str
    key_id: str | None = None
    policy: Policy = UNRESTRICTED
    tags: tuple[str, ...] = ()
    """`name=value` each, for the account."""


GATEWAY_ITSELF = Caller(tenant="default", user="gateway")
"""Who asks where a step of the gateway's own needs a model."""


class Target(Struct, frozen=True, kw_only=True):
    """Where a call may be sent."""

    provider: str
    model: str
    """The provider's own name for it."""


class Attempt(Struct, kw_only=True):
    """One asking of one provider."""

    target: Target
    started: float
    """`time.perf_counter()`."""
    seconds: float = 0.0
    status: int = 0
    """The provider's HTTP status; 0 where none came."""
    error: str | None = None
    """What failed: an ErrorKind, a FaultCause, `bad_answer` or `cancelled`; None where it answered
    well."""
    credential: int = 0
    """The number of the provider's credential that was shown."""
    cost: Decimal | None = None
    """US dollars, where this asking was not the one that answered and yet is known to be billed."""
    span_id: int = 0
    """Of its span, where the provider was told it; 0: not drawn yet."""


class Standing(Struct, frozen=True, kw_only=True):
    """How a caller stands with the limit that it is nearest to."""

    limit: int
    remaining: int
    reset: float | None
    """Seconds until all of it is there again; None: never."""


class Outcome(Struct, kw_only=True):
    """What became of a call. Filled in along the path and settled once, at its end.

    The one noun that changes; it is owned by the single task that carries the call.
    """

    request: Request
    call_id: str = ""
    """The gateway's own, unlike `request.id`, which a caller may choose: 32 hexadecimal digits, unique,
    beginning with the time. The key of the ledger and the audit."""
    trace: Trace | None = None
    """None where nobody traces the call."""
    stages: list[tuple[str, float, float]] = field(default_factory=list[tuple[str, float, float]])
    """Steps on the path that took their time (`guard`, `recall`, `admit`): name, begun and ended, by
    `time.perf_counter()`."""
    audit: AuditLevel | None = None
    """How much of it is kept; None: as the gateway's setting says."""
    answer: Captured | None = None
    """What the caller was sent, where the audit keeps it."""
    caller: Caller | None = None
    requested_model: str = ""
    route: str | None = None
    """The route that the name meant; None where it meant a model."""
    experiment: str | None = None
    """The route's experiment that the call is part of, as `variant`."""
    variant: str | None = None
    shadow_of: str | None = None
    """The id of the call whose copy this is, sent to another target to compare."""
    target: Target | None = None
    provider_dialect: str | None = None
    """The dialect that the target was asked in."""
    pin: tuple[str, int] | None = None
    """The only provider and credential that can answer: they hold what the call continues."""
    answered_model: str | None = None
    stream: bool = False
    status: int = 0
    """The HTTP status sent to the caller; 499 where the caller left before one was sent."""
    error: str | None = None
    """The ErrorKind, `cancelled` where the caller left, None where all went well."""
    error_detail: str | None = None
    """For the log: what exactly failed. Never a prompt or a key."""
    attempts: list[Attempt] = field(default_factory=list[Attempt])
    attempts_shown: bool = False
    """The caller may see each of them."""
    cache: CacheOutcome | None = None
    """None where no cache was looked at."""
    cache_key: str | None = None
    """Under which the answer is stored, or would be."""
    similarity: float | None = None
    """Of the question to the one whose answer was taken, where that was found by meaning."""
    cache_age: float | None = None
    """Seconds since a cached answer was stored."""
    saved: Decimal | None = None
    """US dollars that a cached answer would have cost."""
    usage: Usage = NO_USAGE
    usage_known: bool = False
    stop: StopReason | None = None
    notes: tuple[str, ...] = ()
    next_number: int = 0
    """Of the event that would come next in a stream whose events are numbered."""
    guardrails: list[str] = field(default_factory=list[str])
    """What guardrails did: `name=action:label` each."""
    requests_left: Standing | None = None
    tokens_left: Standing | None = None
    budget_warning: str | None = None
    """A soft budget that has been passed: whose, and by how much."""
    degraded: bool = False
    """Its limits were counted by this process alone, the shared state being out of reach."""
    cost: Decimal | None = None
    """US dollars; None where no price is known."""
    upstream_seconds: float = 0.0
    """Time spent waiting for providers."""
    first_token_seconds: float | None = None
    total_seconds: float = 0.0
    upstream_request_id: str | None = None
    complete: bool = False
    """The answer is whole, and usage and cost are final, once the piece now handed on is out."""
    recorded: bool = False
    """It is in the ledger."""
