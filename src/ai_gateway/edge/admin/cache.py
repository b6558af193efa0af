"""`/admin/cache`: forgetting stored answers."""

from typing import Annotated

from msgspec import Meta, Struct

from ai_gateway.caching.cache import Cache, NoCache
from ai_gateway.model.errors import GatewayError

from .route import TENANT_ADMINS, AdminCall, AdminRoute, not_found

_Name = Annotated[str, Meta(min_length=1, max_length=256)]


class PurgeQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Without either, everything (a tenant's admin: everything of its tenant)."""

    tenant: _Name | None = None
    model: _Name | None = None
    """The name that callers asked for: a model or a route."""


class Purged(Struct, frozen=True, kw_only=True):
    answers: int
    """Stored answers that were forgotten."""


def cache_routes(cache: Cache | NoCache) -> list[AdminRoute]:
    async def purge(call: AdminCall) -> Purged:
        query: PurgeQuery = call.query
        tenant = call.actor.tenant_or(query.tenant)
        return Purged(answers=await cache.purge(tenant, query.model))

    async def forget(call: AdminCall) -> None:
        key = call.path["key"]
        # A key begins with its tenant's name; what is another's does not exist for this actor.
        own = call.actor.tenant
        if own is not None and not key.startswith(f"gw:{{{own}}}:cache:"):
            raise not_found("stored answer", key)
        if ":cache:" not in key:
            raise GatewayError("invalid_request", "This is no key of a stored answer.", field="key")
        if not await cache.forget(key):
            raise not_found("stored answer", key)

    return [
        AdminRoute(
            method="DELETE",
            path="/admin/cache",
            summary="Forget stored answers: of a tenant, a model, or all",
            handler=purge,
            gives=Purged,
            query=PurgeQuery,
            roles=TENANT_ADMINS,
            tag="cache",
        ),
        AdminRoute(
            method="DELETE",
            path="/admin/cache/{key}",
            summary="Forget one stored answer, by the key in x-gateway-cache-key",
            handler=forget,
            gives=None,
            status=204,
            roles=TENANT_ADMINS,
            tag="cache",
        ),
    ]
