"""The settings, typed. Read once at the start and handed on in parts; nothing changes them."""

from pathlib import Path
from typing import Literal

from msgspec import Struct

from ai_gateway.catalogue.provider import Provider
from ai_gateway.model.audit import Audit
from ai_gateway.model.cache import CacheSettings
from ai_gateway.model.guardrail import Guardrail
from ai_gateway.model.key import ConfiguredKey, ConfiguredTenant, TokenIssuer
from ai_gateway.model.mcp import McpServer
from ai_gateway.model.policy import Budget, RateLimit
from ai_gateway.model.redis_address import RedisAddress
from ai_gateway.model.route import Route
from ai_gateway.model.upstream import Upstream

from .otlp import OtlpEndpoint
from .secret import Secret

SamplerName = Literal[
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
]


class ConfiguredProvider(Struct, frozen=True, kw_only=True):
    provider: Provider
    base_url: str
    """Without a trailing slash."""
    keys: tuple[Secret, ...]
    """Used in turn; empty where the provider asks for none."""
    key_origin: str
    """Where the keys came from, such as `OPENAI_API_KEY`; for `check`, never a key."""
    weights: tuple[float, ...] = ()
    """One for each key; empty: all alike."""
    variables: dict[str, str] = {}
    """Such as a cloud's region; see `Provider.variables`."""


class Settings(Struct, frozen=True, kw_only=True):
    host: str
    port: int
    mode: Literal["release", "debug"]
    access: Literal["auto", "until-keys", "open", "closed"]
    workers: int
    admin_key: Secret | None
    metrics_key: Secret | None
    known_keys: int
    access_stale: float
    data_dir: Path
    ledger: Literal["on", "off"]
    ledger_days: float
    ledger_hourly_days: float
    redis_addr: RedisAddress | None
    redis_user: str | None
    redis_password: Secret | None
    redis_ca: str | None
    redis_timeout: float
    limits_on_state_loss: Literal["local", "refuse"]
    timezone: str
    reserve_output_tokens: int
    database_url: Secret | None
    """Its address may hold a password."""
    cache_ttl: float
    cache_memory_bytes: int
    rate_limit_capacity: float
    rate_limit_refill_rate: float
    jaeger_endpoint: str | None
    otlp_endpoint: str | None
    otlp_traces_endpoint: str | None
    otlp_logs_endpoint: str | None
    otlp_protocol: Literal["http/protobuf", "grpc"]
    otlp_headers: Secret | None
    otel_disabled: bool
    service_name: str
    traces_sampler: SamplerName
    traces_ratio: float
    trace_slow_seconds: float
    trace_propagate_to: tuple[str, ...]
    trace_url: str | None
    traces: OtlpEndpoint | None
    """What the variables about it come to; None: nothing is exported."""
    logs: OtlpEndpoint | None
    audit: Literal["off", "metadata", "full"]
    audit_key: Secret | None
    webhook_url: Secret | None
    """Its address often holds a token."""
    webhook_secret: Secret | None
    audit_options: Audit
    log_format: Literal["auto", "json", "text"]
    log_sample: float
    log_level: Literal["debug", "info", "warning", "error"]
    attempts_trace: Literal["off", "on"]
    max_in_flight: int
    max_queue: int
    queue_timeout: float
    max_body_bytes: int
    max_answer_bytes: int
    max_upload_bytes: int
    response_store_hours: float
    pass_through: tuple[str, ...]
    connect_timeout: float
    first_byte_timeout: float
    idle_timeout: float
    total_timeout: float
    endpoint_grace: float
    drain_timeout: float
    prices: Path | None
    limits: tuple[RateLimit, ...]
    budgets: tuple[Budget, ...]
    routes: dict[str, Route]
    upstreams: dict[str, Upstream]
    cache: CacheSettings
    guardrails: dict[str, Guardrail]
    mcp_servers: dict[str, McpServer]
    tenants: dict[str, ConfiguredTenant]
    keys: dict[str, ConfiguredKey]
    auth: dict[str, TokenIssuer]
    providers: dict[str, ConfiguredProvider]
    secret_files: tuple[Path, ...]
    """Files that secrets were read from; a change of one is a change of the settings."""
    warnings: tuple[str, ...]
    """What is odd, though not wrong; said at the start."""


class Problem(Struct, frozen=True, kw_only=True):
    """One thing wrong with the settings."""

    where: str
    """`gateway.yaml:12` or `environment`."""
    name: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.name}: {self.message}. {self.remedy}"


class SettingsError(Exception):
    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(p) for p in problems))
        self.problems = problems
