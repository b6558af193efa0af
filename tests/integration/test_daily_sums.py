"""Sums of days: whatever is summed up by them, by hours or by single records is the same."""

import asyncio
import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, text

from ai_gateway.ledger import sums
from ai_gateway.ledger.daily import sum_up, whole_days
from ai_gateway.ledger.query import LedgerQueries
from ai_gateway.ledger.store import keep
from ai_gateway.model.usage_report import Grouping, UsageReport
from ai_gateway.storage.database import Database
from ai_gateway.storage.tables import usage_daily, usage_hourly
from tests.integration.test_storage import whole

FIRST = datetime(2026, 3, 1, tzinfo=UTC)
NOW = FIRST + timedelta(days=9, hours=7)
DAY = int(FIRST.timestamp()) // 86400


def some(count: int, first: datetime, last: datetime, seed: int = 1) -> list[dict[str, Any]]:
    chance = random.Random(seed)
    found: list[dict[str, Any]] = []
    for number in range(count):
        at = int(chance.uniform(first.timestamp(), last.timestamp()) * 1000)
        found.append(whole({
            "id": f"{at:012x}{seed:04x}{number:016x}", "tenant": chance.choice(["a", "b", "c"]),
            "user": f"u{chance.randrange(4)}", "key_id": chance.choice([None, "k1", "k2"]),
            "route": chance.choice([None, "smart", "cheap"]),
            "tags": chance.choice([None, '["team=x"]', '["team=x","env=y"]']),
            "model": chance.choice(["m1", "m2", ""]), "provider": chance.choice(["p1", "p2"]),
            "status": 200, "error": chance.choice([None, None, "upstream"]),
            "cache": chance.choice(["hit", "miss"]), "cost_pico": chance.choice([None, 10**9 + number]),
            "input_tokens": chance.randrange(1000),
        }))  # fmt: skip
    return found


async def kept(database: Database, records: Sequence[dict[str, Any]]) -> None:
    async with database.write() as connection:
        await keep(connection, json.dumps(records))


async def days_of(database: Database) -> list[int]:
    async with database.read() as connection:
        return sorted(day - DAY for day in await whole_days(connection, 0, 10**6))


_FIELDS: dict[str, str] = {"key": "key_id"}


def expected(
    records: Sequence[dict[str, Any]], asked: dict[str, Any]
) -> dict[tuple[Any, ...], int]:
    """Tokens by group, from the records alone."""
    first = asked["start"].replace(minute=0, second=0)
    last = asked["end"]
    found: dict[tuple[Any, ...], int] = {}
    for one in records:
        at = datetime.fromtimestamp(one["at"] / 1000, UTC)
        scope, subject = str(asked["scope"]), asked.get("subject", "")
        tags = json.loads(one["tags"] or "[]")
        if not first <= at < last or asked["tenant"] not in (None, one["tenant"]):
            continue
        if scope == "tag" and subject not in tags:
            continue
        if (
            scope in ("key", "user", "route")
            and subject
            and one[_FIELDS.get(scope, scope)] != subject
        ):
            continue
        if any(asked.get(name) not in (None, one[name]) for name in ("provider", "model")):
            continue
        for tag in tags if "tag" in asked["by"] else [None]:
            group: list[Any] = []
            for by in map(str, asked["by"]):
                offset = timedelta(hours=asked.get("utc_offset", 0))
                local = at + offset
                match by:
                    case "day":
                        group.append(
                            local.replace(hour=0, minute=0, second=0, microsecond=0) - offset
                        )
                    case "hour":
                        group.append(at.replace(minute=0, second=0, microsecond=0))
                    case "tag":
                        group.append(tag)
                    case _:
                        group.append(one[_FIELDS.get(by, by)])
            if None not in group:
                found[tuple(group)] = found.get(tuple(group), 0) + one["input_tokens"]
    return {group: tokens for group, tokens in found.items() if tokens}


