"""`/admin/keys`: virtual keys."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

from msgspec import Meta, Struct

from ai_gateway.access.access import DEFAULT_TENANT
from ai_gateway.model.errors import GatewayError
from ai_gateway.model.key import IssuedKey, Key, KeyChange, KeyPage, NewKey, Rotation
from ai_gateway.model.policy import Policy

from .route import EVERYONE, TENANT_ADMINS, Actor, AdminCall, AdminRoute, not_found

if TYPE_CHECKING:
    from ai_gateway.access.administer import Administration

Changed = Callable[[], Awaitable[None]]
"""Called when something changed, so that this replica forgets at once what it knew."""


class KeysQuery(Struct, frozen=True, forbid_unknown_fields=True):
    tenant: str | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    after: str = ""


def key_routes(
    administration: "Callable[[], Administration]", changed: Changed
) -> list[AdminRoute]:
    async def create(call: AdminCall) -> IssuedKey:
        new: NewKey = call.body
        _require_rank(call.actor, new.role)
        _require_bounds(call.actor, new.policy)
        tenant = call.actor.tenant_or(new.tenant) or DEFAULT_TENANT
        issued = await administration().create_key(new, tenant=tenant, actor=call.actor.name)
        await changed()
        return issued

    async def page(call: AdminCall) -> KeyPage:
        query: KeysQuery = call.query
        tenant = call.actor.tenant_or(query.tenant)
        return await administration().list_keys(tenant, limit=query.limit, after=query.after)

    async def get(call: AdminCall) -> Key:
        return await _seen(call)

    async def change(call: AdminCall) -> Key:
        key = await _seen(call)
        body: KeyChange = call.body
        _require_rank(call.actor, key.role)
        if isinstance(body.policy, Policy):
            _require_bounds(call.actor, body.policy)
        found = await administration().change_key(key.id, body, actor=call.actor.name)
        await changed()
        return _there(found, key.id)

    async def rotate(call: AdminCall) -> IssuedKey:
        key = await _seen(call)
        _require_rank(call.actor, key.role)
        found = await administration().rotate_key(key.id, call.body, actor=call.actor.name)
        await changed()
        return _there(found, key.id)

    async def delete(call: AdminCall) -> None:
        key = await _seen(call)
        _require_rank(call.actor, key.role)
        await administration().delete_key(key.id, actor=call.actor.name)
        await changed()

    async def _seen(call: AdminCall) -> Key:
        """The key, if it is there for this actor."""
        id = call.path["id"]
        key = await administration().key(id)
        if key is None or not call.actor.sees(key.tenant):
            raise not_found("key", id)
        return key

    path = "/admin/keys/{id}"
    return [
        AdminRoute(method="POST", path="/admin/keys", handler=create, takes=NewKey, gives=IssuedKey,
                   status=201, roles=TENANT_ADMINS, summary="Make a key; the only time it is shown", tag="keys"),
        AdminRoute(method="GET", path="/admin/keys", handler=page, query=KeysQuery, gives=KeyPage,
                   roles=EVERYONE, summary="List keys", tag="keys"),
        AdminRoute(method="GET", path=path, handler=get, gives=Key, roles=EVERYONE,
                   summary="One key", tag="keys"),
        AdminRoute(method="PATCH", path=path, handler=change, takes=KeyChange, gives=Key,
                   roles=TENANT_ADMINS, summary="Change, disable or enable a key", tag="keys"),
        AdminRoute(method="POST", path=path + "/rotate", handler=rotate, takes=Rotation,
                   gives=IssuedKey, roles=TENANT_ADMINS, tag="keys",
                   summary="Replace a key; the old one works on for the overlap"),
        AdminRoute(method="DELETE", path=path, handler=delete, gives=None, roles=TENANT_ADMINS,
                   summary="Delete a key; it stops working everywhere within a second", tag="keys"),
    ]  # fmt: skip


_Found = TypeVar("_Found")


def _there(found: _Found | None, id: str) -> _Found:
    if found is None:
        raise not_found("key", id)
    return found


def _require_rank(actor: Actor, role: str | None) -> None:
    """A tenant's administrator makes and changes callers' keys and its like, none of more power."""
    if actor.role == "tenant-admin" and role in ("admin", "viewer"):
        raise GatewayError(
            "permission", f"A tenant-admin may not give or change the role {role}.", field="role",
            code="role_not_allowed",
        )  # fmt: skip


def _require_bounds(actor: Actor, policy: Policy) -> None:
    """What concerns others than the tenant is for the gateway's administrators."""
    if actor.role != "tenant-admin":
        return
    for name, set_ in (
        ("priority", policy.priority != 0),
        ("cache.scope", policy.cache.scope == "shared"),
    ):
        if set_:
            raise GatewayError(
                "permission", f"A tenant-admin may not set {name}.", field=f"policy.{name}",
                code="role_not_allowed",
            )  # fmt: skip
