"""`GET /v1/usage`: what the caller itself used: its key, its user, its tenant."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta, Struct, structs
from msgspec.json import encode
from starlette.requests import Request
from starlette.responses import Response

from ai_gateway.access.access import Access
from ai_gateway.catalogue.cost import NANO
from ai_gateway.limits.limits import Remaining
from ai_gateway.model.call import Caller
from ai_gateway.model.errors import GatewayError
from ai_gateway.model.usage_report import BudgetStanding, CallerReport, Grouping, Subject
from ai_gateway.storage.database import DatabaseUnavailable

from .admin.endpoints import away, error_response, invalid
from .calls import joined

if TYPE_CHECKING:
    from ai_gateway.ledger.query import LedgerQueries

SUBJECTS: tuple[Subject, ...] = get_args(Subject)
"""Sums are kept by one of them at a time."""
_DAYS = 30
_MOST_DAYS = 1100


class UsageQuery(Struct, frozen=True, forbid_unknown_fields=True):
    scope: Literal["key", "user", "tenant"] | None = None
    """Whose: without it the user's where the call names one or has no key, else the key's."""
    start: str | None = None
    """A day (`2025-01-31`) or a time with its zone; by default 30 days before the end."""
    end: str | None = None
    """Not included; by default now."""
    group_by: Annotated[str, Meta(max_length=64)] = "day,model"
    """`hour` or `day`, `model`, `provider`, with commas between; empty: the total alone."""


def span(start: str | None, end: str | None, now: datetime) -> tuple[datetime, datetime]:
    """Raises GatewayError(invalid_request)."""
    # Up to the end of the hour that is: sums are of whole hours.
    last = (
        _time(end, "end")
        if end
        else now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    )
    first = _time(start, "start") if start else last - timedelta(days=_DAYS)
    if not first < last:
        raise GatewayError("invalid_request", "start must be before end.", field="start")
    if last - first > timedelta(days=_MOST_DAYS):
        raise GatewayError(
            "invalid_request", f"Ask for at most {_MOST_DAYS} days at once.", field="start"
        )
    return first, last


def groupings(given: str, allowed: tuple[str, ...]) -> list[Grouping]:
    """Raises GatewayError(invalid_request)."""
    names: Any = [name for part in given.split(",") if (name := part.strip())]
    subjects = [name for name in SUBJECTS if name in names]
    if not set(names) <= set(allowed) or {"hour", "day"} <= set(names) or len(subjects) > 1:
        raise GatewayError(
            "invalid_request",
            f"group_by must be of {', '.join(allowed)}, with commas between; not hour and day at once, "
            f"nor two of key, user, route and tag.",
            field="group_by",
        )
    return list(dict.fromkeys(names))


def _time(given: str, field: str) -> datetime:
    try:
        at = datetime.fromisoformat(given)
    except ValueError:
        at = None
    if at is not None and len(given) == 10:
        at = at.replace(tzinfo=UTC)
    if at is None or at.tzinfo is None or not 2000 <= at.year < 3000:
        raise GatewayError(
            "invalid_request",
            f"{field} must be a day such as 2025-01-31, or a time with its zone such as "
            "2025-01-31T12:00:00Z.",
            field=field,
        )
    return at.astimezone(UTC)


class UsageEndpoint:
    """`budgets` tells what is left of a caller's."""

    def __init__(
        self,
        access: Access,
        queries: "Callable[[], LedgerQueries] | None",
        budgets: Callable[[Caller], Awaitable[list[Remaining]]],
    ) -> None:
        self._access = access
        self._queries = queries
        self._budgets = budgets

    async def get(self, request: Request) -> Response:
        try:
            report = await self._report(
                joined(request.scope["headers"]), dict(request.query_params)
            )
        except GatewayError as error:
            return error_response(error)
        except DatabaseUnavailable:
            return error_response(away())
        return Response(
            encode(report), media_type="application/json", headers={"cache-control": "no-store"}
        )

    async def _report(self, headers: Mapping[bytes, bytes], given: dict[str, str]) -> CallerReport:
        caller = await self._access.caller(headers)
        if self._queries is None:
            raise no_ledger()
        try:
            query = msgspec.convert(given, UsageQuery, strict=False)
        except msgspec.ValidationError as error:
            raise invalid(error, "The query") from None
        start, end = span(query.start, query.end, datetime.now(UTC))
        scope = query.scope or _usual_scope(caller, headers)
        report = await self._queries().report(
            scope=scope,
            tenant=caller.tenant,
            subject=_subject(caller, scope),
            start=start,
            end=end,
            by=groupings(query.group_by, ("hour", "day", "model", "provider")),
        )
        left = [_standing(one) for one in await self._budgets(caller)]
        return CallerReport(**structs.asdict(report), budgets=left)


def _standing(one: Remaining) -> BudgetStanding:
    account = one.account
    of = NANO if account.unit == "usd" else 1
    hard = account.quota.hard
    limit = account.quota.limit if hard or account.soft is None else account.soft
    return BudgetStanding(
        per=account.per,
        name=account.name,
        unit=account.unit,
        period=account.period.partition(":")[0],
        hard=hard,
        limit=Decimal(limit) / of,
        used=Decimal(one.used) / of,
        remaining=Decimal(max(0, limit - one.used)) / of,
        resets_at=datetime.fromtimestamp(account.ends, UTC) if account.ends else None,
    )


def _usual_scope(caller: Caller, headers: Mapping[bytes, bytes]) -> Literal["key", "user"]:
    return "user" if caller.key_id is None or b"x-user-id" in headers else "key"


def _subject(caller: Caller, scope: str) -> str:
    match scope:
        case "user":
            return caller.user
        case "key":
            if caller.key_id is None:
                raise GatewayError(
                    "invalid_request", "This call has no key: ask for scope=user or tenant.",
                    field="scope",
                )  # fmt: skip
            return caller.key_id
        case _:
            return ""


def no_ledger() -> GatewayError:
    return GatewayError("not_found", "This gateway keeps no ledger (LEDGER=off).", code="no_ledger")
