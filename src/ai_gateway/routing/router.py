"""A name -> its candidates (`resolve`), and those that can do the call, in order (`plan`)."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from itertools import count
from random import Random

from msgspec import Struct, structs
from msgspec.structs import replace

from ai_gateway.dialects.exchange import ChatExchange, Exchange
from ai_gateway.model.call import Caller, Operation, Request
from ai_gateway.model.errors import GatewayError
from ai_gateway.model.policy import UNRESTRICTED, Policy
from ai_gateway.model.route import Route, RouteTarget

from .destinations import Destination, Directory
from .keys import Doors
from .needs import NOTHING, Limits, Needs, conversation_key, limits_of, needs_for, shortcomings
from .strategies import STRATEGIES, Ask, Candidate, Order

_MOST_KEPT = 4096
_BYTES_PER_TOKEN = 4
ANY = ("*",)
PLAIN = Route(targets=())
"""How a model is called that no route names."""


class Resolved(Struct, frozen=True, kw_only=True):
    """What a name means, for one operation. Kept from call to call."""

    name: str
    route: Route
    is_route: bool
    names: tuple[str, ...]
    """A model's other names; a route has none."""
    candidates: tuple[Candidate, ...]
    limits: Limits
    turns: "count[int]"
    """Gives each call its turn."""


class Plan(Struct, frozen=True, kw_only=True):
    route: Route
    order: Sequence[Candidate]
    """To be tried in this order; never empty."""


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
        self._routes: dict[str, Route] = dict(routes)
        self._clock = clock
        self._random = random
        self._kept: dict[tuple[Operation, str, str], Resolved] = {}

    @property
    def routes(self) -> Mapping[str, Route]:
        return self._routes

    def swap(self, routes: Mapping[str, Route], directory: Directory | None = None) -> None:
        """Puts checked routes in force, and a new directory, from the next call on."""
        self._routes = dict(routes)
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
        if policy.models != ANY and not fits(policy.models, name, *resolved.names):
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
            found = candidates_of(self.directory, operation, route, dialect)
        return Resolved(
            name=name,
            route=PLAIN if route is None else route,
            is_route=route is not None,
            names=names,
            candidates=found,
            limits=limits_of(found),
            turns=count(),
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
        candidates = _permitted(resolved.candidates, caller.policy)
        tags = request.headers.get(b"x-gateway-target-tags")
        if tags is not None:
            candidates = _tagged(candidates, tags)
        if len(candidates) == 1:
            return Plan(route=route, order=candidates)
        now = self._clock()
        candidates = _able(candidates, needs_for(exchange, request.body, resolved.limits))
        well = [c for c in candidates if is_well(c.destination, now)]
        ask = self.ask(resolved, exchange, request, caller, now)
        order = STRATEGIES[route.strategy]
        if len(well) == len(candidates):
            return Plan(route=route, order=order(candidates, ask))
        # What is ill or throttled comes last, for when all else fails.
        ill = [c for c in candidates if c not in well]
        return Plan(route=route, order=[*(order(well, ask) if well else ()), *order(ill, ask)])

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


def reasons_against(candidate: Candidate, needs: Needs, policy: Policy, now: float) -> list[str]:
    """Why a candidate is not asked, or only when others have failed; for people."""
    destination = candidate.destination
    found: list[str] = []
    if not fits(policy.providers, destination.facts.provider):
        found.append("the key may not use this provider")
    lacking = shortcomings(destination.facts, needs)
    if lacking is not None:
        found.append(lacking)
    breaker = destination.vitals.breaker
    if not breaker.allows(now):
        found.append(f"its circuit breaker is {breaker.forced or breaker.state} ({breaker.cause})")
    if not destination.doors.rested(now):
        wait = destination.doors.free_at() - now
        found.append(f"its credentials are throttled or refused for {wait:.1f} s more")
    return found


def is_well(destination: Destination, now: float) -> bool:
    return destination.vitals.breaker.allows(now) and destination.doors.rested(now)


def _permitted(candidates: Order, policy: Policy) -> Order:
    if policy.providers == ANY:
        return candidates
    found = [c for c in candidates if fits(policy.providers, c.destination.facts.provider)]
    if not found:
        raise GatewayError(
            "permission",
            "This key may not use the providers of this model.",
            field="model",
            code="provider_not_allowed",
        )
    return found


def _tagged(candidates: Order, given: bytes) -> Order:
    """Those that bear every tag the caller insists on. Raises GatewayError(invalid_request)."""
    wanted = {tag.strip() for tag in given.decode("latin-1").split(",") if tag.strip()}
    found = [c for c in candidates if wanted <= set(c.tags)]
    if not found:
        raise GatewayError(
            "invalid_request",
            "No target of this model has all of the tags asked for.",
            field="x-gateway-target-tags",
            code="no_target_with_tags",
        )
    return found


def _able(candidates: Order, needs: Needs) -> Order:
    """Where none is able, by what is known, all stay: a provider's own refusal says it best."""
    if needs is NOTHING:
        return candidates
    return [c for c in candidates if shortcomings(c.destination.facts, needs) is None] or candidates


def _sticky_key(route: Route, exchange: Exchange, caller: Caller) -> str:
    if route.sticky_by == "conversation" and isinstance(exchange, ChatExchange):
        # A call that only its own dialect can say stays with its user.
        with suppress(GatewayError):
            return conversation_key(exchange.chat)
    return f"{caller.tenant}\0{caller.user}"


def candidates_of(
    directory: Directory, operation: Operation, route: Route, dialect: str = ""
) -> tuple[Candidate, ...]:
    """Those of a route's targets that offer the operation. Raises GatewayError where none does."""
    found: list[Candidate] = []
    refused: GatewayError | None = None
    for target in route.targets:
        try:
            destination = directory.destination(operation, target.model, dialect)
        except GatewayError as error:
            refused = refused or error
            continue
        found.append(Candidate(destination=destination, weight=target.weight, tags=target.tags))
    if not found:
        assert refused is not None
        raise refused
    return tuple(found)


def fits(patterns: Sequence[str], *names: str) -> bool:
    """Whether one of a thing's names fits one of the shell patterns."""
    return patterns == ANY or any(
        fnmatchcase(name, pattern) for pattern in patterns for name in names
    )


def pinned(plan: Plan, provider: str, credential: int) -> Plan:
    """Only that provider, by that credential. Raises GatewayError where the plan has it not."""
    for candidate in plan.order:
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
