"""`/admin/usage`: what was used and spent, by anybody; single calls; who changed what."""

from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, Struct, structs
from starlette.responses import StreamingResponse

from ai_gateway.edge.usage import SUBJECTS, groupings, no_ledger, span
from ai_gateway.model.errors import GatewayError
from ai_gateway.model.usage_report import (
    CallDetail,
    CallPage,
    CallRecord,
    LatencyReport,
    RunningSums,
    Scope,
    UsageReport,
)

from .kept import Kept
from .live import LiveCalls, LiveSums
from .route import EVERYONE, AdminCall, AdminRoute, not_found

if TYPE_CHECKING:
    from ai_gateway.ledger.query import LedgerQueries

_GROUPINGS = ("hour", "day", "model", "provider", "tenant", "key", "user", "route", "tag")

_UtcOffset = Annotated[int, Meta(ge=-12, le=14)]
"""Hours from UTC by which days begin."""


class AdminUsageQuery(Struct, frozen=True, forbid_unknown_fields=True):
    tenant: str | None = None
    key: str | None = None
    """A key's id. Give one of key, user, route and tag at most."""
    user: str | None = None
    """Of one tenant: give `tenant` too."""
    route: str | None = None
    tag: str | None = None
    """`name=value`."""
    provider: str | None = None
    model: str | None = None
    start: str | None = None
    end: str | None = None
    group_by: Annotated[str, Meta(max_length=64)] = "day,model"
    top: Annotated[int, Meta(ge=1, le=1000)] | None = None
    """So many groups alone, those that cost most first; the total stays that of all calls."""
    utc_offset: _UtcOffset = 0


class LatencyQuery(Struct, frozen=True, forbid_unknown_fields=True):
    tenant: str | None = None
    key: str | None = None
    user: str | None = None
    route: str | None = None
    tag: str | None = None
    provider: str | None = None
    model: str | None = None
    start: str | None = None
    end: str | None = None
    step: Literal["hour", "day"] = "day"
    group_by: Literal["provider", "model"] | None = None
    utc_offset: _UtcOffset = 0


class CallsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """What is after `user` is looked for among the newest 20,000 before `before`, page by page."""

    tenant: str | None = None
    key: str | None = None
    user: str | None = None
    status: Literal["good", "failed"] | None = None
    cache: Literal["hit", "semantic", "joined", "miss", "bypass"] | None = None
    provider: str | None = None
    model: str | None = None
    """As asked for, or as the provider names it."""
    route: str | None = None
    tag: str | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    before: Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")] | None = None


