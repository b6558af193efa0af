"""Reading the ledger: sums by hour, day, model..., what was spent since when, single calls.

Sums come from the roll-ups, each scope from its own rows, so a tenant's month is as quick to add up as
a key's, whatever the number of calls behind it.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, func, select

from ai_gateway.model.errors import GatewayError
from ai_gateway.model.usage_report import (
    CacheUse,
    CallDetail,
    CallPage,
    Grouping,
    LatencyReport,
    Scope,
    SimilarityReport,
    Subject,
    UsageGroup,
    UsageReport,
    UsageSums,
)
from ai_gateway.storage.database import Database
from ai_gateway.storage.tables import usage_hourly

from .cached import entries, similarities
from .calls import EVERY_CALL, CallFilter, calls_page, newest_calls, one_call
from .latency import LatencyFilter, latency
from .record import PICO, dollars

_HOUR = 3600
_DAY_HOURS = 24
_MOST_GROUPS = 10_000
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
        provider: str | None = None,
        model: str | None = None,
        utc_offset: int = 0,
        top: int | None = None,
    ) -> UsageReport:
        """`subject` is the key's id, the user's name, the route or the tag; "" for every one of the
        tenant. `utc_offset`: hours from UTC by which days begin. Raises GatewayError for more groups
        than an answer can hold. `top`: so many groups alone, those that cost most first; the total is
        then that of the tenant or of all, whatever the groups are."""
        columns = _grouping_columns(by, utc_offset)
        sums: Any = [func.sum(_of[name]).label(name) for name in _SUMS]
        filters = [
            column == wanted
            for column, wanted in ((_of.provider, provider), (_of.model, model))
            if wanted is not None
        ]
        hours = (_hour(start), _hour_up(end))
        finer = _scope_for(scope, by)
        statement: Any = select(*columns, *sums).where(
            *_which(finer, tenant, subject, *hours), *filters
        )
        if columns:
            places = [c.name for c in columns]
            statement = statement.group_by(*places)
            if top is None:
                statement = statement.order_by(*places).limit(_MOST_GROUPS + 1)
            else:
                dearest = (func.sum(_of.cost_pico).desc(), func.sum(_of.calls).desc())
                statement = statement.order_by(*dearest, *places).limit(top)
        # A call counts for each of its tags, so their sums do not add up to the total.
        whole: Any = select(*sums).where(*_which(scope, tenant, subject, *hours), *filters)
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).mappings().all()
            summed = rows
            if top is not None or (finer == "tag" and scope != "tag"):
                summed = (await connection.execute(whole)).mappings().all()
        if len(rows) > _MOST_GROUPS:
            raise GatewayError(
                "invalid_request",
                f"These are more than {_MOST_GROUPS} groups: ask for a shorter time, or by fewer things.",
                field="group_by",
                code="too_many_groups",
            )
        groups = [_group(row, by) for row in rows] if columns else []
        totals = {name: sum(int(row[name] or 0) for row in summed) for name in _SUMS}
        return UsageReport(
            scope=scope,
            tenant=tenant,
            start=start,
            end=end,
            total=UsageSums(**_readable(totals)),
            groups=groups,
            **({scope: subject} if subject else {}),
        )

    async def running(self, tenant: str | None, since: int) -> UsageSums:
        """Since an hour (of the epoch)."""
        scope: Scope = "all" if tenant is None else "tenant"
        statement = select(*[func.sum(_of[name]).label(name) for name in _SUMS]).where(
            *_which(scope, tenant, "", since, None)
        )
        async with self._database.read() as connection:
            row = (await connection.execute(statement)).mappings().one()
        return UsageSums(**_readable({name: int(row[name] or 0) for name in _SUMS}))

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
        fitting: CallFilter = EVERY_CALL,
    ) -> CallPage:
        """Newest first. Of those that `fitting` lets through, as many as are found in a bounded look."""
        newest = newest_calls(tenant, key=key, user=user, before=before, start=start)
        return await calls_page(self._database, newest, fitting, limit)

    async def call(self, id: str) -> CallDetail | None:
        return await one_call(self._database, id)

    async def latency(
        self,
        wanted: LatencyFilter,
        *,
        start: datetime,
        end: datetime,
        step: timedelta,
        by: Literal["provider", "model"] | None = None,
        utc_offset: int = 0,
    ) -> LatencyReport:
        return await latency(
            self._database, wanted, start=start, end=end, step=step, by=by, utc_offset=utc_offset
        )

    async def cache_use(self, tenant: str | None, *, start: datetime, limit: int) -> CacheUse:
        return await entries(self._database, tenant, start=start, limit=limit)

    async def similarities(self, tenant: str | None, *, start: datetime) -> SimilarityReport:
        return await similarities(self._database, tenant, start=start)


def _scope_for(scope: Scope, by: Collection[Grouping]) -> Scope:
    """The roll-up that tells apart what is asked for."""
    for subject in get_args(Subject):
        if subject in by:
            return subject
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


def _grouping_columns(by: Sequence[Grouping], utc_offset: int) -> list[Any]:
    columns: list[Any] = []
    for grouping in by:
        match grouping:
            case "hour":
                columns.append(_of.hour.label("start"))
            case "day":
                into_day = (_of.hour + utc_offset) % _DAY_HOURS
                columns.append((_of.hour - into_day).label("start"))
            case "key" | "user" | "route" | "tag":
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


def _hour(at: datetime) -> int:
    return int(at.timestamp()) // _HOUR


def _hour_up(at: datetime) -> int:
    return -(-int(at.timestamp()) // _HOUR)
