"""`/admin/usage`: what was used and spent, by anybody; single calls; who changed what."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, Struct
from starlette.responses import StreamingResponse

from ai_gateway.edge.usage import groupings, no_ledger, span
from ai_gateway.model.errors import GatewayError
from ai_gateway.model.usage_report import CallPage, CallRecord, LatencyReport, Scope, UsageReport

from .live import LiveCalls
from .route import EVERYONE, AdminCall, AdminRoute, not_found

if TYPE_CHECKING:
    from ai_gateway.ledger.query import LedgerQueries

_MOST_STEPS = 100
_KEPT_SECONDS = 10.0
_MOST_KEPT = 100
_GROUPINGS = ("hour", "day", "model", "provider", "tenant", "key", "user")


class AdminUsageQuery(Struct, frozen=True, forbid_unknown_fields=True):
    tenant: str | None = None
    key: str | None = None
    """A key's id."""
    user: str | None = None
    """Of one tenant: give `tenant` too."""
    start: str | None = None
    end: str | None = None
    group_by: Annotated[str, Meta(max_length=64)] = "day,model"


class LatencyQuery(Struct, frozen=True, forbid_unknown_fields=True):
    tenant: str | None = None
    start: str | None = None
    end: str | None = None
    step: Literal["hour", "day"] = "day"


class CallsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    tenant: str | None = None
    key: str | None = None
    user: str | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    before: Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")] | None = None


def usage_routes(queries: "Callable[[], LedgerQueries] | None") -> list[AdminRoute]:
    def ledger() -> "LedgerQueries":
        if queries is None:
            raise no_ledger()
        return queries()

    watched = LiveCalls()
    # Many pages ask for the same few.
    kept: dict[tuple[str | None, datetime, datetime, timedelta], tuple[float, LatencyReport]] = {}

    async def report(call: AdminCall) -> UsageReport:
        query: AdminUsageQuery = call.query
        tenant = call.actor.tenant_or(query.tenant)
        if query.key and query.user:
            raise GatewayError("invalid_request", "Give key or user, not both.", field="user")
        scope: Scope = "tenant" if tenant is not None else "all"
        if query.key:
            scope = "key"
        elif query.user:
            if tenant is None:
                raise GatewayError(
                    "invalid_request", "Whose user? Give tenant too.", field="tenant"
                )
            scope = "user"
        start, end = span(query.start, query.end, datetime.now(UTC))
        by = groupings(query.group_by, _GROUPINGS)
        if (query.key and "user" in by) or (query.user and "key" in by):
            raise GatewayError(
                "invalid_request",
                "Sums are kept by key and by user, not by both.",
                field="group_by",
            )
        return await ledger().report(
            scope=scope, tenant=tenant, subject=query.key or query.user or "",
            start=start, end=end, by=by,
        )  # fmt: skip

    async def latency(call: AdminCall) -> LatencyReport:
        query: LatencyQuery = call.query
        start, end = span(query.start, query.end, datetime.now(UTC))
        step = timedelta(hours=1 if query.step == "hour" else 24)
        if (end - start) / step > _MOST_STEPS:
            raise GatewayError(
                "invalid_request", f"These are more than {_MOST_STEPS} steps.", field="start"
            )
        tenant = call.actor.tenant_or(query.tenant)
        asked = (tenant, start, end, step)
        found = kept.get(asked)
        if found is None or monotonic() - found[0] > _KEPT_SECONDS:
            report = await ledger().latency(tenant=tenant, start=start, end=end, step=step)
            if len(kept) >= _MOST_KEPT:
                kept.clear()
            found = kept[asked] = (monotonic(), report)
        return found[1]

    async def calls(call: AdminCall) -> CallPage:
        query: CallsQuery = call.query
        return await ledger().calls(
            tenant=call.actor.tenant_or(query.tenant), key=query.key, user=query.user,
            limit=query.limit, before=query.before,
        )  # fmt: skip

    async def live(call: AdminCall) -> StreamingResponse:
        return StreamingResponse(
            watched.events(ledger(), call.actor.tenant),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    async def one(call: AdminCall) -> CallRecord:
        id = call.path["id"]
        found = await ledger().call(id)
        if found is None or not call.actor.sees(found.tenant):
            raise not_found("call", id)
        return found

    return [
        AdminRoute(method="GET", path="/admin/usage", handler=report, query=AdminUsageQuery,
                   gives=UsageReport, roles=EVERYONE, tag="usage",
                   summary="Requests, tokens and cost, by time, model, tenant, key or user"),
        AdminRoute(method="GET", path="/admin/latency", handler=latency, query=LatencyQuery,
                   gives=LatencyReport, roles=EVERYONE, tag="usage",
                   summary="Percentiles of calls' times, from a sample of each hour or day"),
        AdminRoute(method="GET", path="/admin/calls", handler=calls, query=CallsQuery, gives=CallPage,
                   roles=EVERYONE, tag="usage", summary="Single calls in the ledger, newest first"),
        AdminRoute(method="GET", path="/admin/calls/live", handler=live, gives=list[CallRecord],
                   roles=EVERYONE, tag="usage",
                   summary="New calls as they come into the ledger, as server-sent events"),
        AdminRoute(method="GET", path="/admin/calls/{id}", handler=one, gives=CallRecord,
                   roles=EVERYONE, tag="usage", summary="One call"),
    ]  # fmt: skip
