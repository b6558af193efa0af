"""Percentiles of calls' times, reckoned from a sample.

Ids begin with the time. Each step (an hour, a day) is cut into parts, and of each part the last few calls
are taken, by one short look at an index each: a busy hour costs what a quiet one does, and is seen from
its beginning to its end.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from msgspec import Struct
from msgspec.json import encode
from sqlalchemy import text

from ai_gateway.model.usage_report import LatencyGroup, LatencyReport, LatencyStep
from ai_gateway.storage.database import Database

from .record import first_id

SAMPLE = 250
"""Calls of a step."""
MOST_STEPS = 100
_MOST_PARTS = 120
"""In all, or a part for each step: SQLite takes no more than 500 in one statement."""
_MOST_GROUPS = 50
_CACHED = "('hit', 'semantic', 'joined')"


class LatencyFilter(Struct, frozen=True, kw_only=True):
    """By index: tenant, key, user. Of the sample: the others."""

    tenant: str | None = None
    key: str | None = None
    user: str | None = None
    provider: str | None = None
    model: str | None = None
    route: str | None = None
    tag: str | None = None


async def latency(
    database: Database,
    wanted: LatencyFilter,
    *,
    start: datetime,
    end: datetime,
    step: timedelta,
    by: Literal["provider", "model"] | None = None,
    utc_offset: int = 0,
) -> LatencyReport:
    """Raises DatabaseUnavailable. At most MOST_STEPS steps."""
    times = _steps(start, end, step, timedelta(hours=utc_offset))
    statement, values = _statement(times, step, wanted, by)
    async with database.read() as connection:
        rows = [tuple(row) for row in (await connection.execute(text(statement), values)).all()]
    # Some thousands of rows: sorting them is a few milliseconds that no call should wait for.
    return await asyncio.to_thread(_reckoned, times, rows)


_Times = tuple[list[int], list[int]]
"""Of whole calls and of first tokens, in microseconds."""


def _reckoned(times: list[datetime], rows: Sequence[tuple[Any, ...]]) -> LatencyReport:
    """`rows`: (step, name or None, duration, first token or None) each."""
    found: dict[tuple[int | None, str | None], _Times] = {}
    for step, name, duration, first in rows:
        places = [(None, None), (step, None)]
        if name is not None:
            places += [(None, name), (step, name)]
        for place in places:
            kept = found.get(place)
            if kept is None:
                kept = found[place] = ([], [])
            kept[0].append(duration)
            if first is not None:
                kept[1].append(first)
    for durations, firsts in found.values():
        durations.sort()
        firsts.sort()

    def told(name: str | None) -> list[LatencyStep]:
        return [_step(at, found.get((number, name))) for number, at in enumerate(times)]

    names = [name for step, name in found if step is None and name is not None]
    names.sort(key=lambda name: -len(found[None, name][0]))
    return LatencyReport(
        sample=SAMPLE,
        total=_step(None, found.get((None, None))),
        steps=told(None),
        groups=[
            LatencyGroup(name=name, total=_step(None, found[None, name]), steps=told(name))
            for name in names[:_MOST_GROUPS]
        ],
    )


def _steps(start: datetime, end: datetime, step: timedelta, offset: timedelta) -> list[datetime]:
    beginning = datetime.min.replace(tzinfo=start.tzinfo)
    at = start - (start + offset - beginning) % step
    times: list[datetime] = []
    while at < end:
        times.append(at)
        at += step
    return times


def _statement(
    times: list[datetime],
    step: timedelta,
    wanted: LatencyFilter,
    by: Literal["provider", "model"] | None,
) -> tuple[str, Mapping[str, Any]]:
    parts = max(1, min(8, _MOST_PARTS // len(times)))
    values: dict[str, Any] = {}

    def given(names: Iterable[tuple[str, str]], prefix: str = "") -> str:
        """Conditions, their values noted. Columns' names are this module's own."""
        found = ""
        for field, column in names:
            value = getattr(wanted, field)
            if value is not None:
                values[field] = value
                found += f' AND {prefix}"{column}" = :{field}'
        return found

    indexed = given((("tenant", "tenant"), ("key", "key_id"), ("user", "user")))
    rest = given((("provider", "provider"), ("model", "model"), ("route", "route")))
    if wanted.tag is not None:
        # As it stands in the list, quotes and all.
        values["tag"] = f"%{_escaped(encode(wanted.tag).decode())}%"
        rest += " AND tags LIKE :tag ESCAPE '!'"
    # What the cache answered says nothing of a provider, nor of its model.
    asked = f"CASE WHEN cache IN {_CACHED} THEN NULL ELSE {by} END"
    name = "NULL" if by is None else asked
    looks: list[str] = []
    for number, at in enumerate(times):
        for part in range(parts):
            first, last = (first_id(at + step * (part + n) / parts) for n in (0, 1))
            looks.append(
                f"SELECT {number} AS step, q.* FROM (SELECT duration_us, first_token_us, provider, "
                f"model, route, tags, cache FROM usage WHERE id >= '{first}' AND id < '{last}'{indexed} "
                f"ORDER BY id DESC LIMIT {SAMPLE // parts}) AS q"
            )
    union = " UNION ALL ".join(looks)
    statement = f"SELECT step, {name}, duration_us, first_token_us FROM ({union}) AS looked"
    return f"{statement} WHERE true{rest}", values


def _escaped(text: str) -> str:
    for special in "!%_":
        text = text.replace(special, f"!{special}")
    return text


def _step(start: datetime | None, times: _Times | None) -> LatencyStep:
    whole, first = ([], []) if times is None else times
    return LatencyStep(
        start=start,
        calls=len(whole),
        p50_ms=_tail(whole, 0.5),
        p95_ms=_tail(whole, 0.95),
        p99_ms=_tail(whole, 0.99),
        first_token_p50_ms=_tail(first, 0.5),
        first_token_p95_ms=_tail(first, 0.95),
    )


def _tail(ordered: list[int], part: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] / 1000 if ordered else None