def told(report: UsageReport, by: Sequence[Grouping]) -> dict[tuple[Any, ...], int]:
    names = ["start" if one in ("day", "hour") else one for one in by]
    found = {tuple(getattr(g, name) for name in names): g.input_tokens for g in report.groups}
    return {group: tokens for group, tokens in found.items() if tokens}


QUESTIONS: list[dict[str, Any]] = [
    {"scope": "all", "tenant": None, "by": ["model"]},
    {"scope": "all", "tenant": None, "by": ["tenant"]},
    {"scope": "all", "tenant": None, "by": ["tenant", "user"]},
    {"scope": "all", "tenant": None, "by": ["tenant", "user"], "model": "m1"},
    {"scope": "all", "tenant": None, "by": ["tenant", "tag"], "provider": "p2"},
    {"scope": "all", "tenant": None, "by": ["tenant", "tag"]},
    {"scope": "all", "tenant": None, "by": ["key"]},
    {"scope": "all", "tenant": None, "by": ["tenant", "route", "model"]},
    {"scope": "all", "tenant": None, "by": ["day", "provider"]},
    {"scope": "all", "tenant": None, "by": ["day", "model"], "utc_offset": 9},
    {"scope": "all", "tenant": None, "by": ["tenant", "user"], "utc_offset": -5},
    {"scope": "all", "tenant": None, "by": ["hour"]},
    {"scope": "tenant", "tenant": "b", "by": ["day"]},
    {"scope": "tenant", "tenant": "b", "by": ["user"]},
    {"scope": "tag", "tenant": None, "subject": "team=x", "by": ["tenant"]},
    {"scope": "tag", "tenant": None, "subject": "env=y", "by": ["day", "model"], "utc_offset": 2},
    {"scope": "key", "tenant": None, "subject": "k1", "by": ["tenant", "model"]},
    {"scope": "route", "tenant": "c", "subject": "smart", "by": ["provider"]},
    {"scope": "user", "tenant": "a", "subject": "u1", "by": ["day"]},
]  # fmt: skip


