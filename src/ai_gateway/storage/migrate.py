"""Bringing a database to its newest form, with Alembic, one replica at a time.

A migration is `migrations/versions/NNNN_what_it_does.py`, its revision the number.
"""

from importlib.resources import files
from pathlib import Path

from sqlalchemy import Connection, inspect, text

_LOCK = 0x61692D6777  # "ai-gw", for PostgreSQL's advisory lock


def newest() -> str:
    """The revision that the code expects, from the files' names: Alembic need not be imported."""
    names = (p.name for p in (files("ai_gateway.storage") / "migrations" / "versions").iterdir())
    return max(name[:4] for name in names if name[:4].isdigit())


def current(connection: Connection) -> str | None:
    """The database's own; None where it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def is_current(connection: Connection) -> bool:
    """A database newer than the code counts as current: during a roll-out both versions run, and
    migrations only add."""
    found = current(connection)
    return found is not None and found >= newest()


def upgrade(connection: Connection) -> None:
    """In the transaction it is given: all or nothing. Replicas that start at once wait for each other
    here, on PostgreSQL by an advisory lock, on SQLite by the write lock the transaction began with."""
    from alembic import command
    from alembic.config import Config

    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    if is_current(connection):
        return
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
