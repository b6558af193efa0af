"""`/admin/audit`: what was asked and answered, and who changed what. Reading it is an act itself."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, Struct
from msgspec.json import Encoder
from starlette.responses import Response, StreamingResponse

from ai_gateway.model.audit import AuditPage, ChainedRecord, ChainReport
from ai_gateway.model.errors import GatewayError

from .route import ADMINS, TENANT_ADMINS, AdminCall, AdminRoute, not_found

if TYPE_CHECKING:
    from ai_gateway.audit.search import AuditSearch, Filters

_encode = Encoder().encode

RecordAct = Callable[..., Awaitable[None]]
"""`record_act(actor=, action=, tenant=, target=, detail=)`"""


class AuditQuery(Struct, frozen=True, forbid_unknown_fields=True):
    tenant: str | None = None
    key: str | None = None
    """A key's id."""
    user: str | None = None
    model: str | None = None
    status: int | None = None
    error: str | None = None
    request_id: str | None = None
    text: Annotated[str, Meta(max_length=1000)] | None = None
    """Words that all stand in the request or the answer."""
    start: datetime | None = None
    """With its offset from UTC, as is `end`."""
    end: datetime | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    before: Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")] | None = None


class Verification(Struct, frozen=True, kw_only=True):
    untouched: bool
    chains: list[ChainReport]


class AuditParts(Struct, frozen=True, kw_only=True):
    search: "Callable[[], AuditSearch]"
    record_act: RecordAct
    key: bytes | None


def audit_routes(parts: AuditParts) -> list[AdminRoute]:
    async def note(call: AdminCall, action: str, tenant: str | None, detail: Any) -> None:
        await parts.record_act(
            actor=call.actor.name, action=action, tenant=tenant, target=None, detail=detail
        )

    async def page(call: AdminCall) -> AuditPage:
        query: AuditQuery = call.query
        tenant = call.actor.tenant_or(query.tenant)
        found = await parts.search().page(_filters(query, tenant), query.limit)
        await note(call, "search audit", tenant, _shown(query))
        return found

    async def one(call: AdminCall) -> ChainedRecord:
        id = call.path["id"]
        found = await parts.search().record(id)
        if found is None or not call.actor.sees(found.tenant):
            raise not_found("audit record", id)
        await note(call, "read audit", found.tenant, {"id": id})
        return found

    async def export(call: AdminCall) -> Response:
        query: AuditQuery = call.query
        tenant = call.actor.tenant_or(query.tenant)
        await note(call, "export audit", tenant, _shown(query))
        lines = _lines(parts.search(), _filters(query, tenant))
        return StreamingResponse(
            lines,
            media_type="application/x-ndjson",
            headers={
                "cache-control": "no-store",
                "content-disposition": 'attachment; filename="audit.jsonl"',
                "x-content-type-options": "nosniff",
            },
        )

    async def verify(call: AdminCall) -> Verification:
        reports = await parts.search().verify(parts.key)
        await note(call, "verify audit", None, None)
        return Verification(untouched=not any(report.faults for report in reports), chains=reports)

    return [
        AdminRoute(method="GET", path="/admin/audit", handler=page, query=AuditQuery, gives=AuditPage,
                   roles=TENANT_ADMINS, tag="audit", summary="Search audited calls, newest first"),
        AdminRoute(method="GET", path="/admin/audit/export", handler=export, query=AuditQuery,
                   gives=Any, roles=TENANT_ADMINS, tag="audit",
                   summary="Every audited call that matches, as JSON lines"),
        AdminRoute(method="POST", path="/admin/audit/verify", handler=verify, gives=Verification,
                   roles=ADMINS, tag="audit", summary="Whether any kept record was changed or taken out"),
        AdminRoute(method="GET", path="/admin/audit/{id}", handler=one, gives=ChainedRecord,
                   roles=TENANT_ADMINS, tag="audit", summary="One audited call, with its bodies"),
    ]  # fmt: skip


def _filters(query: AuditQuery, tenant: str | None) -> "Filters":
    from ai_gateway.audit.search import Filters

    return Filters(
        tenant=tenant,
        key=query.key,
        user=query.user,
        model=query.model,
        status=query.status,
        error=query.error,
        request_id=query.request_id,
        text=query.text,
        start=_milliseconds(query.start, "start"),
        end=_milliseconds(query.end, "end"),
        before=query.before,
    )


def _milliseconds(moment: datetime | None, field: str) -> int | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise GatewayError(
            "invalid_request", f"{field} needs its offset from UTC (…Z).", field=field
        )
    return int(moment.timestamp() * 1000)


def _shown(query: AuditQuery) -> dict[str, Any]:
    """What was looked for. The words themselves may be what nobody should keep."""
    names = ("key", "user", "model", "status", "error", "request_id", "start", "end")
    found = {name: value for name in names if (value := getattr(query, name)) is not None}
    return found | ({"text": True} if query.text else {})


async def _lines(search: "AuditSearch", filters: "Filters") -> AsyncGenerator[bytes, None]:
    async for records in search.every(filters):
        yield b"".join(_encode(record) + b"\n" for record in records)
