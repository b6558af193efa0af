"""`/admin/cache`: what stored answers are worth, and forgetting them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from ai_gateway.caching.cache import Cache
from ai_gateway.caching.no_cache import NoCache
from ai_gateway.edge.usage import no_ledger
from ai_gateway.model.errors import GatewayError
from ai_gateway.model.usage_report import CacheUse, SimilarityReport

from .route import EVERYONE, TENANT_ADMINS, AdminCall, AdminRoute, NoteAct, not_found

if TYPE_CHECKING:
    from ai_gateway.ledger.query import LedgerQueries

_Name = Annotated[str, Meta(min_length=1, max_length=256)]


class PurgeQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Without either, everything (a tenant's admin: everything of its tenant)."""

    tenant: _Name | None = None
    model: _Name | None = None
    """The name that callers asked for: a model or a route."""


class Purged(Struct, frozen=True, kw_only=True):
    answers: int
    """Stored answers that were forgotten."""


class UseQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    tenant: _Name | None = None
    days: Annotated[float, Meta(gt=0, le=90)] = 7
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


def cache_routes(
    cache: Cache | NoCache,
    queries: "Callable[[], LedgerQueries] | None",
    note_act: NoteAct,
) -> list[AdminRoute]:
    def ledger() -> "LedgerQueries":
        if queries is None:
            raise no_ledger()
        return queries()

    async def entries(call: AdminCall) -> CacheUse:
        query: UseQuery = call.query
        tenant = call.actor.tenant_or(query.tenant)
        return await ledger().cache_use(tenant, start=_since(query), limit=query.limit)

    async def similarities(call: AdminCall) -> SimilarityReport:
        query: UseQuery = call.query
        tenant = call.actor.tenant_or(query.tenant)
        return await ledger().similarities(tenant, start=_since(query))

    async def purge(call: AdminCall) -> Purged:
        query: PurgeQuery = call.query
        tenant = call.actor.tenant_or(query.tenant)
        answers = await cache.purge(tenant, query.model)
        note_act(
            actor=call.actor.name,
            action="purge cache",
            tenant=tenant,
            target=query.model or "everything",
            detail={"answers": answers},
        )
        return Purged(answers=answers)

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
        note_act(actor=call.actor.name, action="forget answer", tenant=own, target=key)

    return [
        AdminRoute(
            method="GET",
            path="/admin/cache/entries",
            summary="Stored answers that were given again, those that saved most first",
            handler=entries,
            gives=CacheUse,
            query=UseQuery,
            roles=EVERYONE,
            tag="cache",
        ),
        AdminRoute(
            method="GET",
            path="/admin/cache/similarities",
            summary="How alike the questions of semantic hits were, and which were reported as wrong",
            handler=similarities,
            gives=SimilarityReport,
            query=UseQuery,
            roles=EVERYONE,
            tag="cache",
        ),
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


def _since(query: UseQuery) -> datetime:
    return datetime.now(UTC) - timedelta(days=query.days)
