"""Records into the ledger's database, in batches, as a chain of this process's own.

While the database is away a batch waits and is tried again; what comes meanwhile waits behind it, up to
a bound, and is then dropped and counted. A batch that may have been written before the connection broke
is the same when it is tried again, and nothing is written twice.
"""

import asyncio
from collections.abc import Callable
from time import sleep, time
from typing import TYPE_CHECKING, Any

from ai_gateway.courier import Courier, Loss
from ai_gateway.hash_chain import BEGINNING, Chain
from ai_gateway.model.audit import AuditRecord
from ai_gateway.storage.database import Database, DatabaseUnavailable

from .jsonl import weight_of
from .record import canonical

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

_MOST_WAITING = 20_000
_MOST_WEIGHT = 128 * 1024 * 1024
_BATCH = 500
_EVERY = 0.2
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_WRITE_SECONDS = 60.0


class DatabaseSink:
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
        self._courier: Courier[AuditRecord] = Courier(
            "audit-database", self._deliver, most=_MOST_WAITING, batch=_BATCH, every=_EVERY,
            lost=lost, weigh=weight_of, most_weight=_MOST_WEIGHT,
        )  # fmt: skip

    @property
    def trouble(self) -> str | None:
        return self._away or self._courier.trouble

    @property
    def waiting(self) -> int:
        return self._courier.waiting

    @property
    def head(self) -> tuple[str, int, str]:
        """Chain, number and hash of the last record that was kept: worth telling elsewhere."""
        return self._chain.name, *self._chain.position

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()

    def put(self, record: AuditRecord) -> None:
        self._courier.put(record)

    def close(self, seconds: float) -> None:
        self._courier.close(seconds)

    def _deliver(self, records: list[AuditRecord]) -> None:
        """On the courier's thread; the database is spoken to on the loop."""
        pause = _FIRST_PAUSE
        while True:
            try:
                self._write(records)
            except (DatabaseUnavailable, TimeoutError) as error:
                self._away = str(error) or type(error).__name__
                if self._courier.closing:
                    raise
                sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                self._away = None
                return

    def _write(self, records: list[AuditRecord]) -> None:
        assert self._loop is not None
        position = self._chain.position
        try:
            store = asyncio.run_coroutine_threadsafe(self._store(records), self._loop)
            store.result(_WRITE_SECONDS)
        except (DatabaseUnavailable, TimeoutError):
            self._chain.rewind(position)
            raise
        except Exception:
            self._chain.rewind(position)
            if len(records) == 1:
                # It alone is what the database will not have.
                self._lost("failed", 1)
                return
            for record in records:
                self._write([record])

    async def _store(self, records: list[AuditRecord]) -> None:
        await self._database.open()
        from ai_gateway.storage.tables import audit

        first = self._chain.seq == 0
        rows: list[dict[str, Any]] = []
        for record in records:
            link = self._chain.link(canonical(record))
            row = {name: getattr(record, name) for name in AuditRecord.__struct_fields__}
            rows.append(row | {"chain": link.chain, "seq": link.seq, "hash": link.hash})
        async with self._database.write() as connection:
            insert = _insert(connection)
            await connection.execute(insert(audit).on_conflict_do_nothing(), rows)
            await self._move_head(connection, insert, first=first)
        self._written(len(records))

    async def _move_head(self, connection: "AsyncConnection", insert: Any, *, first: bool) -> None:
        from sqlalchemy import update

        from ai_gateway.storage.tables import audit_chains

        seq, head = self._chain.position
        if first:
            row = insert(audit_chains).values(
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


def _insert(connection: "AsyncConnection") -> Any:
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.insert
    from sqlalchemy.dialects import sqlite

    return sqlite.insert
