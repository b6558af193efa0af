"""Every setting, declared once: loading, checking, `env.example` and the documents derive from this."""

from collections.abc import Callable
from typing import Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct

from ai_gateway.model.redis_address import parse_redis_address


class Setting(Struct, frozen=True, kw_only=True):
    name: str
    """The field of `Settings`, and the key in `gateway.yaml`."""
    variable: str
    default: Any
    doc: str
    parse: Callable[[str], Any]
    """From the text of a variable. Raises ValueError saying what is expected."""
    secret: bool = False
    aliases: tuple[str, ...] = ()
    in_effect: bool = True
    """False: read and checked, but what it is for is not built yet; said at the start if set."""
    group: str


def _text(value: str) -> str:
    if not value.isprintable():
        raise ValueError("printable text")
    return value


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        expected = f"a whole number from {least} to {most}"
        try:
            number = int(value)
        except ValueError:
            raise ValueError(expected) from None
        if not least <= number <= most:
            raise ValueError(expected)
        return number

    return parse


def _number(least: float, most: float) -> Callable[[str], float]:
    def parse(value: str) -> float:
        expected = f"a number from {least:g} to {most:g}"
        try:
            number = float(value)
        except ValueError:
            raise ValueError(expected) from None
        if not least <= number <= most:
            raise ValueError(expected)
        return number

    return parse


def _database(value: str) -> str:
    if not value.startswith(
        ("postgresql://", "postgres://", "postgresql+asyncpg://", "sqlite:///")
    ):
        raise ValueError("postgresql://user:password@host/name or sqlite:////path")
    return _text(value)


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("the name of a time zone, such as Europe/Berlin") from None
    return value


