"""Sums of days, made of their hours when the day is over: a scope at a time, each a short transaction.

A record that comes late takes its day out of `usage_days`, in the transaction that adds it to its hour;
so a day counts as whole only as long as its sums are those of its hours.
"""

import asyncio
from collections.abc import Collection
from secrets import randbits
from typing import get_args

from sqlalchemy import delete, false, func, insert, literal, select, text, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ai_gateway.model.usage_report import Scope
from ai_gateway.storage.database import Database
from ai_gateway.storage.sole import is_sole
from ai_gateway.storage.tables import usage_daily, usage_days, usage_hourly

from .sums import DAY_HOURS, SUMS

SCOPES: tuple[Scope, ...] = get_args(Scope)
_SETTLED = 3600.0
"""A day is over for a while before its sums are made: calls that ended late have come by then."""
_PAUSE = 0.05
_COMPARED = 3
"""Of the last days it is looked whether they have the calls of their hours: while versions change, one
that knows of no days may add to them."""
_LOCK = 0x6461696C79  # "daily"
_hour, _day = usage_hourly.c, usage_daily.c
_OF_ALL = (_hour.scope == "all", _hour.tenant == "", _hour.subject == "")


async def sum_up(database: Database, now: float) -> int:
    """Every day that is over and has no sums, the newest first. How many were made.
    `now`: seconds since the epoch. Raises DatabaseUnavailable."""
    made = 0
    for day in await _due(database, int((now - _SETTLED) // 86400)):
        if not await _make(database, day):
            # Another replica is at it.
            return made
        made += 1
        await asyncio.sleep(_PAUSE)
    return made


async def whole_days(connection: AsyncConnection, first: int, last: int) -> Collection[int]:
    if first >= last:
        return []
    of = usage_days.c
    found = select(of.day).where(of.day >= first, of.day < last, of.whole == true())
    return (await connection.execute(found)).scalars().all()


async def _due(database: Database, today: int) -> list[int]:
    oldest = select(func.min(_hour.hour)).where(*_OF_ALL)
    async with database.read() as connection:
        first = (await connection.execute(oldest)).scalar()
        if first is None:
            return []
        whole = set(await whole_days(connection, 0, today))
        whole -= await _other_than_their_hours(connection, today)
    return [day for day in range(today - 1, first // DAY_HOURS - 1, -1) if day not in whole]


async def _other_than_their_hours(connection: AsyncConnection, today: int) -> set[int]:
    since = today - _COMPARED
    hours = (
        select((_hour.hour - _hour.hour % DAY_HOURS).label("start"), func.sum(_hour.calls))
        .where(*_OF_ALL, _hour.hour >= since * DAY_HOURS, _hour.hour < today * DAY_HOURS)
        .group_by("start")
    )
    days = select(_day.day, _day.calls).where(
        _day.scope == "all", _day.by_model == false(), _day.day >= since, _day.day < today
    )
    by_hours = {int(at) // DAY_HOURS: int(n) for at, n in (await connection.execute(hours)).all()}
    by_days = {int(at): int(n) for at, n in (await connection.execute(days)).all()}
    return {at for at in range(since, today) if by_hours.get(at, 0) != by_days.get(at, 0)}


async def _make(database: Database, day: int) -> bool:
    """False where another replica does. A record that comes meanwhile leaves the day without sums."""
    turn = randbits(62)
    of = usage_days.c
    async with database.write() as connection:
        if not await is_sole(connection, _LOCK):
            return False
        await connection.execute(delete(usage_days).where(of.day == day))
        await connection.execute(insert(usage_days).values(day=day, whole=False, turn=turn))
    await _after_all_who_write(database)
    for scope in SCOPES:
        async with database.write() as connection:
            if not await is_sole(connection, _LOCK):
                return False
            await _make_scope(connection, scope, day)
    async with database.write() as connection:
        done = update(usage_days).where(of.day == day, of.turn == turn).values(whole=True)
        await connection.execute(done)
    return True


async def _make_scope(connection: AsyncConnection, scope: Scope, day: int) -> None:
    await connection.execute(delete(usage_daily).where(_day.scope == scope, _day.day == day))
    whose = (_hour.tenant, _hour.subject, _hour.provider, _hour.model)
    by_model = (
        select(
            literal(scope), true(), literal(day), *whose,
            *[func.sum(_hour[name]) for name in SUMS],
        )
        .where(_hour.scope == scope,
               _hour.hour >= day * DAY_HOURS, _hour.hour < (day + 1) * DAY_HOURS)
        .group_by(*whose)
        .order_by(*whose)
    )  # fmt: skip
    names = [column.name for column in usage_daily.columns]
    await connection.execute(insert(usage_daily).from_select(names, by_model))
    whose = (_day.tenant, _day.subject)
    together = (
        select(
            literal(scope), false(), literal(day), *whose, literal(""), literal(""),
            *[func.sum(_day[name]) for name in SUMS],
        )
        .where(_day.scope == scope, _day.by_model == true(), _day.day == day)
        .group_by(*whose)
        .order_by(*whose)
    )  # fmt: skip
    await connection.execute(insert(usage_daily).from_select(names, together))


async def _after_all_who_write(database: Database) -> None:
    """Until those have ended who began before the day was named, and so could not know of it. SQLite's
    one writer has."""
    if database.is_postgresql:
        async with database.write() as connection:
            await connection.execute(text("SET LOCAL lock_timeout = '5s'"))
            await connection.execute(text("LOCK TABLE usage_hourly IN SHARE MODE"))
