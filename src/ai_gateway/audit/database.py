"""Records into the ledger's database, in batches, as a chain of this process's own.

While the database is away a batch waits and is tried again; what comes meanwhile waits behind it, up to
a bound, and is then dropped and counted. A batch that may have been written before the connection broke
is the same when it is tried again, and nothing is written twice.
"""

import asyncio
from collections.abc import Callable
from time import sleep, time
from typing import TYPE_CHECKING, Any

from msgspec.structs import astuple

from ai_gateway.courier import Loss
from ai_gateway.hash_chain import BEGINNING, Chain
from ai_gateway.model.audit import AuditRecord
from ai_gateway.storage.database import Database, DatabaseUnavailable

from .record import encode_fields
from .sink import CourierSink

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

_MOST_WAITING = 20_000
_MOST_WEIGHT = 128 * 1024 * 1024
_BATCH = 500
_EVERY = 0.2
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_WRITE_SECONDS = 60.0
_STRANGE_TRIES = 4


class Strange(Exception):
    """Neither plainly the database's fault nor the records': databases throw many things as they go and
    come, and some of them where a record is what they will not have."""


class DatabaseSink(CourierSink):
    name = "database"

    def __init__(
        self,
        database: Database,
        *,
        key: bytes | None,
        written: Callable[[int], None],
        lost: Callable[[Loss, int], None],
    ) -> None:
        self._database = database
        self._written = written
        self._lost = lost
        self._chain = Chain(key)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._away: str | None = None
        super().__init__(
            self._deliver,
            batch=_BATCH,
            every=_EVERY,
            lost=lost,
            most=_MOST_WAITING,
            most_weight=_MOST_WEIGHT,
        )

    @property
    def trouble(self) -> str | None:
        return self._away or super().trouble

    @property
    def head(self) -> tuple[str, int, str]:
        """Chain, number and hash of the last record that was kept: worth telling elsewhere."""
        return self._chain.name, *self._chain.position

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()

    def _deliver(self, records: list[AuditRecord]) -> None:
        """On the courier's thread; the database is spoken to on the loop."""
        pause = _FIRST_PAUSE
        size, strange = len(records), 0
        while records:
            batch = records[:size]
            try:
                self._write(batch)
            except (DatabaseUnavailable, TimeoutError, Strange) as error:
                strange = strange + 1 if isinstance(error, Strange) else 0
                if strange > _STRANGE_TRIES:
                    if size == 1:
                        self._lost("failed", 1)
                        records = records[1:]
                    # One by one, so that it alone is lost which the database will not have.
                    size, strange, pause = 1, 0, _FIRST_PAUSE
                    continue
                self._away = str(error) or type(error).__name__
                if self._courier.closing:
                    self._lost("closing", len(records))
                    return
                sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            self._away, strange, pause = None, 0, _FIRST_PAUSE
            records = records[len(batch) :]

    def _write(self, records: list[AuditRecord]) -> None:
        """All of them or none. Raises DatabaseUnavailable, TimeoutError, Strange."""
        assert self._loop is not None
        position = self._chain.position
        store = asyncio.run_coroutine_threadsafe(self._store(records), self._loop)
        try:
            store.result(_WRITE_SECONDS)
        except Exception as error:
            store.cancel()
            self._chain.rewind(position)
            if isinstance(error, TimeoutError | DatabaseUnavailable):
                raise
            raise Strange(type(error).__name__) from error

    async def _store(self, records: list[AuditRecord]) -> None:
        await self._database.open()
        first = self._chain.seq == 0
        rows: list[tuple[Any, ...]] = []
        for record in records:
            fields = astuple(record)
            link = self._chain.link(encode_fields(fields))
            rows.append((*fields, link.chain, link.seq, link.hash))
        async with self._database.write() as connection:
            await _insert_rows(connection, rows)
            await self._move_head(connection, first=first)
        self._written(len(records))

    async def _move_head(self, connection: "AsyncConnection", *, first: bool) -> None:
        from sqlalchemy import update

        from ai_gateway.storage.tables import audit_chains

        seq, head = self._chain.position
        if first:
            row = _insert(connection)(audit_chains).values(
                chain=self._chain.name, at=int(time()), first_seq=0, first_hash=BEGINNING,
                last_seq=seq, last_hash=head,
            )  # fmt: skip
            same = ["chain"]
            ends = {"last_seq": seq, "last_hash": head}
            await connection.execute(row.on_conflict_do_update(index_elements=same, set_=ends))
            return
        await connection.execute(
            update(audit_chains)
            .where(audit_chains.c.chain == self._chain.name)
            .values(last_seq=seq, last_hash=head)
        )


_COLUMNS = (*AuditRecord.__struct_fields__, "chain", "seq", "hash")


async def _insert_rows(connection: "AsyncConnection", rows: list[tuple[Any, ...]]) -> None:
    """What is there already stays as it is."""
    if connection.dialect.name == "sqlite":
        # Straight to the driver: SQLAlchemy takes as long over a row as SQLite does.
        names = ", ".join(f'"{name}"' for name in _COLUMNS)
        marks = ", ".join("?" for _ in _COLUMNS)
        statement = f"INSERT INTO audit ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING"
        await connection.exec_driver_sql(statement, rows)
        return
    from ai_gateway.storage.tables import audit

    values = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
    await connection.execute(_insert(connection)(audit).on_conflict_do_nothing(), values)


def _insert(connection: "AsyncConnection") -> Any:
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert
    from sqlalchemy.dialects import sqlite

    return sqlite.insert
