"""Sums of whole days beside those of hours; hours by time. The days' sums are made in the background."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_SUMS = (
    "calls", "errors", "cached", "input_tokens", "output_tokens", "cache_read_tokens",
    "cache_write_tokens", "reasoning_tokens", "audio_tokens", "cost_pico", "saved_pico", "duration_us",
)  # fmt: skip


def upgrade() -> None:
    op.create_table(
        "usage_daily",
        sa.Column("scope", sa.String(8), nullable=False),
        sa.Column("by_model", sa.Boolean, nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("provider", sa.String(64), nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in _SUMS),
        sa.PrimaryKeyConstraint(
            "scope", "by_model", "day", "tenant", "subject", "provider", "model"
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "usage_days",
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("whole", sa.Boolean, nullable=False),
        sa.Column("turn", sa.BigInteger, nullable=False),
    )
    op.create_index("usage_hourly_time", "usage_hourly", ["scope", "hour"])