async def test_by_days_by_hours_and_by_records_is_the_same(
    opened: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = some(700, FIRST, NOW)
    await kept(opened, records)
    ledger = LedgerQueries(opened)
    chance = random.Random(2)
    spans: list[Any] = [(FIRST, NOW), (FIRST + timedelta(days=1), FIRST + timedelta(days=3))]
    for _ in range(3):
        hours = sorted(chance.sample(range(10 * 24), 2))
        spans.append(tuple(FIRST + timedelta(hours=hour) for hour in hours))
    by_hours: dict[tuple[int, int], UsageReport] = {}
    for number, asked in enumerate(QUESTIONS):
        for at, (start, end) in enumerate(spans):
            by_hours[number, at] = await ledger.report(**asked, start=start, end=end)
    assert await sum_up(opened, NOW.timestamp()) == 9
    assert await days_of(opened) == list(range(9))
    # Late records leave two days without sums, and many ranges of hours.
    async with opened.write() as connection:
        await connection.execute(
            text(f"DELETE FROM usage_days WHERE day IN ({DAY + 2}, {DAY + 5})")
        )
    for most in (8, 1):
        monkeypatch.setattr(sums, "_MOST_RANGES", most)
        for number, asked in enumerate(QUESTIONS):
            for at, (start, end) in enumerate(spans):
                where = (number, at, most)
                found = await ledger.report(**asked, start=start, end=end)
                assert found == by_hours[number, at], where
                groups = expected(records, {**asked, "start": start, "end": end})
                assert told(found, asked["by"]) == groups, where


async def test_whole_days_are_answered_by_their_own_sums(opened: Database) -> None:
    await kept(opened, some(50, FIRST, NOW))
    await sum_up(opened, NOW.timestamp())
    async with opened.write() as connection:
        await connection.execute(usage_hourly.delete())
    found = await LedgerQueries(opened).report(
        scope="all", tenant=None, start=FIRST, end=FIRST + timedelta(days=9), by=["tenant", "user"]
    )
    assert sum(group.requests for group in found.groups) == found.total.requests > 40


async def test_a_late_record_counts_at_once_and_its_day_is_summed_up_anew(opened: Database) -> None:
    await kept(opened, some(50, FIRST, NOW))
    await sum_up(opened, NOW.timestamp())
    late = some(3, FIRST + timedelta(days=4), FIRST + timedelta(days=5), seed=7)
    await kept(opened, late)
    assert await days_of(opened) == [0, 1, 2, 3, 5, 6, 7, 8]
    ledger = LedgerQueries(opened)
    week: dict[str, Any] = {"start": FIRST, "end": NOW}
    assert (await ledger.report(scope="all", tenant=None, by=["user"], **week)).total.requests == 53
    assert await sum_up(opened, NOW.timestamp()) == 1
    assert await days_of(opened) == list(range(9))
    assert (await ledger.report(scope="all", tenant=None, by=["user"], **week)).total.requests == 53
    # The same batch once more, as after a crash: nothing in it is new.
    await kept(opened, late)
    assert await days_of(opened) == list(range(9))


async def test_a_record_that_comes_while_its_day_is_summed_up_leaves_it_without_sums(
    opened: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ai_gateway.ledger import daily

    await kept(opened, some(20, FIRST, FIRST + timedelta(days=1)))
    made = daily._make_scope  # pyright: ignore[reportPrivateUsage]
    came = False

    async def meanwhile(connection: Any, scope: Any, day: int) -> None:
        nonlocal came
        await made(connection, scope, day)
        if scope == "user" and not came:
            came = True
            await keep(connection, json.dumps(some(1, FIRST, FIRST + timedelta(hours=9), seed=3)))

    monkeypatch.setattr(daily, "_make_scope", meanwhile)
    day_after = (FIRST + timedelta(days=1, hours=2)).timestamp()
    await sum_up(opened, day_after)
    assert await days_of(opened) == []
    await sum_up(opened, day_after)
    assert await days_of(opened) == [0]
    async with opened.read() as connection:
        calls = select(usage_daily.c.by_model, func.sum(usage_daily.c.calls))
        of_all = calls.where(usage_daily.c.scope == "all").group_by(usage_daily.c.by_model)
        assert {int(n) for _, n in (await connection.execute(of_all)).all()} == {21}


async def test_a_day_waits_for_who_is_writing(opened: Database) -> None:
    """Who began before the day was named knows nothing of it, so its record must be among the hours."""
    await kept(opened, some(20, FIRST, FIRST + timedelta(days=1)))
    async with opened.write() as connection:
        await keep(connection, json.dumps(some(1, FIRST, FIRST + timedelta(hours=9), seed=3)))
        making = asyncio.create_task(sum_up(opened, (FIRST + timedelta(days=2)).timestamp()))
        await asyncio.sleep(0.3)
        assert not making.done()
    await making
    assert await days_of(opened) == [0]
    async with opened.read() as connection:
        calls = select(func.sum(usage_daily.c.calls)).where(usage_daily.c.scope == "all")
        assert (await connection.execute(calls)).scalar() == 2 * 21


async def test_a_day_is_over_for_an_hour_before_it_is_summed_up(opened: Database) -> None:
    await kept(opened, some(10, FIRST, FIRST + timedelta(days=1)))
    midnight = (FIRST + timedelta(days=1)).timestamp()
    assert await sum_up(opened, midnight + 3500) == 0
    assert await sum_up(opened, midnight + 3700) == 1
    assert await sum_up(opened, midnight + 3800) == 0


async def test_what_another_version_added_to_the_hours_of_a_day_is_found(opened: Database) -> None:
    await kept(opened, some(50, FIRST, NOW))
    await sum_up(opened, NOW.timestamp())
    async with opened.write() as connection:
        late = usage_hourly.c.hour // 24 == DAY + 8
        await connection.execute(
            usage_hourly.update().where(late).values(calls=usage_hourly.c.calls + 1)
        )
    assert await sum_up(opened, NOW.timestamp()) == 1
    assert await sum_up(opened, NOW.timestamp()) == 0
