"""Work on the database that one replica does at a time: the others leave it to whoever is at it."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_TRY = text("SELECT pg_try_advisory_xact_lock(:lock)")


async def is_sole(connection: AsyncConnection, lock: int) -> bool:
    """Whether this transaction has the work that goes by the number `lock` to itself, to its end. On SQLite
    it holds the only write lock anyway."""
    if connection.dialect.name != "postgresql":
        return True
    return bool((await connection.execute(_TRY, {"lock": lock})).scalar())
