"""Reading the ledger: sums by hour, day, model..., what was spent since when, single calls.

Sums come from the roll-ups, each scope from its own rows (`sums`), so a tenant's month is as quick to add
up as a key's, whatever the number of calls behind it.
"""

from collections.abc import Container, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from msgspec import structs
from sqlalchemy import desc, func, select

from ai_gateway.model.errors import GatewayError
from ai_gateway.model.usage_report import (
    CacheUse,
    CallDetail,
    CallPage,
    CallRecord,
    Grouping,
    LatencyReport,
    Scope,
    SimilarityReport,
    UsageGroup,
    UsageReport,
    UsageSums,
)
from ai_gateway.storage.database import Database
from ai_gateway.storage.tables import usage_hourly

from .cached import entries, similarities
from .calls import EVERY_CALL, CallFilter, calls_page, new_calls, newest_calls, one_call
from .daily import whole_days
from .latency import LatencyFilter, latency
from .record import PICO, dollars
from .sums import SUMS, Wanted, added_up, scope_for
from .sums import since as sums_since

_HOUR = 3600
_MOST_GROUPS = 10_000
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
        finer = scope_for(scope, by)
        wanted = Wanted(
            scope=finer, tenant=tenant, subject=subject, hours=(_hour(start), _hour_up(end)), by=by,
            provider=provider, model=model, utc_offset=utc_offset,
        )  # fmt: skip
        # A call counts for each of its tags, so their sums do not add up to the total.
        apart = top is not None or (finer == "tag" and scope != "tag")
        async with self._database.read() as connection:
            whole = await whole_days(connection, *wanted.days())
            statement = _in_order(added_up(wanted, whole), by, top)
            rows = (await connection.execute(statement)).mappings().all()
            summed = rows
            if apart:
                total = structs.replace(wanted, scope=scope, by=())
                whole = await whole_days(connection, *total.days())
                summed = (await connection.execute(added_up(total, whole))).mappings().all()
        if len(rows) > _MOST_GROUPS:
            raise GatewayError(
                "invalid_request",
                f"These are more than {_MOST_GROUPS} groups: ask for a shorter time, or by fewer things.",
                field="group_by",
                code="too_many_groups",
            )
        groups = [_group(row, by) for row in rows] if by else []
        totals = {name: sum(int(row[name] or 0) for row in summed) for name in SUMS}
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
        statement = select(*[func.sum(_of[name]).label(name) for name in SUMS]).where(
            *sums_since(scope, tenant, "", since)
        )
        async with self._database.read() as connection:
            row = (await connection.execute(statement)).mappings().one()
        return UsageSums(**_readable({name: int(row[name] or 0) for name in SUMS}))

    async def spent(
        self, scope: Scope, tenant: str, subject: str, since: float
    ) -> tuple[Decimal, int]:
        """(US dollars, tokens) since a time (seconds since the epoch, whole hours), as far as they
        are replayed: for budgets, when their own count is lost. `subject` is "" for a tenant."""
        which = sums_since(scope, tenant, subject, int(since) // _HOUR)
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

    async def new_calls(
        self, tenant: str | None, known: Container[str], *, looked_at: int, most: int
    ) -> tuple[list[str], list[CallRecord]]:
        """Of the newest `looked_at` calls the ids that are not known, and the newest `most` of these."""
        return await new_calls(self._database, tenant, known, looked_at=looked_at, most=most)

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


def _in_order(statement: Any, by: Sequence[Grouping], top: int | None) -> Any:
    """The groups by name, or the `top` dearest."""
    if not by:
        return statement
    names = list(statement.selected_columns.keys())[: len(by)]
    if top is None:
        return statement.order_by(*names).limit(_MOST_GROUPS + 1)
    return statement.order_by(desc("cost_pico"), desc("calls"), *names).limit(top)


def _group(values: Mapping[Any, Any], by: Sequence[Grouping]) -> UsageGroup:
    named: dict[str, Any] = {name: values[name] for name in by if name not in ("hour", "day")}
    if "hour" in by or "day" in by:
        named["start"] = datetime.fromtimestamp(values["start"] * _HOUR, UTC)
    return UsageGroup(**_readable({name: int(values[name] or 0) for name in SUMS}), **named)


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