def _one_of(*values: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in values:
            raise ValueError(f"one of {', '.join(values)}")
        return value

    return parse


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or not value.isprintable():
        raise ValueError("an http:// or https:// address")
    return value.rstrip("/")


def _trace_url(value: str) -> str:
    if "{trace_id}" not in _url(value):
        raise ValueError("an address with {trace_id} in it")
    return value


def _yes_or_no(value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise ValueError("true or false")
    return value.lower() == "true"


def _names(value: str) -> tuple[str, ...]:
    return tuple(name for part in value.split(",") if (name := part.strip()))


Group = Literal[
    "server", "access", "state", "limits", "caching", "time-outs", "telemetry", "models"
]
_MIB = 1024 * 1024

SETTINGS: tuple[Setting, ...] = (
    Setting(name="port", variable="PORT", default=8080, parse=_whole(0, 65535), group="server",
            doc="The port to listen on; 0 takes a free one."),
    Setting(name="host", variable="HOST", default="127.0.0.1", parse=_text, group="server",
            doc="The address to listen on. Another than loopback needs keys (ADMIN_KEY, or some in "
                "gateway.yaml, or ACCESS=closed), or ACCESS=open or until-keys."),
    Setting(name="mode", variable="GATEWAY_MODE", default="release", aliases=("GIN_MODE",),
            parse=_one_of("release", "debug"), group="server",
            doc="`debug` logs at level debug."),
    Setting(name="workers", variable="WORKERS", default=1, parse=_whole(1, 256), group="server",
            doc="Processes that serve; more than one needs REDIS_ADDR and a PostgreSQL DATABASE_URL."),
    Setting(name="endpoint_grace", variable="ENDPOINT_GRACE", default=5.0, parse=_number(0, 300),
            group="server",
            doc="Seconds after SIGTERM during which new calls are still taken, while load "
                "balancers notice that /ready says no."),
    Setting(name="drain_timeout", variable="DRAIN_TIMEOUT", default=30.0, parse=_number(0, 3600),
            group="server", doc="Seconds that calls in flight are given to finish at shutdown."),
    Setting(name="access", variable="ACCESS", default="auto",
            parse=_one_of("auto", "until-keys", "open", "closed"), group="access",
            doc="`closed`: every call needs a key. `open`: none does. `auto`: closed once there is "
                "ADMIN_KEY or a key, else open, and only on loopback. `until-keys`: as `auto`, but on any "
                "address, which the image has, since a container's loopback is no use to anybody."),
    Setting(name="admin_key", variable="ADMIN_KEY", default=None, parse=_text, secret=True,
            group="access", doc="Guards the admin API, by which tenants and keys are made."),
    Setting(name="metrics_key", variable="METRICS_KEY", default=None, parse=_text, secret=True,
            group="access", doc="If set, /metrics asks for it (or ADMIN_KEY) as a bearer token."),
    Setting(name="known_keys", variable="KNOWN_KEYS", default=50_000, parse=_whole(1, 10_000_000),
            group="access", doc="Keys of the database kept in memory, about 1 kB each."),
    Setting(name="access_stale", variable="ACCESS_STALE", default=3600.0, parse=_number(0, 43200),
            group="access",
            doc="Seconds that keys in memory are still believed while the database is away."),
    Setting(name="redis_addr", variable="REDIS_ADDR", default=None, parse=parse_redis_address,
            group="state",
            doc="Redis: host:port, redis://host:port/database, rediss:// (TLS), "
                "redis+sentinel://host:port,host:port/master, redis+cluster://host:port,host:port; "
                "unset: state lives in the process."),
    Setting(name="redis_user", variable="REDIS_USER", default=None, parse=_text, group="state",
            doc="Redis's ACL user; unset: the default one."),
    Setting(name="redis_password", variable="REDIS_PASSWORD", default=None, parse=_text,
            secret=True, group="state", doc="Redis's password."),
    Setting(name="redis_ca", variable="REDIS_CA", default=None, parse=_text, group="state",
            doc="A file of CA certificates for Redis over TLS; unset: the system's."),
    Setting(name="redis_timeout", variable="REDIS_TIMEOUT", default=0.1, parse=_number(0.005, 60),
            group="state",
            doc="Seconds that Redis may take before it is held to be lost and this process counts "
                "for itself."),
    Setting(name="limits_on_state_loss", variable="LIMITS_ON_STATE_LOSS", default="local",
            parse=_one_of("local", "refuse"), group="limits",
            doc="What becomes of limits while Redis is lost: `local`, each process counts for itself; "
                "`refuse`, calls are answered 503."),
    Setting(name="timezone", variable="TIMEZONE", default="UTC", parse=_time_zone, group="limits",
            doc="The time zone in which the days, weeks and months of budgets begin."),
    Setting(name="reserve_output_tokens", variable="RESERVE_OUTPUT_TOKENS", default=4096,
            parse=_whole(0, 10_000_000), group="limits",
            doc="Output tokens set aside, until the true number is known, for a call that sets no "
                "limit of its own; never more than the model can write."),
    Setting(name="database_url", variable="DATABASE_URL", default=None, parse=_database,
            secret=True, group="state",
            doc="Where tenants, keys and usage are kept: postgresql://user:password@host/name, or "
                "sqlite:////path; unset: SQLite in DATA_DIR."),
    Setting(name="data_dir", variable="DATA_DIR", default="data", parse=_text, group="state",
            doc="The directory for what this process keeps itself; made when first needed."),
    Setting(name="ledger", variable="LEDGER", default="on", parse=_one_of("on", "off"),
            group="state", doc="Whether every call's use and cost is kept in the database."),
    Setting(name="ledger_days", variable="LEDGER_DAYS", default=90.0, parse=_number(0, 36500),
            group="state", doc="Days that single calls are kept in the ledger; 0: for ever."),
    Setting(name="ledger_hourly_days", variable="LEDGER_HOURLY_DAYS", default=1100.0,
            parse=_number(0, 36500), group="state",
            doc="Days that the ledger's hourly sums are kept; 0: for ever."),
    Setting(name="cache_ttl", variable="CACHE_TTL", default=5.0, parse=_number(0, 525600),
            group="caching",
            doc="Minutes that an answer is kept and given to whoever asks the same; 0 turns the "
                "cache off."),
    Setting(name="cache_memory_bytes", variable="CACHE_MEMORY_BYTES", default=32 * _MIB,
            parse=_whole(0, 2**40), group="caching",
            doc="Answers kept in the process's memory, in bytes; the least recently used go first."),
    Setting(name="rate_limit_capacity", variable="RATE_LIMIT_CAPACITY", default=100.0,
            parse=_number(0, 1e9), group="limits",
            doc="Calls a user may make at once, unless `limits` or a policy says otherwise; 0: no such limit."),
    Setting(name="rate_limit_refill_rate", variable="RATE_LIMIT_REFILL_RATE", default=1.67,
            parse=_number(0, 1e9), group="limits",
            doc="Calls a user gains a second."),
    Setting(name="attempts_trace", variable="ATTEMPTS_TRACE", default="off",
            parse=_one_of("off", "on"), group="server",
            doc="Whether answers tell each attempt in `x-gateway-attempts-trace`, with the providers asked "
                "in vain, unless a key's policy says otherwise."),
    Setting(name="max_in_flight", variable="MAX_IN_FLIGHT", default=10_000,
            parse=_whole(1, 10**6), group="limits",
            doc="Calls worked on at once, in each process; more wait in the queue."),
    Setting(name="max_queue", variable="MAX_QUEUE", default=1000, parse=_whole(0, 10**6),
            group="limits", doc="Calls that may wait; more are answered 503 at once."),
    Setting(name="queue_timeout", variable="QUEUE_TIMEOUT", default=5.0, parse=_number(0.01, 600),
            group="limits", doc="Seconds a call may wait before it is answered 503."),
    Setting(name="max_body_bytes", variable="MAX_BODY_BYTES", default=32 * _MIB,
            parse=_whole(1024, 2**31), group="limits",
            doc="The largest request body taken, in bytes; more is answered 413."),
    Setting(name="max_upload_bytes", variable="MAX_UPLOAD_BYTES", default=512 * _MIB,
            parse=_whole(1024, 2**40), group="limits",
            doc="The largest form or file that passes through, in bytes; it is never held whole."),
    Setting(name="pass_through", variable="PASS_THROUGH", default=(), parse=_names, group="access",
            doc="Providers whose own paths callers may use as /<provider>/..., with commas between "
                "them. They act there with the gateway's credential: think before you name one."),
    Setting(name="response_store_hours", variable="RESPONSE_STORE_HOURS", default=24.0,
            parse=_number(0, 87600), group="state",
            doc="Hours for which a response that was translated can be continued by "
                "previous_response_id: its conversation is kept in the database unless the caller "
                "says store: false. 0 keeps none."),
    Setting(name="max_answer_bytes", variable="MAX_ANSWER_BYTES", default=64 * _MIB,
            parse=_whole(1024, 2**31), group="limits",
            doc="The largest whole answer taken from a provider, in bytes."),
    Setting(name="connect_timeout", variable="CONNECT_TIMEOUT", default=5.0,
            parse=_number(0.01, 600), group="time-outs",
            doc="Seconds to connect to a provider."),
    Setting(name="first_byte_timeout", variable="FIRST_BYTE_TIMEOUT", default=60.0,
            parse=_number(0.01, 3600), group="time-outs",
            doc="Seconds until a stream's first byte."),
    Setting(name="idle_timeout", variable="IDLE_TIMEOUT", default=60.0, parse=_number(0.01, 3600),
            group="time-outs", doc="Seconds between two pieces of a stream."),
    Setting(name="total_timeout", variable="TOTAL_TIMEOUT", default=600.0,
            parse=_number(0.01, 86400), group="time-outs",
            doc="Seconds a whole call may take; a caller's x-gateway-timeout-ms only shortens it."),
    Setting(name="log_level", variable="LOG_LEVEL", default="info",
            parse=_one_of("debug", "info", "warning", "error"), group="telemetry",
            doc="Log lines of at least this level are written; a good call is info."),
    Setting(name="log_format", variable="LOG_FORMAT", default="auto",
            parse=_one_of("auto", "json", "text"), group="telemetry",
            doc="`json`, or `text` for people who look on, a call a line; `auto`: text where the level is "
                "debug and standard output is a terminal."),
    Setting(name="log_sample", variable="LOG_SAMPLE", default=1.0, parse=_number(0, 1),
            group="telemetry",
            doc="The part of good calls that get a line in the log; failed ones always do."),
    Setting(name="jaeger_endpoint", variable="JAEGER_ENDPOINT", default=None, parse=_text,
            group="telemetry",
            doc="Where traces are sent, as older set-ups name it: `http://jaeger:4318`, or "
                "`http://jaeger:14268/api/traces`, which is read as that host's OTLP address. "
                "The OTEL variables win."),
    Setting(name="otlp_endpoint", variable="OTEL_EXPORTER_OTLP_ENDPOINT", default=None, parse=_url,
            group="telemetry",
            doc="An OpenTelemetry collector: `http://host:4318` (HTTP; `/v1/traces` is added) or, "
                "by gRPC, `http://host:4317`. Unset: nothing is exported."),
    Setting(name="otlp_traces_endpoint", variable="OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            default=None, parse=_url, group="telemetry",
            doc="The whole address for traces, where it differs."),
    Setting(name="otlp_logs_endpoint", variable="OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", default=None,
            parse=_url, group="telemetry",
            doc="The whole address for the audit's log records, where it differs."),
    Setting(name="otlp_protocol", variable="OTEL_EXPORTER_OTLP_PROTOCOL", default="http/protobuf",
            parse=_one_of("http/protobuf", "grpc"), group="telemetry", doc="How it is spoken to."),
    Setting(name="otlp_headers", variable="OTEL_EXPORTER_OTLP_HEADERS", default=None, parse=_text,
            secret=True, group="telemetry", doc="Headers it is sent, `name=value,name=value`."),
    Setting(name="otel_disabled", variable="OTEL_SDK_DISABLED", default=False, parse=_yes_or_no,
            group="telemetry", doc="`true` exports nothing whatever else is set."),
    Setting(name="service_name", variable="OTEL_SERVICE_NAME", default="ai-gateway", parse=_text,
            group="telemetry", doc="What the gateway calls itself in traces."),
    Setting(name="traces_sampler", variable="OTEL_TRACES_SAMPLER",
            default="parentbased_always_on",
            parse=_one_of("always_on", "always_off", "traceidratio", "parentbased_always_on",
                          "parentbased_always_off", "parentbased_traceidratio"),
            group="telemetry", doc="Which traces are kept, decided when a call begins."),
    Setting(name="traces_ratio", variable="OTEL_TRACES_SAMPLER_ARG", default=1.0,
            parse=_number(0, 1), group="telemetry", doc="The part that a ratio sampler keeps."),
    Setting(name="trace_slow_seconds", variable="TRACE_SLOW_SECONDS", default=30.0,
            parse=_number(0, 86400), group="telemetry",
            doc="Calls that take as long are kept whatever the sampler said, as are those that "
                "fail (5xx) or need more than one attempt."),
    Setting(name="trace_propagate_to", variable="TRACE_PROPAGATE_TO", default=(), parse=_names,
            group="telemetry",
            doc="Providers, by name, that are sent `traceparent`: servers of your own. None by "
                "default, since a public provider has no use for it."),
    Setting(name="trace_url", variable="TRACE_URL", default=None, parse=_trace_url, group="telemetry",
            doc="Where people look at a trace, with its id's place: "
                "`https://jaeger.example.com/trace/{trace_id}`. The dashboard links there."),
    Setting(name="audit", variable="AUDIT", default="off",
            parse=_one_of("off", "metadata", "full"), group="telemetry",
            doc="How much of each call is kept for audit: nothing, all but the bodies, or all. A key's "
                "or tenant's policy and a route may say otherwise."),
    Setting(name="audit_key", variable="AUDIT_KEY", default=None, parse=_text, secret=True,
            group="telemetry",
            doc="Makes the hashes over the audit such that only its holder can make them. To be kept "
                "away from the database."),
    Setting(name="webhook_url", variable="WEBHOOK_URL", default=None, parse=_url, secret=True,
            group="telemetry",
            doc="Where events are posted that somebody should hear of: a budget passed, a breaker "
                "opened, the error budget burning, Redis or the database lost."),
    Setting(name="webhook_secret", variable="WEBHOOK_SECRET", default=None, parse=_text,
            secret=True, group="telemetry", doc="Signs what is posted (HMAC-SHA256)."),
    Setting(name="prices", variable="PRICES", default=None, parse=_text, group="models",
            doc="A price file in the form of the shipped prices.json; its models come first."),
)  # fmt: skip

BY_NAME = {setting.name: setting for setting in SETTINGS}
