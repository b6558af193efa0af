"""`/admin/routes`: routes, read and made; and why a call would go where."""

from collections.abc import Callable
from time import time
from typing import Literal

from msgspec import Raw, Struct

from ai_gateway.dialects.exchange import open_exchange
from ai_gateway.model.call import Caller, Operation, Request
from ai_gateway.model.errors import GatewayError
from ai_gateway.model.policy import UNRESTRICTED
from ai_gateway.model.route import Route
from ai_gateway.routing.book import RouteBook
from ai_gateway.routing.needs import needs_for
from ai_gateway.routing.router import Router
from ai_gateway.routing.sifting import reasons_against
from ai_gateway.routing.strategies import cost_expected, seconds_expected

from .route import ADMINS, ALL_TENANTS, AdminCall, AdminRoute, not_found


class NamedRoute(Struct, frozen=True, kw_only=True):
    name: str
    origin: Literal["gateway.yaml", "admin"]
    route: Route


class RouteList(Struct, frozen=True):
    data: list[NamedRoute]


class Question(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call as it would be made."""

    body: Raw
    operation: Operation = "chat"
    dialect: Literal["openai_chat", "anthropic_messages", "openai_responses", "gemini"] = (
        "openai_chat"
    )
    user: str = "explain"


class Choice(Struct, frozen=True, kw_only=True, omit_defaults=True):
    provider: str
    model: str
    place: int
    """1 is asked first."""
    cost_usd: float | None = None
    """Expected, for this call."""
    seconds: float | None = None
    in_flight: int = 0
    error_rate: float = 0.0
    against: list[str] = []


class Explanation(Struct, frozen=True, kw_only=True):
    route: str | None
    strategy: str
    order: list[Choice]
    """As they would be asked now."""
    left_out: list[Choice]
    """Those that cannot do the call."""


def route_routes(book: RouteBook, router: Router, clock: Callable[[], float]) -> list[AdminRoute]:
    def all_routes() -> list[NamedRoute]:
        own = [NamedRoute(name=n, origin="gateway.yaml", route=r) for n, r in book.own.items()]
        made = [
            NamedRoute(name=n, origin="admin", route=r)
            for n, r in book.made.items()
            if n not in book.own
        ]
        return sorted([*own, *made], key=lambda named: named.name)

    async def page(call: AdminCall) -> RouteList:
        return RouteList(all_routes())

    async def get(call: AdminCall) -> NamedRoute:
        name = call.path["name"]
        for named in all_routes():
            if named.name == name:
                return named
        raise not_found("route", name)

    async def put(call: AdminCall) -> NamedRoute:
        name = call.path["name"]
        await book.put(name, call.body, call.actor.name)
        return NamedRoute(name=name, origin="admin", route=call.body)

    async def delete(call: AdminCall) -> None:
        name = call.path["name"]
        if not await book.delete(name, call.actor.name):
            raise not_found("route", name)

    async def explain(call: AdminCall) -> Explanation:
        return explanation(router, call.body, clock())

    path = "/admin/routes/{name:path}"
    return [
        AdminRoute(method="POST", path="/admin/routes/explain", handler=explain, takes=Question,
                   gives=Explanation, roles=ALL_TENANTS, tag="routes",
                   summary="Which target a call would go to, and why not to the others; asks nobody"),
        AdminRoute(method="GET", path="/admin/routes", handler=page, gives=RouteList,
                   roles=ALL_TENANTS, summary="Every route in force", tag="routes"),
        AdminRoute(method="GET", path=path, handler=get, gives=NamedRoute, roles=ALL_TENANTS,
                   summary="One route", tag="routes"),
        AdminRoute(method="PUT", path=path, handler=put, takes=Route, gives=NamedRoute, roles=ADMINS,
                   summary="Make or replace a route; checked before it is in force", tag="routes"),
        AdminRoute(method="DELETE", path=path, handler=delete, gives=None, roles=ADMINS,
                   summary="Delete a route that the admin API made", tag="routes"),
    ]  # fmt: skip


def explanation(router: Router, question: Question, now: float) -> Explanation:
    """Raises GatewayError for a call that would be refused."""
    body = bytes(question.body)
    exchange = open_exchange(question.operation, question.dialect, body, now=int(time()))
    request = Request(
        id="explain", operation=question.operation, dialect=question.dialect, endpoint="",
        body=body, headers={}, received=now,
    )  # fmt: skip
    caller = Caller(tenant="default", user=question.user)
    resolved = router.resolve(question.operation, exchange.model, dialect=question.dialect)
    try:
        plan = router.plan(resolved, exchange, request, caller)
        order = list(plan.order[: plan.most])
    except GatewayError:
        order = []
    needs = needs_for(exchange, body, resolved.limits)
    ask = router.ask(resolved, exchange, request, caller, now)

    def choice(at: int, place: int) -> Choice:
        candidate = everything[at]
        target, vitals = candidate.destination.target, candidate.destination.vitals
        cost = cost_expected(candidate, ask)
        against = reasons_against(candidate, needs, UNRESTRICTED, now)
        if resolved.wild and not place and not against:
            against = ["of the models that fit, others come first by the strategy"]
        return Choice(
            provider=target.provider,
            model=target.model,
            place=place,
            cost_usd=None if candidate.destination.input_usd is None else round(cost, 9),
            seconds=round(seconds_expected(candidate, ask), 4) or None,
            in_flight=vitals.in_flight,
            error_rate=round(vitals.error_rate(now), 4),
            against=against,
        )

    everything = [*order, *(c for c in resolved.candidates if c not in order)]
    choices = [choice(at, at + 1 if at < len(order) else 0) for at in range(len(everything))]
    return Explanation(
        route=resolved.name if resolved.is_route else None,
        strategy=resolved.route.strategy,
        order=choices[: len(order)],
        left_out=choices[len(order) :],
    )
