"""What is added up for a question: whole days where their sums are made, hours for the rest.

Days are UTC's. A question by the hour, or by days that begin elsewhere, is answered by hours alone.
"""

from collections.abc import Collection, Sequence
from typing import Any, get_args

from msgspec import Struct
from sqlalchemy import ColumnElement, Select, func, select, union_all

from ai_gateway.model.usage_report import Grouping, Scope, Subject
from ai_gateway.storage.tables import usage_daily, usage_hourly

DAY_HOURS = 24
SUMS = tuple(column.name for column in usage_hourly.columns)[6:]
_MOST_RANGES = 8
"""Of hours in one statement: beyond them, what is older is added up by hours."""


class Wanted(Struct, frozen=True, kw_only=True):
    scope: Scope
    tenant: str | None
    """None: of every one."""
    subject: str
    """The key's id, the user's name, the route or the tag; "": every one of them."""
    hours: tuple[int, int]
    """Since the epoch; the second is not included."""
    by: Sequence[Grouping] = ()
    provider: str | None = None
    model: str | None = None
    utc_offset: int = 0

    def days(self) -> tuple[int, int]:
        """Whole days that it may be answered by; the second is not included."""
        if "hour" in self.by or ("day" in self.by and self.utc_offset):
            return 0, 0
        return -(-self.hours[0] // DAY_HOURS), self.hours[1] // DAY_HOURS


def scope_for(scope: Scope, by: Collection[Grouping]) -> Scope:
    """The roll-up that tells apart what is asked for."""
    for subject in get_args(Subject):
        if subject in by:
            return subject
    return "tenant" if scope == "all" and "tenant" in by else scope


def added_up(wanted: Wanted, whole: Collection[int]) -> Any:
    """One row, or one for each group. `whole`: the days that have sums of their own."""
    days, ranges = _parts(wanted.hours, whole)
    parts = [_hourly(wanted, *hours) for hours in ranges]
    if days:
        parts.append(_daily(wanted, days))
    found = union_all(*parts).subquery().c
    groups = [found[name] for name in _names(wanted.by)]
    sums = [func.sum(found[name]).label(name) for name in SUMS]
    return select(*groups, *sums).group_by(*groups)


def since(scope: Scope, tenant: str | None, subject: str, hour: int) -> list[ColumnElement[bool]]:
    """Rows of `usage_hourly` from an hour on."""
    wanted = Wanted(scope=scope, tenant=tenant, subject=subject, hours=(hour, hour))
    return [*_which(wanted, usage_hourly), usage_hourly.c.hour >= hour]


def _parts(
    hours: tuple[int, int], whole: Collection[int]
) -> tuple[list[int], list[tuple[int, int]]]:
    """(days, ranges of hours): together they are `hours`, once each."""
    first, last = hours
    days: list[int] = []
    ranges: list[tuple[int, int]] = []
    end = last
    for day in sorted(whole, reverse=True):
        begins, ends = day * DAY_HOURS, (day + 1) * DAY_HOURS
        if begins < first or ends > end:
            continue
        if ends < end:
            if len(ranges) == _MOST_RANGES:
                break
            ranges.append((ends, end))
        days.append(day)
        end = begins
    if first < end:
        ranges.append((first, end))
    return days, ranges


def _hourly(wanted: Wanted, first: int, last: int) -> Select[Any]:
    of = usage_hourly.c
    start = of.hour - (of.hour + wanted.utc_offset) % DAY_HOURS if "day" in wanted.by else of.hour
    return _part(wanted, usage_hourly, start, [of.hour >= first, of.hour < last])


def _daily(wanted: Wanted, days: list[int]) -> Select[Any]:
    of = usage_daily.c
    by_model = bool({"provider", "model"} & set(wanted.by)) or not (
        wanted.provider is None and wanted.model is None
    )
    return _part(
        wanted, usage_daily, of.day * DAY_HOURS, [of.by_model == by_model, of.day.in_(days)]
    )


def _part(
    wanted: Wanted, table: Any, start: ColumnElement[int], when: list[ColumnElement[bool]]
) -> Select[Any]:
    groups: list[Any] = []
    for grouping, name in zip(wanted.by, _names(wanted.by), strict=True):
        match grouping:
            case "hour" | "day":
                groups.append(start.label(name))
            case "key" | "user" | "route" | "tag":
                groups.append(table.c.subject.label(name))
            case _:
                groups.append(table.c[name].label(name))
    sums = [func.sum(table.c[name]).label(name) for name in SUMS]
    statement: Any = select(*groups, *sums).where(*_which(wanted, table), *when)
    return statement.group_by(*[group.name for group in groups])


def _names(by: Sequence[Grouping]) -> list[str]:
    return ["start" if grouping in ("hour", "day") else grouping for grouping in by]


def _which(wanted: Wanted, table: Any) -> list[ColumnElement[bool]]:
    """Whose rows."""
    of, scope, tenant = table.c, wanted.scope, wanted.tenant
    which = [of.scope == scope]
    if scope == "all":
        which += [of.tenant == "", of.subject == ""]
    elif tenant is not None:
        which.append(of.tenant == tenant)
    elif wanted.subject:
        # Each tenant's by the primary key, and not all subjects of all tenants.
        which.append(of.tenant.in_(_tenants(scope)))
    if scope == "tenant":
        which.append(of.subject == "")
    elif wanted.subject:
        which.append(of.subject == wanted.subject)
    for column, value in ((of.provider, wanted.provider), (of.model, wanted.model)):
        if value is not None:
            which.append(column == value)
    return which


def _tenants(scope: Scope) -> Select[Any]:
    """Those that have sums, by one step in the index for each."""
    of = usage_hourly.c
    first = select(func.min(of.tenant).label("tenant")).where(of.scope == scope)
    found = first.cte(recursive=True)
    after = select(func.min(of.tenant)).where(of.scope == scope, of.tenant > found.c.tenant)
    found = found.union_all(select(after.scalar_subquery()).where(found.c.tenant.is_not(None)))
    return select(found.c.tenant).where(found.c.tenant.is_not(None))
