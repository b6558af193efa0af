"""Reading the ledger: sums by hour, day, model..., what was spent since when, single calls.

Sums come from the roll-ups, each scope from its own rows, so a tenant's month is as quick to add up as
a key's, whatever the number of calls behind it.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from msgspec.json import Decoder
from sqlalchemy import ColumnElement, Row, func, select

from ai_gateway.model.errors import GatewayError
from ai_gateway.model.usage_report import (
    CallPage,
    CallRecord,
    Grouping,
    LatencyReport,
    LatencyStep,
    Scope,
    UsageGroup,
    UsageReport,
    UsageSums,
)
from ai_gateway.storage.database import Database
from ai_gateway.storage.tables import usage, usage_hourly

from .record import PICO

_HOUR = 3600
_DAY_HOURS = 24
_MOST_GROUPS = 10_000
_SAMPLE = 250
_TAGS = Decoder(tuple[str, ...]).decode
_SUMS = (
    "calls",
    "errors",
    "cached",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "audio_tokens",
    "cost_pico",
    "saved_pico",
    "duration_us",
)
_of = usage_hourly.c


class LedgerQueries:
    """Every method raises DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def report(
        self,
        *,
        scope: Scope,
        tenant: str | None,
        subject: str = "",
        start: datetime,
        end: datetime,
        by: Sequence[Grouping],
    ) -> UsageReport:
        """`subject` is the key's id or the user's name; "" for every one of the tenant.
        Raises GatewayError for more groups than an answer can hold."""
        columns = _grouping_columns(by)
        sums = [func.sum(_of[name]).label(name) for name in _SUMS]
        statement: Any = select(*columns, *sums).where(
            *_which(_scope_for(scope, by), tenant, subject, _hour(start), _hour_up(end))
        )
        if columns:
            places = [c.name for c in columns]
            statement = statement.group_by(*places).order_by(*places).limit(_MOST_GROUPS + 1)
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).mappings().all()
        if len(rows) > _MOST_GROUPS:
            raise GatewayError(
                "invalid_request",
                f"These are more than {_MOST_GROUPS} groups: ask for a shorter time, or by fewer things.",
                field="group_by",
                code="too_many_groups",
            )
        groups = [_group(row, by) for row in rows] if columns else []
        totals = {name: sum(int(row[name] or 0) for row in rows) for name in _SUMS}
        return UsageReport(
            scope=scope,
            tenant=tenant,
            key=subject or None if scope == "key" else None,
            user=subject or None if scope == "user" else None,
            start=start,
            end=end,
            total=UsageSums(**_readable(totals)),
            groups=groups,
        )

    async def spent(
        self, scope: Scope, tenant: str, subject: str, since: float
    ) -> tuple[Decimal, int]:
        """(US dollars, tokens) since a time (seconds since the epoch, whole hours), as far as they
        are replayed: for budgets, when their own count is lost. `subject` is "" for a tenant."""
        which = _which(scope, tenant, subject, int(since) // _HOUR, None)
        statement = select(
            func.sum(_of.cost_pico), func.sum(_of.input_tokens + _of.output_tokens)
        ).where(*which)
        async with self._database.read() as connection:
            cost, tokens = (await connection.execute(statement)).one()
        return Decimal(int(cost or 0)) / PICO, int(tokens or 0)

    async def calls(
        self,
        *,
        tenant: str | None,
        key: str | None = None,
        user: str | None = None,
        limit: int,
        before: str | None = None,
        start: datetime | None = None,
    ) -> CallPage:
        """Newest first."""
        statement = select(usage).order_by(usage.c.id.desc()).limit(limit + 1)
        if tenant is not None:
            statement = statement.where(usage.c.tenant == tenant)
        if key is not None:
            statement = statement.where(usage.c.key_id == key)
        if user is not None:
            statement = statement.where(usage.c.user == user)
        if before is not None:
            statement = statement.where(usage.c.id < before)
        if start is not None:
            statement = statement.where(usage.c.id >= _first_id(start))
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).all()
        data = [_call(row) for row in rows[:limit]]
        return CallPage(data=data, next=data[-1].id if len(rows) > limit else None)

    async def latency(
        self, *, tenant: str | None, start: datetime, end: datetime, step: timedelta
    ) -> LatencyReport:
        """Ids begin with the time, so a step's last calls are one short look at an index each."""
        of, steps = usage.c, list[LatencyStep]()
        every: list[tuple[int, int | None]] = []
        at = start - (start - datetime.min.replace(tzinfo=start.tzinfo)) % step
        async with self._database.read() as connection:
            while at < end:
                statement = select(of.duration_us, of.first_token_us).where(
                    of.id >= _first_id(at), of.id < _first_id(at + step)
                )
                if tenant is not None:
                    statement = statement.where(of.tenant == tenant)
                statement = statement.order_by(of.id.desc()).limit(_SAMPLE)
                rows = [(r[0], r[1]) for r in (await connection.execute(statement)).all()]
                every += rows
                steps.append(_latency(at, rows))
                at += step
        return LatencyReport(sample=_SAMPLE, total=_latency(None, every), steps=steps)

    async def call(self, id: str) -> CallRecord | None:
        async with self._database.read() as connection:
            row = (await connection.execute(select(usage).where(usage.c.id == id))).one_or_none()
        return None if row is None else _call(row)