def usage_routes(queries: "Callable[[], LedgerQueries] | None") -> list[AdminRoute]:
    def ledger() -> "LedgerQueries":
        if queries is None:
            raise no_ledger()
        return queries()

    watched, sums = LiveCalls(), LiveSums()
    reports, latencies = (
        Kept[AdminUsageQuery, UsageReport](5.0),
        Kept[LatencyQuery, LatencyReport](10.0),
    )

    async def report(call: AdminCall) -> UsageReport:
        query: AdminUsageQuery = call.query
        tenant = call.actor.tenant_or(query.tenant)
        scope, subject = _subject(query, tenant)
        start, end = span(query.start, query.end, datetime.now(UTC))
        by = groupings(query.group_by, _GROUPINGS)
        if subject and any(other in by for other in SUBJECTS if other != scope):
            raise GatewayError(
                "invalid_request",
                f"Sums of one {scope} are not kept by key, user, route or tag.",
                field="group_by",
            )
        return await reports.get(
            structs.replace(query, tenant=tenant, start=str(start), end=str(end)),
            lambda: ledger().report(
                scope=scope, tenant=tenant, subject=subject, start=start, end=end, by=by,
                provider=query.provider, model=query.model, utc_offset=query.utc_offset,
                top=query.top,
            ),
        )  # fmt: skip

    async def latency(call: AdminCall) -> LatencyReport:
        from ai_gateway.ledger.latency import MOST_STEPS

        query: LatencyQuery = call.query
        start, end = span(query.start, query.end, datetime.now(UTC))
        if (end - start) / timedelta(hours=1 if query.step == "hour" else 24) > MOST_STEPS:
            raise GatewayError(
                "invalid_request", f"These are more than {MOST_STEPS} steps.", field="start"
            )
        asked = structs.replace(
            query, tenant=call.actor.tenant_or(query.tenant), start=str(start), end=str(end)
        )
        return await latencies.get(asked, lambda: _latency(ledger(), asked, start, end))

    async def calls(call: AdminCall) -> CallPage:
        from ai_gateway.ledger.query import CallFilter

        query: CallsQuery = call.query
        fitting = CallFilter(
            failed=None if query.status is None else query.status == "failed", cache=query.cache,
            provider=query.provider, model=query.model, route=query.route, tag=query.tag,
        )  # fmt: skip
        return await ledger().calls(
            tenant=call.actor.tenant_or(query.tenant), key=query.key, user=query.user,
            limit=query.limit, before=query.before, fitting=fitting,
        )  # fmt: skip

    async def running(call: AdminCall) -> StreamingResponse:
        return _events(sums.events(ledger(), call.actor.tenant))

    async def live(call: AdminCall) -> StreamingResponse:
        return _events(watched.events(ledger(), call.actor.tenant))

    async def one(call: AdminCall) -> CallDetail:
        id = call.path["id"]
        found = await ledger().call(id)
        if found is None or not call.actor.sees(found.tenant):
            raise not_found("call", id)
        return found

    return [
        AdminRoute(method="GET", path="/admin/usage", handler=report, query=AdminUsageQuery,
                   gives=UsageReport, roles=EVERYONE, tag="usage",
                   summary="Requests, tokens and cost, by time, model, tenant, key, user, route or tag"),
        AdminRoute(method="GET", path="/admin/usage/live", handler=running, gives=RunningSums,
                   roles=EVERYONE, tag="usage",
                   summary="What comes in, every two seconds, as server-sent events"),
        AdminRoute(method="GET", path="/admin/latency", handler=latency, query=LatencyQuery,
                   gives=LatencyReport, roles=EVERYONE, tag="usage",
                   summary="Percentiles of calls' times, from a sample of each hour or day"),
        AdminRoute(method="GET", path="/admin/calls", handler=calls, query=CallsQuery, gives=CallPage,
                   roles=EVERYONE, tag="usage", summary="Single calls in the ledger, newest first"),
        AdminRoute(method="GET", path="/admin/calls/live", handler=live, gives=list[CallRecord],
                   roles=EVERYONE, tag="usage",
                   summary="New calls as they come into the ledger, as server-sent events"),
        AdminRoute(method="GET", path="/admin/calls/{id}", handler=one, gives=CallDetail,
                   roles=EVERYONE, tag="usage", summary="One call, and where its time went"),
    ]  # fmt: skip


def _subject(query: AdminUsageQuery, tenant: str | None) -> tuple[Scope, str]:
    """Whose sums: of a key, user, route or tag, else of the tenant or of all. Raises GatewayError."""
    given: list[tuple[Scope, str]] = [
        (name, value) for name in SUBJECTS if (value := getattr(query, name))
    ]
    if len(given) > 1:
        raise GatewayError(
            "invalid_request", f"Give {given[0][0]} or {given[1][0]}, not both.", field=given[1][0]
        )
    if not given:
        return ("all" if tenant is None else "tenant"), ""
    scope, subject = given[0]
    if scope == "user" and tenant is None:
        raise GatewayError("invalid_request", "Whose user? Give tenant too.", field="tenant")
    return scope, subject


async def _latency(
    ledger: "LedgerQueries", query: LatencyQuery, start: datetime, end: datetime
) -> LatencyReport:
    from ai_gateway.ledger.latency import LatencyFilter

    return await ledger.latency(
        LatencyFilter(
            tenant=query.tenant, key=query.key, user=query.user, provider=query.provider,
            model=query.model, route=query.route, tag=query.tag,
        ),
        start=start, end=end, step=timedelta(hours=1 if query.step == "hour" else 24),
        by=query.group_by, utc_offset=query.utc_offset,
    )  # fmt: skip


def _events(source: AsyncGenerator[bytes, None]) -> StreamingResponse:
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(source, media_type="text/event-stream", headers=headers)
