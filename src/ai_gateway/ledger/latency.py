"""Percentiles of calls' times, reckoned in the database from a sample.

Ids begin with the time. Each step (an hour, a day) is cut into parts, and of each part the last few calls
are taken, by one short look at an index each: a busy hour costs what a quiet one does, and is seen from
its beginning to its end.
"""

from collections.abc import Iterable, Mapping
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
_MOST_PARTS = 240
"""In all: SQLite takes no more than 500 in one statement."""
_MOST_GROUPS = 50
_CACHED = "('hit', 'semantic', 'joined')"

# The value at place `int(part * count)` of the ordered ones, counted from nought.
_RANKED = """
    , many AS ({many}), ranked AS (
        SELECT step, name, duration_us, first_token_us,
               ROW_NUMBER() OVER (PARTITION BY step, name ORDER BY duration_us) AS place,
               COUNT(*) OVER (PARTITION BY step, name) AS calls,
               ROW_NUMBER() OVER (PARTITION BY step, name ORDER BY
                   CASE WHEN first_token_us IS NULL THEN 1 ELSE 0 END, first_token_us) AS first_place,
               COUNT(first_token_us) OVER (PARTITION BY step, name) AS streams
        FROM many
    )
    SELECT step, name, MAX(calls) AS calls,
           MIN(CASE WHEN place > 0.5 * calls THEN duration_us END) AS p50,
           MIN(CASE WHEN place > 0.95 * calls THEN duration_us END) AS p95,
           MIN(CASE WHEN place > 0.99 * calls THEN duration_us END) AS p99,
           MIN(CASE WHEN first_place > 0.5 * streams THEN first_token_us END) AS first_p50,
           MIN(CASE WHEN first_place > 0.95 * streams THEN first_token_us END) AS first_p95
    FROM ranked GROUP BY step, name ORDER BY step, name
"""


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
        rows = (await connection.execute(text(statement), values)).mappings().all()
    found = {(row["step"], row["name"]): row for row in rows}

    def told(name: str | None) -> list[LatencyStep]:
        return [_step(at, found.get((number, name))) for number, at in enumerate(times)]

    names = [name for number, name in found if number == -1 and name is not None]
    names.sort(key=lambda name: -found[-1, name]["calls"])
    return LatencyReport(
        sample=SAMPLE,
        total=_step(None, found.get((-1, None))),
        steps=told(None),
        groups=[
            LatencyGroup(name=name, total=_step(None, found[-1, name]), steps=told(name))
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
    asked = "" if by is None else f" AND (cache IS NULL OR cache NOT IN {_CACHED})"
    name = "CAST(NULL AS VARCHAR(256))" if by is None else by
    looks: list[str] = []
    for number, at in enumerate(times):
        for part in range(parts):
            first, last = (first_id(at + step * (part + n) / parts) for n in (0, 1))
            looks.append(
                f"SELECT {number} AS step, q.* FROM (SELECT duration_us, first_token_us, provider, "
                f"model, route, tags, cache FROM usage WHERE id >= '{first}' AND id < '{last}'{indexed} "
                f"ORDER BY id DESC LIMIT {SAMPLE // parts}) AS q"
            )
    sample = (
        f"WITH looked AS ({' UNION ALL '.join(looks)}), sample AS (SELECT step, {name} AS name, "
        f"duration_us, first_token_us, cache FROM looked WHERE true{rest})"
    )
    columns = "duration_us, first_token_us FROM sample"
    nobody = "CAST(NULL AS VARCHAR(256)) AS name"
    many = [f"SELECT step, {nobody}, {columns}", f"SELECT -1 AS step, {nobody}, {columns}"]
    if by is not None:
        many += [
            f"SELECT step, name, {columns} WHERE true{asked}",
            f"SELECT -1 AS step, name, {columns} WHERE true{asked}",
        ]
    return sample + _RANKED.format(many=" UNION ALL ".join(many)), values


def _escaped(text: str) -> str:
    for special in "!%_":
        text = text.replace(special, f"!{special}")
    return text


def _step(start: datetime | None, row: Mapping[Any, Any] | None) -> LatencyStep:
    def ms(name: str) -> float | None:
        value = None if row is None else row[name]
        return None if value is None else value / 1000

    return LatencyStep(
        start=start,
        calls=0 if row is None else row["calls"],
        p50_ms=ms("p50"),
        p95_ms=ms("p95"),
        p99_ms=ms("p99"),
        first_token_p50_ms=ms("first_p50"),
        first_token_p95_ms=ms("first_p95"),
    )
