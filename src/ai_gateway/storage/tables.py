"""Every table, for SQLite and PostgreSQL alike. `migrations/` makes them; a test compares the two.

Times are whole numbers since the epoch (milliseconds in `usage`, else seconds), because SQLite has no
type for them. Money is whole pico-dollars: a price of up to six decimals a million tokens is a whole
number of them a token, so sums are exact in every database. Free data is JSON text.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

metadata = MetaData()

tenants = Table(
    "tenants",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("title", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("tenant", String(64), ForeignKey("tenants.id"), nullable=False),
    Column("hash", LargeBinary(32), nullable=False, unique=True),
    Column("previous_hash", LargeBinary(32), unique=True),
    Column("previous_until", BigInteger),
    Column("hint", String(16), nullable=False),
    Column("name", Text, nullable=False),
    Column("user", Text),
    Column("role", String(16)),
    Column("policy", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Index("keys_tenant", "tenant", "id"),
)

access_version = Table(
    "access_version",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("version", BigInteger, nullable=False),
)
"""One row. Counting it up locks it until the change commits, so versions appear in their order."""

access_changes = Table(
    "access_changes",
    metadata,
    Column("version", BigInteger, nullable=False),
    Column("part", Integer, nullable=False),
    Column("hash", LargeBinary(32)),
    Column("tenant", String(64)),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("version", "part"),
)
"""What every replica must forget: a key's hash, or all keys of a tenant."""

