"""Finding, verifying and letting go of what the database keeps of the audit."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import ColumnElement, bindparam, delete, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ai_gateway.hash_chain import Verifier
from ai_gateway.model.audit import (
    AuditPage,
    ChainedRecord,
    ChainReport,
)
from ai_gateway.storage.admin_audit import ACTS, content_of
from ai_gateway.storage.database import Database
from ai_gateway.storage.sole import is_sole
from ai_gateway.storage.tables import admin_audit, audit, audit_chains

from .record import canonical
from .words import WordIndex, has_words

_PAGE = 500
_LOCK = 0x6175646974  # "audit"
_FIELDS = ChainedRecord.__struct_fields__
_of = audit.c
_SEARCHED = (
    "to_tsvector('simple', left(coalesce(request, '') || ' ' || coalesce(response, ''), 100000))"
    " @@ websearch_to_tsquery('simple', :words)"
)


class Filters(Struct, frozen=True, kw_only=True):
    """All that are given must hold."""

    tenant: str | None = None
    key: str | None = None
    user: str | None = None
    model: str | None = None
    """As asked for, or as the provider names it."""
    status: int | None = None
    error: str | None = None
    request_id: str | None = None
    text: str | None = None
    """Words, all of them in the request or the answer."""
    start: int | None = None
    """Milliseconds since 1970."""
    end: int | None = None
    before: str | None = None
    """The id that the page ends above."""


class AuditSearch:
    """Every method raises DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.words = WordIndex(database)

    async def page(self, filters: Filters, limit: int) -> AuditPage:
        """Newest first."""
        if filters.text:
            await self.words.catch_up()
        async with self._database.read() as connection:
            found = await _select(connection, filters, limit)
        return AuditPage(data=found, next=found[-1].id if len(found) == limit else None)

    async def record(self, id: str) -> ChainedRecord | None:
        async with self._database.read() as connection:
            row = (
                await connection.execute(select(*_columns()).where(_of.id == id))
            ).mappings().one_or_none()  # fmt: skip
        return None if row is None else _record(row)

    async def every(self, filters: Filters) -> AsyncGenerator[Sequence[ChainedRecord], None]:
        """All that match, newest first, page by page, none of them held for long."""
        if filters.text:
            await self.words.catch_up()
        while True:
            async with self._database.read() as connection:
                found = await _select(connection, filters, _PAGE)
            if found:
                yield found
            if len(found) < _PAGE:
                return
            filters = _before(filters, found[-1].id)

    async def verify(self, key: bytes | None) -> list[ChainReport]:
        """Every chain, from its oldest record on; a page of records at a time."""
        async with self._database.read() as connection:
            chains = (await connection.execute(select(audit_chains))).mappings().all()
            known = {str(chain["chain"]) for chain in chains}
            strays = (await connection.execute(select(_of.chain).distinct())).scalars().all()
        reports = [await self._verify_chain(chain, key) for chain in chains]
        reports += [
            ChainReport(chain=name, records=0, last=0, head="", faults=["its entry is missing"])
            for name in strays
            if name not in known
        ]
        return reports

    async def has_link(self, chain: str, seq: int, hash: str) -> bool:
        """Whether a record stands in its chain with this hash, or was let go of by its age."""
        async with self._database.read() as connection:
            first = (
                await connection.execute(
                    select(audit_chains.c.first_seq).where(audit_chains.c.chain == chain)
                )
            ).scalar()
            if chain == ACTS:
                found = select(admin_audit.c.hash).where(admin_audit.c.seq == seq)
            else:
                found = select(_of.hash).where(_of.chain == chain, _of.seq == seq)
            kept = (await connection.execute(found)).scalar()
        return kept == hash or (first is not None and seq <= first)

    async def _verify_chain(self, chain: Mapping[Any, Any], key: bytes | None) -> ChainReport:
        name = str(chain["chain"])
        verifier = Verifier(key, name, seq=chain["first_seq"], head=chain["first_hash"])
        after = -1
        while True:
            async with self._database.read() as connection:
                rows = await _links(connection, name, after)
            verifier.follow(rows)
            if len(rows) < _PAGE:
                break
            after = rows[-1][1]
        # A record may have been added since the chains were looked up.
        async with self._database.read() as connection:
            ends = select(audit_chains.c.last_seq, audit_chains.c.last_hash)
            last, head = (await connection.execute(ends.where(audit_chains.c.chain == name))).one()
            verifier.follow(await _links(connection, name, verifier.seq))
        return verifier.finish(last, head)

    async def let_go(self, days: float, now: float) -> int:
        """Records older than `days`, from the front of each chain, which then runs from after them.
        `now`: seconds since 1970. How many went."""
        oldest = int((now - days * 86400) * 1000)
        gone = 0
        async with self._database.read() as connection:
            chains = (
                await connection.execute(
                    select(audit_chains.c.chain).where(audit_chains.c.chain != ACTS)
                )
            ).scalars().all()  # fmt: skip
        for chain in chains:
            while True:
                count = await self._let_go_of_some(chain, oldest)
                gone += count
                if count < _PAGE:
                    break
                await asyncio.sleep(0.05)
        return gone

    async def _let_go_of_some(self, chain: str, oldest: int) -> int:
        own = _of.chain == chain
        async with self._database.write() as connection:
            if not await is_sole(connection, _LOCK):
                return 0
            kept_from = (
                await connection.execute(select(func.min(_of.seq)).where(own, _of.at >= oldest))
            ).scalar()
            old = select(_of.seq, _of.hash).where(own)
            if kept_from is not None:
                old = old.where(_of.seq < kept_from)
            rows = (await connection.execute(old.order_by(_of.seq).limit(_PAGE))).all()
            if not rows:
                return 0
            seq, hash = rows[-1]
            await connection.execute(delete(audit).where(own, _of.seq <= seq))
            await connection.execute(
                update(audit_chains)
                .where(audit_chains.c.chain == chain)
                .values(first_seq=seq, first_hash=hash)
            )
        return len(rows)


