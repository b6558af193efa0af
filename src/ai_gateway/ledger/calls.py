"""Single calls as the ledger has them."""

from collections.abc import Container
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct, ValidationError
from msgspec.json import Decoder, encode
from sqlalchemy import ColumnElement, Row, Select, func, or_, select

from ai_gateway.model.usage_report import (
    CallAttempt,
    CallDetail,
    CallPage,
    CallRecord,
    CallStep,
)
from ai_gateway.storage.database import Database
from ai_gateway.storage.tables import usage

from .record import SIMILARITY, Course, dollars, first_id

_LOOKED_THROUGH = 20_000
"""Calls, for those that fit what no index knows."""
_TAGS = Decoder(tuple[str, ...]).decode
_COURSE = Decoder(Course).decode


class CallFilter(Struct, frozen=True, kw_only=True):
    """What no index finds."""

    failed: bool | None = None
    cache: str | None = None
    provider: str | None = None
    model: str | None = None
    """As asked for, or as the provider knows it."""
    route: str | None = None
    tag: str | None = None
    """`name=value`."""

    def on(self, of: Any) -> list[ColumnElement[bool]]:
        """`of`: the columns of `usage`."""
        found: list[ColumnElement[bool]] = []
        if self.failed is not None:
            found.append(of.error.is_not(None) if self.failed else of.error.is_(None))
        if self.model is not None:
            found.append(or_(of.model == self.model, of.requested_model == self.model))
        if self.tag is not None:
            # As it stands in the list, quotes and all: no tag is found by a part of it.
            found.append(of.tags.contains(encode(self.tag).decode(), autoescape=True))
        for column, wanted in (
            (of.cache, self.cache), (of.provider, self.provider), (of.route, self.route),
        ):  # fmt: skip
            if wanted is not None:
                found.append(column == wanted)
        return found


EVERY_CALL = CallFilter()


def newest_calls(
    tenant: str | None,
    *,
    key: str | None = None,
    user: str | None = None,
    before: str | None = None,
    start: datetime | None = None,
) -> Select[Any]:
    """By an index each."""
    newest = select(usage).order_by(usage.c.id.desc())
    if tenant is not None:
        newest = newest.where(usage.c.tenant == tenant)
    if key is not None:
        newest = newest.where(usage.c.key_id == key)
    if user is not None:
        newest = newest.where(usage.c.user == user)
    if before is not None:
        newest = newest.where(usage.c.id < before)
    if start is not None:
        newest = newest.where(usage.c.id >= first_id(start))
    return newest


async def calls_page(
    database: Database, newest: Select[Any], fitting: CallFilter, limit: int
) -> CallPage:
    """Raises DatabaseUnavailable."""
    if fitting == EVERY_CALL:
        async with database.read() as connection:
            rows = (await connection.execute(newest.limit(limit + 1))).all()
        data = [_call(row) for row in rows[:limit]]
        return CallPage(data=data, next=data[-1].id if len(rows) > limit else None)
    looked = newest.limit(_LOOKED_THROUGH).subquery()
    found = select(looked).where(*fitting.on(looked.c)).order_by(looked.c.id.desc())
    ends = select(func.count(), func.min(looked.c.id))
    async with database.read() as connection:
        rows = (await connection.execute(found.limit(limit + 1))).all()
        data = [_call(row) for row in rows[:limit]]
        if len(rows) > limit:
            return CallPage(data=data, next=data[-1].id)
        count, oldest = (await connection.execute(ends)).one()
    return CallPage(data=data, next=oldest if count == _LOOKED_THROUGH else None)


async def new_calls(
    database: Database, tenant: str | None, known: Container[str], *, looked_at: int, most: int
) -> tuple[list[str], list[CallRecord]]:
    """Of the newest, the ids that are not known, and the newest `most` of these calls. Newest first.
    Ids are read from their index; rows only where there is news. Raises DatabaseUnavailable."""
    newest = select(usage.c.id).order_by(usage.c.id.desc()).limit(looked_at)
    if tenant is not None:
        newest = newest.where(usage.c.tenant == tenant)
    async with database.read() as connection:
        found = (await connection.execute(newest)).scalars().all()
        ids = [id for id in found if id not in known]
        if not ids[:most]:
            return ids, []
        fresh = select(usage).where(usage.c.id.in_(ids[:most])).order_by(usage.c.id.desc())
        rows = (await connection.execute(fresh)).all()
    return ids, [_call(row) for row in rows]


async def one_call(database: Database, id: str) -> CallDetail | None:
    """Raises DatabaseUnavailable."""
    async with database.read() as connection:
        row = (await connection.execute(select(usage).where(usage.c.id == id))).one_or_none()
    return None if row is None else _detail(row)


def _call(row: Row[Any]) -> CallRecord:
    return CallRecord(**_told(row))


def _detail(row: Row[Any]) -> CallDetail:
    try:
        course = _COURSE(row.course) if row.course else Course()
    except ValidationError:
        # Another version's.
        course = Course()
    return CallDetail(
        **_told(row),
        steps=[
            CallStep(name=one.name, start_ms=one.begun / 1000, end_ms=one.ended / 1000)
            for one in course.steps
        ],
        asked=[
            CallAttempt(
                provider=one.provider,
                model=one.model,
                start_ms=one.begun / 1000,
                end_ms=one.ended / 1000,
                status=one.status,
                error=one.error,
            )
            for one in course.attempts
        ],
    )


def _told(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "at": datetime.fromtimestamp(row.at / 1000, UTC),
        "tenant": row.tenant,
        "user": row.user,
        "key": row.key_id,
        "request_id": row.request_id,
        "operation": row.operation,
        "endpoint": row.endpoint,
        "route": row.route,
        "requested_model": row.requested_model,
        "provider": row.provider,
        "model": row.model,
        "stream": row.stream,
        "status": row.status,
        "error": row.error,
        "cache": row.cache,
        "attempts": row.attempts,
        "usage_known": row.usage_known,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "cache_read_tokens": row.cache_read_tokens,
        "cache_write_tokens": row.cache_write_tokens,
        "reasoning_tokens": row.reasoning_tokens,
        "audio_tokens": row.audio_tokens,
        "cost_usd": None if row.cost_pico is None else dollars(row.cost_pico),
        "saved_usd": None if row.saved_pico is None else dollars(row.saved_pico),
        "price_version": row.price_version,
        "duration_ms": row.duration_us / 1000,
        "upstream_ms": row.upstream_us / 1000,
        "first_token_ms": None if row.first_token_us is None else row.first_token_us / 1000,
        "tags": _TAGS(row.tags) if row.tags else (),
        "trace_id": row.trace_id,
        "cache_key": row.cache_key,
        "similarity": None if row.similarity is None else row.similarity / SIMILARITY,
    }
