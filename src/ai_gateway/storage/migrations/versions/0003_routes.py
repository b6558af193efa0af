"""Routes made by the admin API, experiments that were stopped, feedback; what a call was part of."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "routes",
        sa.Column("name", sa.String(128), primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("updated_by", sa.Text, nullable=False),
    )
    op.create_table(
        "experiment_stops",
        sa.Column("route", sa.String(128), nullable=False),
        sa.Column("experiment", sa.String(64), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("route", "experiment"),
    )
    op.create_table(
        "feedback",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("call", sa.String(128), nullable=False),
        sa.Column("user", sa.String(256), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("score", sa.Float),
        sa.Column("label", sa.String(64)),
        sa.Column("comment", sa.Text),
        sa.PrimaryKeyConstraint("tenant", "call", "user"),
    )
    op.add_column("usage", sa.Column("experiment", sa.String(64)))
    op.add_column("usage", sa.Column("variant", sa.String(64)))
    op.add_column("usage", sa.Column("shadow_of", sa.String(32)))
    op.create_index("usage_experiment", "usage", ["route", "experiment", "variant"])