async def _links(
    connection: AsyncConnection, chain: str, after: int
) -> list[tuple[str, int, str, bytes]]:
    if chain == ACTS:
        c = admin_audit.c
        statement: Any = select(admin_audit).where(c.seq > after).order_by(c.seq).limit(_PAGE)
        rows = (await connection.execute(statement)).mappings().all()
        return [(row["id"], row["seq"], row["hash"], content_of(row)) for row in rows]
    statement = (
        select(*_columns())
        .where(_of.chain == chain, _of.seq > after)
        .order_by(_of.seq)
        .limit(_PAGE)
    )
    records = [_record(row) for row in (await connection.execute(statement)).mappings()]
    return [(record.id, record.seq, record.hash, canonical(record)) for record in records]


async def _select(connection: AsyncConnection, filters: Filters, limit: int) -> list[ChainedRecord]:
    conditions: list[ColumnElement[bool]] = []
    for column, value in (
        (_of.tenant, filters.tenant),
        (_of.key_id, filters.key),
        (_of.user, filters.user),
        (_of.status, filters.status),
        (_of.error, filters.error),
        (_of.request_id, filters.request_id),
    ):
        if value is not None:
            conditions.append(column == value)
    if filters.model is not None:
        named = (_of.model == filters.model, _of.requested_model == filters.model)
        conditions.append(or_(*named))
    if filters.start is not None:
        conditions.append(_of.at >= filters.start)
    if filters.end is not None:
        conditions.append(_of.at < filters.end)
    if filters.before is not None:
        conditions.append(_of.id < filters.before)
    statement = select(*_columns()).where(*conditions)
    if filters.text:
        statement = statement.where(await _words(connection, filters.text))
    rows = (await connection.execute(statement.order_by(_of.id.desc()).limit(limit))).mappings()
    return [_record(row) for row in rows]


async def _words(connection: AsyncConnection, words: str) -> Any:
    if connection.dialect.name == "postgresql":
        return text(_SEARCHED).bindparams(bindparam("words", words))
    return await has_words(connection, words)


def _columns() -> list[Any]:
    return [_of[name] for name in _FIELDS]


def _record(row: Mapping[Any, Any]) -> ChainedRecord:
    return ChainedRecord(**{name: row[name] for name in _FIELDS})


def _before(filters: Filters, id: str) -> Filters:
    return replace(filters, before=id)
