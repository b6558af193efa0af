"""Every endpoint of the admin API, a module's worth a line."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from ai_gateway.caching.cache import Cache
from ai_gateway.caching.no_cache import NoCache
from ai_gateway.edge.readiness import Readiness
from ai_gateway.routing.book import RouteBook
from ai_gateway.routing.experiments import Experiments
from ai_gateway.routing.forced import ForcedBreakers
from ai_gateway.routing.router import Router
from ai_gateway.routing.vitals import VitalsBook
from ai_gateway.storage.database import Database

from .actions import action_routes
from .audit import AuditParts, audit_routes
from .cache import cache_routes
from .experiments import experiment_routes
from .health import health_routes
from .keys import Changed, key_routes
from .route import AdminRoute, NoteAct
from .routes import route_routes
from .tenants import tenant_routes
from .usage import usage_routes

if TYPE_CHECKING:
    from ai_gateway.access.administer import Administration
    from ai_gateway.ledger.query import LedgerQueries


class AdminParts(Struct, frozen=True, kw_only=True):
    """What the admin API hands its requests to."""

    administration: "Callable[[], Administration]"
    access_changed: Changed
    ledger: "Callable[[], LedgerQueries] | None"
    """None where none is kept."""
    routes: RouteBook
    router: Router
    vitals: VitalsBook
    forced: ForcedBreakers
    readiness: Readiness
    cache: Cache | NoCache
    clock: Callable[[], float]
    experiments: Experiments
    database: Database
    audit: AuditParts
    note_act: NoteAct
    instance: str
    """This process's name."""


def admin_table(parts: AdminParts) -> list[AdminRoute]:
    return [
        *key_routes(parts.administration, parts.access_changed),
        *tenant_routes(parts.administration, parts.access_changed),
        *action_routes(parts.administration),
        *usage_routes(parts.ledger),
        *cache_routes(parts.cache, parts.ledger, parts.note_act),
        *route_routes(parts.routes, parts.router, parts.clock),
        *experiment_routes(parts.router, parts.experiments, parts.database),
        *health_routes(
            parts.vitals,
            parts.forced,
            parts.router,
            parts.readiness,
            parts.clock,
            parts.note_act,
            parts.instance,
        ),
        *audit_routes(parts.audit),
    ]
