"""The audit: what is kept of calls, found by its text and chained by hashes; acts of administrators too."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_SEARCHED = (
    "to_tsvector('simple', left(coalesce(request, '') || ' ' || coalesce(response, ''), 100000))"
)


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("n", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("level", sa.String(8), nullable=False),
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("trace_id", sa.String(32)),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("key_id", sa.String(64)),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("operation", sa.String(32), nullable=False),
        sa.Column("endpoint", sa.String(64), nullable=False),
        sa.Column("dialect", sa.String(32), nullable=False),
        sa.Column("requested_model", sa.Text, nullable=False),
        sa.Column("route", sa.Text),
        sa.Column("provider", sa.String(64)),
        sa.Column("model", sa.Text),
        sa.Column("stream", sa.Boolean, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("error", sa.String(32)),
        sa.Column("cache", sa.String(16)),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("cost_pico", sa.BigInteger),
        sa.Column("duration_us", sa.BigInteger, nullable=False),
        sa.Column("guardrails", sa.Text, nullable=False),
        sa.Column("request_bytes", sa.BigInteger, nullable=False),
        sa.Column("response_bytes", sa.BigInteger, nullable=False),
        sa.Column("request", sa.Text),
        sa.Column("response", sa.Text),
        sa.Column("redacted", sa.Text, nullable=False),
        sa.Column("cut", sa.Text),
        sa.Column("chain", sa.String(16), nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.create_index("audit_tenant", "audit", ["tenant", "id"])
    op.create_index("audit_request", "audit", ["request_id"])
    op.create_index("audit_chain", "audit", ["chain", "seq"], unique=True)
    op.create_table(
        "audit_chains",
        sa.Column("chain", sa.String(16), primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("first_seq", sa.BigInteger, nullable=False),
        sa.Column("first_hash", sa.String(64), nullable=False),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("last_hash", sa.String(64), nullable=False),
    )
    op.add_column("admin_audit", sa.Column("seq", sa.BigInteger))
    op.add_column("admin_audit", sa.Column("hash", sa.String(64)))
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"CREATE INDEX audit_search ON audit USING gin ({_SEARCHED})")
        return
    options = op.get_bind().exec_driver_sql("PRAGMA compile_options").scalars().all()
    if "ENABLE_FTS5" not in options:
        # Searching then reads every text.
        return
    op.execute(
        "CREATE VIRTUAL TABLE audit_text USING fts5"
        "(request, response, content='audit', content_rowid='n')"
    )
    op.execute(
        "CREATE TRIGGER audit_text_in AFTER INSERT ON audit BEGIN "
        "INSERT INTO audit_text(rowid, request, response) "
        "VALUES (new.n, new.request, new.response); END"
    )
    op.execute(
        "CREATE TRIGGER audit_text_out AFTER DELETE ON audit BEGIN "
        "INSERT INTO audit_text(audit_text, rowid, request, response) "
        "VALUES ('delete', old.n, old.request, old.response); END"
    )
