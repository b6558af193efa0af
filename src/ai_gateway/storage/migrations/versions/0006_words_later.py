"""On SQLite the audit's words are indexed after the records are kept, not with them: see `audit.words`."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    if op.get_bind().dialect.name != "sqlite":
        return
    found = op.get_bind().exec_driver_sql("SELECT 1 FROM sqlite_master WHERE name = 'audit_text'")
    if found.scalar() is None:
        return
    op.execute("DROP TRIGGER audit_text_in")
    op.execute("DROP TRIGGER audit_text_out")
    # What is not in the index must not be taken out of it.
    op.execute(
        "CREATE TRIGGER audit_text_out AFTER DELETE ON audit "
        "WHEN old.n <= (SELECT coalesce(max(id), 0) FROM audit_text_docsize) BEGIN "
        "INSERT INTO audit_text(audit_text, rowid, request, response) "
        "VALUES ('delete', old.n, old.request, old.response); END"
    )
