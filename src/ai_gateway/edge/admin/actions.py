"""`/admin/actions`: who changed what."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from ai_gateway.model.key import AdminActionPage

from .route import EVERYONE, AdminCall, AdminRoute

if TYPE_CHECKING:
    from ai_gateway.access.administer import Administration


class ActionsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    tenant: str | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    before: Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")] | None = None


def action_routes(administration: "Callable[[], Administration]") -> list[AdminRoute]:
    async def page(call: AdminCall) -> AdminActionPage:
        query: ActionsQuery = call.query
        tenant = call.actor.tenant_or(query.tenant)
        return await administration().actions(tenant, limit=query.limit, before=query.before)

    return [
        AdminRoute(method="GET", path="/admin/actions", handler=page, query=ActionsQuery,
                   gives=AdminActionPage, roles=EVERYONE, tag="actions",
                   summary="Who changed what through the admin API or the shell, newest first"),
    ]  # fmt: skip
