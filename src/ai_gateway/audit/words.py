"""SQLite's index of the audit's words, which follows the records.

To index a record's words takes several times what it takes to keep the record. So records are kept first and
their words indexed a little at a time; a search brings the index up to date as far as is quick, and
reads the records that are left. (PostgreSQL indexes by itself, and not in this process.)
"""

import asyncio
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from ai_gateway.storage.database import Database
from ai_gateway.storage.tables import audit

_A_SECOND = 250
"""Records that are indexed in a second: about a twentieth of a core."""
_BEFORE_A_SEARCH = 5000
_CHUNK = 250
_LAST = "(SELECT coalesce(max(id), 0) FROM audit_text_docsize)"
_EXISTS = text("SELECT 1 FROM sqlite_master WHERE name = 'audit_text'")
_INDEX = text(
    "INSERT INTO audit_text(rowid, request, response) SELECT n, request, response FROM audit "
    f"WHERE n > {_LAST} ORDER BY n LIMIT :most"
)
_of = audit.c


class WordIndex:
    """Every method raises DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._there: bool | None = None
        self._turn = asyncio.Lock()

    async def follow(self) -> None:
        """For ever, where there is such an index."""
        while await self._is_there():
            await self._index(_A_SECOND)
            await asyncio.sleep(1)

    async def catch_up(self) -> None:
        """Before a search: as far as is quick."""
        if await self._is_there():
            for _ in range(_BEFORE_A_SEARCH // _CHUNK):
                if await self._index(_CHUNK) < _CHUNK:
                    return

    async def _is_there(self) -> bool:
        if self._there is None:
            if self._database.is_postgresql:
                self._there = False
            else:
                async with self._database.read() as connection:
                    self._there = (await connection.execute(_EXISTS)).scalar() is not None
        return self._there

    async def _index(self, most: int) -> int:
        """How many records more are in the index now."""
        async with self._turn:
            async with self._database.read() as connection:
                newest = (await connection.execute(select(func.max(_of.n)))).scalar() or 0
                last = (await connection.execute(text(f"SELECT {_LAST}"))).scalar() or 0
            if newest <= last:
                return 0
            async with self._database.write() as connection:
                return (await connection.execute(_INDEX, {"most": most})).rowcount


async def has_words(connection: AsyncConnection, words: str) -> ColumnElement[bool]:
    """Records that have all these words, of an SQLite database."""
    if (await connection.execute(_EXISTS)).scalar() is None:
        return _read_through(words)
    # Quoted, so that no word is taken for FTS5's own language.
    quoted = " ".join('"' + word.replace('"', '""') + '"' for word in words.split())
    indexed: Any = text("n IN (SELECT rowid FROM audit_text WHERE audit_text MATCH :words)")
    later: Any = text(f"n > {_LAST}")
    return or_(indexed.bindparams(words=quoted), and_(later, _read_through(words)))


def _read_through(words: str) -> ColumnElement[bool]:
    found: list[ColumnElement[bool]] = []
    for word in words.split():
        pattern = "%" + word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        found.append(or_(*(c.like(pattern, escape="\\") for c in (_of.request, _of.response))))
    return and_(*found)
