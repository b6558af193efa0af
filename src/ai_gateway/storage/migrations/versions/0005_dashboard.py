"""A call's course, trace and cached answer; calls by key and by user without reading all of them."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("usage", sa.Column("course", sa.Text))
    op.add_column("usage", sa.Column("trace_id", sa.String(32)))
    op.add_column("usage", sa.Column("cache_key", sa.Text))
    op.add_column("usage", sa.Column("similarity", sa.Integer))
    op.create_index("usage_key", "usage", ["key_id", "id"])
    op.create_index("usage_user", "usage", ["user", "id"])
    cached = sa.text("cache_key IS NOT NULL")
    for name, columns in (("usage_cached", ["id"]), ("usage_cached_tenant", ["tenant", "id"])):
        op.create_index(name, "usage", columns, sqlite_where=cached, postgresql_where=cached)