usage = Table(
    "usage",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("tenant", String(64), nullable=False),
    Column("user", Text, nullable=False),
    Column("key_id", String(64)),
    Column("request_id", String(128), nullable=False),
    Column("operation", String(32), nullable=False),
    Column("endpoint", String(64), nullable=False),
    Column("route", Text),
    Column("requested_model", Text, nullable=False),
    Column("provider", String(64), nullable=False),
    Column("model", Text, nullable=False),
    Column("stream", Boolean, nullable=False),
    Column("status", Integer, nullable=False),
    Column("error", String(32)),
    Column("cache", String(16)),
    Column("attempts", Integer, nullable=False),
    Column("usage_known", Boolean, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cache_read_tokens", BigInteger, nullable=False),
    Column("cache_write_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("audio_tokens", BigInteger, nullable=False),
    Column("cost_pico", BigInteger),
    Column("saved_pico", BigInteger),
    Column("price_version", Text),
    Column("duration_us", BigInteger, nullable=False),
    Column("upstream_us", BigInteger, nullable=False),
    Column("first_token_us", BigInteger),
    Column("tags", Text),
    Column("experiment", String(64)),
    Column("variant", String(64)),
    Column("shadow_of", String(32)),
    Column("course", Text),
    Column("trace_id", String(32)),
    Column("cache_key", Text),
    Column("similarity", Integer),
    Index("usage_tenant", "tenant", "id"),
    Index("usage_key", "key_id", "id"),
    Index("usage_user", "user", "id"),
    Index("usage_experiment", "route", "experiment", "variant"),
)
"""A row a call. Ids begin with the time, so their order is that of time, and retention needs no index."""

usage_cached = Index(
    "usage_cached",
    usage.c.id,
    sqlite_where=usage.c.cache_key.isnot(None),
    postgresql_where=usage.c.cache_key.isnot(None),
)
"""Of calls that the cache answered alone, as is the next."""
usage_cached_tenant = Index(
    "usage_cached_tenant",
    usage.c.tenant,
    usage.c.id,
    sqlite_where=usage.c.cache_key.isnot(None),
    postgresql_where=usage.c.cache_key.isnot(None),
)

usage_hourly = Table(
    "usage_hourly",
    metadata,
    Column("scope", String(8), nullable=False),
    Column("tenant", String(64), nullable=False),
    Column("subject", Text, nullable=False),
    Column("hour", Integer, nullable=False),
    Column("provider", String(64), nullable=False),
    Column("model", Text, nullable=False),
    Column("calls", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("cached", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cache_read_tokens", BigInteger, nullable=False),
    Column("cache_write_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("audio_tokens", BigInteger, nullable=False),
    Column("cost_pico", BigInteger, nullable=False),
    Column("saved_pico", BigInteger, nullable=False),
    Column("duration_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("scope", "tenant", "subject", "hour", "provider", "model"),
    Index("usage_hourly_time", "scope", "hour"),
)
"""Sums of an hour (since the epoch), once for each scope that is asked for: `all`, `tenant`, `key`,
`user`, `route`, `tag`. So a tenant's month is hours x models rows, however many users it has."""

usage_daily = Table(
    "usage_daily",
    metadata,
    Column("scope", String(8), nullable=False),
    Column("by_model", Boolean, nullable=False),
    Column("day", Integer, nullable=False),
    Column("tenant", String(64), nullable=False),
    Column("subject", Text, nullable=False),
    Column("provider", String(64), nullable=False),
    Column("model", Text, nullable=False),
    *(Column(c.name, BigInteger, nullable=False) for c in list(usage_hourly.columns)[6:]),
    PrimaryKeyConstraint("scope", "by_model", "day", "tenant", "subject", "provider", "model"),
    sqlite_with_rowid=False,
)
"""The same of a UTC day (since the epoch), made from its hours when it is over; and once more of all
providers and models together, which those rows leave empty (`by_model` false). In order of time, so that
the days of all users are read in one go."""

usage_days = Table(
    "usage_days",
    metadata,
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("whole", Boolean, nullable=False),
    Column("turn", BigInteger, nullable=False),
)
"""Days that have sums in `usage_daily`, or are being given them; `whole`: these are those of its hours. A
record that comes for such a day takes it out; the sums are then made anew. `turn`: whose making it is."""

admin_audit = Table(
    "admin_audit",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("tenant", String(64)),
    Column("target", Text),
    Column("detail", Text, nullable=False),
    Column("seq", BigInteger),
    Column("hash", String(64)),
    Index("admin_audit_tenant", "tenant", "id"),
)
"""Who changed what through the admin API or the command line. Never a secret."""

holdings = Table(
    "holdings",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("tenant", String(64), nullable=False),
    Column("provider", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("data", Text, nullable=False),
    Index("holdings_of", "kind", "provider", "tenant", "created_at"),
)
"""Files and batches: whose they are, and which provider holds them."""

routes = Table(
    "routes",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("body", Text, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("updated_by", Text, nullable=False),
)
"""Made by the admin API, beside those of `gateway.yaml`."""

experiment_stops = Table(
    "experiment_stops",
    metadata,
    Column("route", String(128), nullable=False),
    Column("experiment", String(64), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    PrimaryKeyConstraint("route", "experiment"),
)
"""Experiments that were stopped, by an operator or their guard, wherever they are written."""

feedback = Table(
    "feedback",
    metadata,
    Column("tenant", String(64), nullable=False),
    Column("call", String(128), nullable=False),
    Column("user", String(256), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("score", Float),
    Column("label", String(64)),
    Column("comment", Text),
    PrimaryKeyConstraint("tenant", "call", "user"),
)
"""What a user said of a call, by the call's id or the request's. The last word counts."""
audit = Table(
    "audit",
    metadata,
    Column("n", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("at", BigInteger, nullable=False),
    Column("level", String(8), nullable=False),
    Column("request_id", String(128), nullable=False),
    Column("trace_id", String(32)),
    Column("tenant", String(64), nullable=False),
    Column("user", Text, nullable=False),
    Column("key_id", String(64)),
    Column("tags", Text, nullable=False),
    Column("operation", String(32), nullable=False),
    Column("endpoint", String(64), nullable=False),
    Column("dialect", String(32), nullable=False),
    Column("requested_model", Text, nullable=False),
    Column("route", Text),
    Column("provider", String(64)),
    Column("model", Text),
    Column("stream", Boolean, nullable=False),
    Column("status", Integer, nullable=False),
    Column("error", String(32)),
    Column("cache", String(16)),
    Column("attempts", Integer, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost_pico", BigInteger),
    Column("duration_us", BigInteger, nullable=False),
    Column("guardrails", Text, nullable=False),
    Column("request_bytes", BigInteger, nullable=False),
    Column("response_bytes", BigInteger, nullable=False),
    Column("request", Text),
    Column("response", Text),
    Column("redacted", Text, nullable=False),
    Column("cut", Text),
    Column("chain", String(16), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
    Index("audit_tenant", "tenant", "id"),
    Index("audit_request", "request_id"),
    Index("audit_chain", "chain", "seq", unique=True),
)
"""A row a call, in the words of `model.audit.AuditRecord`, with its place in a chain of hashes. Text is
found by SQLite's FTS5 (the table `audit_text`) or PostgreSQL's index `audit_search`."""

audit_chains = Table(
    "audit_chains",
    metadata,
    Column("chain", String(16), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("first_seq", BigInteger, nullable=False),
    Column("first_hash", String(64), nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("last_hash", String(64), nullable=False),
)
"""A chain for each process that keeps an audit, and `acts` for `admin_audit`: from after which record it
runs (older ones were let go of), and its end."""
