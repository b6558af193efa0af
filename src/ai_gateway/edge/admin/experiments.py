"""`/admin/experiments`: what a route's experiment has shown, and whether it goes on."""

from msgspec import Struct

from ai_gateway.model.route import Experiment
from ai_gateway.routing.experiment_report import ExperimentReport
from ai_gateway.routing.experiments import Experiments
from ai_gateway.routing.router import Router
from ai_gateway.storage.database import Database

from .route import ADMINS, ALL_TENANTS, AdminCall, AdminRoute, not_found


class Reason(Struct, frozen=True, forbid_unknown_fields=True):
    reason: str = "by hand"


def experiment_routes(
    router: Router, experiments: Experiments, database: Database
) -> list[AdminRoute]:
    def named(call: AdminCall) -> tuple[str, Experiment]:
        route = call.path["route"]
        found = router.routes.get(route)
        if found is None or found.experiment is None:
            raise not_found("experiment", route)
        return route, found.experiment

    async def get(call: AdminCall) -> ExperimentReport:
        route, experiment = named(call)
        stopped = experiments.stopped.get((route, experiment.name))
        await database.open()
        from ai_gateway.routing.results import report

        return await report(database, route, experiment, stopped)

    async def stop(call: AdminCall) -> None:
        route, experiment = named(call)
        body: Reason = call.body
        await experiments.stop(route, experiment.name, body.reason[:500], call.actor.name)

    async def start(call: AdminCall) -> None:
        route, experiment = named(call)
        await experiments.start(route, experiment.name, call.actor.name)

    path = "/admin/experiments/{route}"
    return [
        AdminRoute(method="GET", path=path, handler=get, gives=ExperimentReport, roles=ALL_TENANTS,
                   summary="What the experiment of a route has shown", tag="experiments"),
        AdminRoute(method="POST", path=path + "/stop", handler=stop, takes=Reason, gives=None,
                   roles=ADMINS, summary="Stop it: the route works as without it", tag="experiments"),
        AdminRoute(method="POST", path=path + "/start", handler=start, gives=None, roles=ADMINS,
                   summary="Start it again after a stop", tag="experiments"),
    ]  # fmt: skip
