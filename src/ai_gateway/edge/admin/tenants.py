"""`/admin/tenants`: tenants and the rules that their keys inherit."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from ai_gateway.model.key import NewTenant, Tenant, TenantChange, TenantPage

from .keys import Changed
from .route import ADMINS, EVERYONE, AdminCall, AdminRoute, not_found

if TYPE_CHECKING:
    from ai_gateway.access.administer import Administration


class TenantsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    after: str = ""


def tenant_routes(
    administration: "Callable[[], Administration]", changed: Changed
) -> list[AdminRoute]:
    async def create(call: AdminCall) -> Tenant:
        return await administration().create_tenant(call.body, actor=call.actor.name)

    async def page(call: AdminCall) -> TenantPage:
        query: TenantsQuery = call.query
        own = call.actor.tenant
        if own is not None:
            found = await administration().tenant(own)
            return TenantPage(data=[] if found is None else [found], next=None)
        return await administration().list_tenants(limit=query.limit, after=query.after)

    async def get(call: AdminCall) -> Tenant:
        id = call.path["id"]
        found = await administration().tenant(id) if call.actor.sees(id) else None
        if found is None:
            raise not_found("tenant", id)
        return found

    async def change(call: AdminCall) -> Tenant:
        id = call.path["id"]
        found = await administration().change_tenant(id, call.body, actor=call.actor.name)
        if found is None:
            raise not_found("tenant", id)
        await changed()
        return found

    async def delete(call: AdminCall) -> None:
        id = call.path["id"]
        if not await administration().delete_tenant(id, actor=call.actor.name):
            raise not_found("tenant", id)

    path = "/admin/tenants/{id}"
    return [
        AdminRoute(method="POST", path="/admin/tenants", handler=create, takes=NewTenant, gives=Tenant,
                   status=201, roles=ADMINS, summary="Make a tenant", tag="tenants"),
        AdminRoute(method="GET", path="/admin/tenants", handler=page, query=TenantsQuery, gives=TenantPage,
                   roles=EVERYONE, summary="List tenants", tag="tenants"),
        AdminRoute(method="GET", path=path, handler=get, gives=Tenant, roles=EVERYONE,
                   summary="One tenant", tag="tenants"),
        AdminRoute(method="PATCH", path=path, handler=change, takes=TenantChange, gives=Tenant,
                   roles=ADMINS, summary="Change, disable or enable a tenant and its keys", tag="tenants"),
        AdminRoute(method="DELETE", path=path, handler=delete, gives=None, roles=ADMINS,
                   summary="Delete a tenant that has no keys", tag="tenants"),
    ]  # fmt: skip