def _scope_for(scope: Scope, by: Collection[Grouping]) -> Scope:
    """The roll-up that tells apart what is asked for."""
    if "key" in by:
        return "key"
    if "user" in by:
        return "user"
    return "tenant" if scope == "all" and "tenant" in by else scope


def _which(
    scope: Scope, tenant: str | None, subject: str, first: int, last: int | None
) -> list[ColumnElement[bool]]:
    """The rows of the roll-up; `tenant` None: of every one."""
    which = [_of.scope == scope, _of.hour >= first]
    if scope == "all":
        which += [_of.tenant == "", _of.subject == ""]
    elif tenant is not None:
        which.append(_of.tenant == tenant)
    if scope == "tenant":
        which.append(_of.subject == "")
    elif subject:
        which.append(_of.subject == subject)
    if last is not None:
        which.append(_of.hour < last)
    return which


def _grouping_columns(by: Sequence[Grouping]) -> list[Any]:
    columns: list[Any] = []
    for grouping in by:
        match grouping:
            case "hour":
                columns.append(_of.hour.label("start"))
            case "day":
                columns.append((_of.hour - _of.hour % _DAY_HOURS).label("start"))
            case "key" | "user":
                columns.append(_of.subject.label(grouping))
            case "provider" | "model" | "tenant":
                columns.append(_of[grouping].label(grouping))
    return columns


def _group(values: Mapping[Any, Any], by: Sequence[Grouping]) -> UsageGroup:
    named: dict[str, Any] = {name: values[name] for name in by if name not in ("hour", "day")}
    if "hour" in by or "day" in by:
        named["start"] = datetime.fromtimestamp(values["start"] * _HOUR, UTC)
    return UsageGroup(**_readable({name: int(values[name] or 0) for name in _SUMS}), **named)


def _readable(sums: dict[str, int]) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: value for name, value in sums.items() if name.endswith("_tokens")
    }
    found["requests"], found["errors"], found["cached"] = (
        sums["calls"],
        sums["errors"],
        sums["cached"],
    )
    found["cost_usd"] = dollars(sums["cost_pico"])
    found["saved_usd"] = dollars(sums["saved_pico"])
    found["seconds"] = sums["duration_us"] / 1e6
    return found


def dollars(pico: int) -> Decimal:
    """Exact, without zeros behind."""
    value = (Decimal(pico) / PICO).normalize()
    return value if value else Decimal(0)


def _hour(at: datetime) -> int:
    return int(at.timestamp()) // _HOUR


def _hour_up(at: datetime) -> int:
    return -(-int(at.timestamp()) // _HOUR)


def _first_id(at: datetime) -> str:
    return f"{int(at.timestamp() * 1000):012x}"


def _latency(start: datetime | None, rows: list[tuple[int, int | None]]) -> LatencyStep:
    whole = sorted(row[0] for row in rows)
    first = sorted(row[1] for row in rows if row[1] is not None)
    return LatencyStep(
        start=start,
        calls=len(rows),
        p50_ms=_tail(whole, 0.5),
        p95_ms=_tail(whole, 0.95),
        p99_ms=_tail(whole, 0.99),
        first_token_p50_ms=_tail(first, 0.5),
        first_token_p95_ms=_tail(first, 0.95),
    )


def _tail(ordered: list[int], part: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] / 1000 if ordered else None


def _call(row: Row[Any]) -> CallRecord:
    return CallRecord(
        id=row.id,
        at=datetime.fromtimestamp(row.at / 1000, UTC),
        tenant=row.tenant,
        user=row.user,
        key=row.key_id,
        request_id=row.request_id,
        operation=row.operation,
        endpoint=row.endpoint,
        route=row.route,
        requested_model=row.requested_model,
        provider=row.provider,
        model=row.model,
        stream=row.stream,
        status=row.status,
        error=row.error,
        cache=row.cache,
        attempts=row.attempts,
        usage_known=row.usage_known,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cache_read_tokens=row.cache_read_tokens,
        cache_write_tokens=row.cache_write_tokens,
        reasoning_tokens=row.reasoning_tokens,
        audio_tokens=row.audio_tokens,
        cost_usd=None if row.cost_pico is None else dollars(row.cost_pico),
        saved_usd=None if row.saved_pico is None else dollars(row.saved_pico),
        price_version=row.price_version,
        duration_ms=row.duration_us / 1000,
        upstream_ms=row.upstream_us / 1000,
        first_token_ms=None if row.first_token_us is None else row.first_token_us / 1000,
        tags=_TAGS(row.tags) if row.tags else (),
    )
