"""A name -> its candidates (`resolve`), and those that can do the call, in order (`plan`)."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from random import Random

from msgspec import Struct, structs
from msgspec.structs import replace

from ai_gateway.dialects.exchange import ChatExchange, Exchange
from ai_gateway.model.call import Caller, Operation, Request
from ai_gateway.model.errors import GatewayError
from ai_gateway.model.policy import UNRESTRICTED, Policy
from ai_gateway.model.route import Route, RouteTarget, is_wild

from .destinations import Directory
from .keys import Doors
from .needs import (
    conversation_key,
    dearest_of,
    limits_of,
    needs_for,
)
from .patterns import ANY, AUTO, AUTO_NAME, fits, named_in
from .resolved import Resolved, candidates_of
from .sifting import able, allowed, few, is_many, ordered, permitted, tagged
from .strategies import Ask, Candidate

_MOST_KEPT = 4096
_BYTES_PER_TOKEN = 4
_MOST_ASKED = 8
"""Of the models that fit a pattern, for one call."""
PLAIN = Route(targets=())
"""How a model is called that no route names."""


class Plan(Struct, frozen=True, kw_only=True):
    route: Route
    order: Sequence[Candidate]
    """To be tried in this order; never empty."""
    most: int | None = None
    """How many of them at most."""


class Router:
    """`clock` is the path's (`time.perf_counter`)."""

    def __init__(
        self,
        directory: Directory,
        routes: Mapping[str, Route],
        *,
        clock: Callable[[], float],
        random: Random,
    ) -> None:
        self.directory = directory
        self._routes: dict[str, Route] = {AUTO_NAME: AUTO, **routes}
        self._clock = clock
        self._random = random
        self._kept: dict[tuple[Operation, str, str], Resolved] = {}

    @property
    def routes(self) -> Mapping[str, Route]:
        return self._routes

    def swap(self, routes: Mapping[str, Route], directory: Directory | None = None) -> None:
        """Puts checked routes in force, and a new directory, from the next call on."""
        self._routes = {AUTO_NAME: AUTO, **routes}
        self.directory = directory or self.directory
        self._kept = {}

    def resolve(
        self, operation: Operation, name: str, policy: Policy = UNRESTRICTED, dialect: str = ""
    ) -> Resolved:
        """`dialect`: the caller's, in which a provider is asked that speaks it. Raises
        GatewayError(not_found | permission | invalid_request)."""
        resolved = self._kept.get((operation, name, dialect))
        if resolved is None:
            resolved = self._resolve(operation, name, dialect)
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[(operation, name, dialect)] = resolved
        if policy.models != ANY and not (
            fits(policy.models, name, *resolved.names)
            or (resolved.wild and allowed(resolved.candidates, policy))
        ):
            raise GatewayError(
                "permission",
                "This key may not use this model.",
                field="model",
                code="model_not_allowed",
            )
        return resolved

    def _resolve(self, operation: Operation, name: str, dialect: str) -> Resolved:
        route = self._routes.get(name)
        if route is None:
            found = (Candidate(destination=self.directory.destination(operation, name, dialect)),)
            facts = found[0].destination.facts
            names = (facts.name, f"{facts.provider}/{facts.name}")
        else:
            names = ()
            named = named_in(self._routes) if is_wild(route) else ()
            found = candidates_of(self.directory, operation, route, dialect, named)
        return Resolved(
            name=name,
            route=PLAIN if route is None else route,
            is_route=route is not None,
            wild=route is not None and is_wild(route),
            names=names,
            candidates=found,
            limits=limits_of(found),
            dearest=dearest_of(found),
            turns=count(),
            kept={},
        )

    def led_by(
        self, resolved: Resolved, model: str, operation: Operation, dialect: str
    ) -> Resolved:
        """The same route with another model before its targets. Raises GatewayError."""
        key = (operation, f"{resolved.name}\0{model}", dialect)
        kept = self._kept.get(key)
        if kept is not None:
            return kept
        first = Candidate(destination=self.directory.destination(operation, model, dialect))
        target = first.destination.target
        found = (
            first,
            *(c for c in resolved.candidates if c.destination.target != target),
        )
        targets = (RouteTarget(model=model), *resolved.route.targets)
        made = replace(
            resolved,
            route=replace(resolved.route, strategy="priority", targets=targets),
            candidates=found,
            limits=limits_of(found),
            dearest=dearest_of(found),
            kept={},
        )
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        self._kept[key] = made
        return made

    def plan(
        self, resolved: Resolved, exchange: Exchange, request: Request, caller: Caller
    ) -> Plan:
        """Raises GatewayError(permission) where nothing is left that the caller may use."""
        route = resolved.route
        candidates = permitted(resolved, caller.policy)
        tags = request.headers.get(b"x-gateway-target-tags")
        if tags is not None:
            candidates = tagged(candidates, tags)
        if len(candidates) == 1:
            return Plan(route=route, order=candidates)
        now = self._clock()
        needs = needs_for(exchange, request.body, resolved.limits)
        ask = self.ask(resolved, exchange, request, caller, now)
        most = None
        if resolved.wild:
            most = _MOST_ASKED
            if is_many(candidates, route):
                candidates = few(resolved, candidates, needs, ask, caller.policy, tags)
        candidates = able(candidates, needs)
        return Plan(route=route, order=ordered(candidates, route, ask), most=most)

    def ask(
        self, resolved: Resolved, exchange: Exchange, request: Request, caller: Caller, now: float
    ) -> Ask:
        """What the route's strategy may know of a call; takes the call's turn."""
        route = resolved.route
        return Ask(
            now=now,
            random=self._random,
            turn=next(resolved.turns),
            input_tokens=len(request.body) // _BYTES_PER_TOKEN,
            output_limit=exchange.output_limit if isinstance(exchange, ChatExchange) else None,
            stream=exchange.stream,
            key=_sticky_key(route, exchange, caller) if route.strategy == "sticky" else "",
            cost_weight=route.cost_weight,
        )


def _sticky_key(route: Route, exchange: Exchange, caller: Caller) -> str:
    if route.sticky_by == "conversation" and isinstance(exchange, ChatExchange):
        # A call that only its own dialect can say stays with its user.
        with suppress(GatewayError):
            return conversation_key(exchange.chat)
    return f"{caller.tenant}\0{caller.user}"


def pinned(plan: Plan, resolved: Resolved, provider: str, credential: int) -> Plan:
    """Only that provider, by that credential. Raises GatewayError where the route has it not."""
    for candidate in (*plan.order, *resolved.candidates):
        destination = candidate.destination
        if destination.target.provider != provider:
            continue
        doors = [door for door in destination.doors.all if door.key.number == credential]
        only = structs.replace(destination, doors=Doors(doors or destination.doors.all))
        return Plan(route=plan.route, order=[structs.replace(candidate, destination=only)])
    raise GatewayError(
        "invalid_request",
        f"previous_response_id: it is held by {provider}; choose a model of that provider.",
        field="previous_response_id",
    )
