"""Which of a name's candidates can do a call and may, and in which order they are asked."""

from math import inf

from ai_gateway.model.errors import GatewayError
from ai_gateway.model.policy import Policy
from ai_gateway.model.route import Route

from .destinations import Destination
from .needs import NOTHING, Needs, shortcomings
from .patterns import ANY, fits
from .resolved import Resolved
from .strategies import STRATEGIES, Ask, Candidate, Order

_MANY = 16
"""Of more candidates than these a strategy that weighs each looks at the best alone."""
_RANKED = frozenset({"priority", "fastest", "cheapest", "balanced"})
_FEW_SECONDS = 1.0
_MOST_SIFTED = 256


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
    limiter = destination.vitals.limiter
    if limiter is not None and limiter.busy >= int(limiter.limit):
        found.append(f"it has as many calls under way as it carries for now: {limiter.busy}")
    if not destination.doors.rested(now):
        wait = destination.doors.free_at() - now
        found.append(f"its credentials are throttled or refused for {wait:.1f} s more")
    return found


def all_well(candidates: Order, now: float) -> bool:
    """Whether nothing speaks against any of them; false costs no more than a closer look."""
    for candidate in candidates:
        destination = candidate.destination
        breaker = destination.vitals.breaker
        if breaker.state != "closed" or breaker.forced is not None:
            return False
        if not destination.doors.rested(now):
            return False
    return True


def is_well(destination: Destination, now: float) -> bool:
    return destination.vitals.breaker.allows(now) and destination.doors.rested(now)


def ordered(candidates: Order, route: Route, ask: Ask) -> Order:
    """By the route's strategy; what is ill or throttled comes last, for when all else fails."""
    order = STRATEGIES[route.strategy]
    now = ask.now
    if all_well(candidates, now):
        return order(candidates, ask)
    well: list[Candidate] = []
    ill: list[Candidate] = []
    for candidate in candidates:
        (well if is_well(candidate.destination, now) else ill).append(candidate)
    # An open breaker that would let a probe through is well enough: either may be empty.
    return [*(order(well, ask) if well else ()), *(order(ill, ask) if ill else ())]


def permitted(resolved: Resolved, policy: Policy) -> Order:
    """Raises GatewayError(permission) where nothing is left."""
    models = policy.models if resolved.wild else ANY
    if policy.providers == ANY and models == ANY:
        return resolved.candidates
    kept = resolved.kept.get((policy.providers, models))
    if kept is not None:
        return kept[1]
    found: Order = [
        c for c in resolved.candidates if fits(policy.providers, c.destination.facts.provider)
    ]
    if models != ANY:
        # A key that is given the route by its name, and none of its models, may have them all.
        found = allowed(found, policy) or found
    if not found:
        raise GatewayError(
            "permission",
            "This key may not use the providers of this model.",
            field="model",
            code="provider_not_allowed",
        )
    _keep(resolved, (policy.providers, models), inf, found)
    return found


def allowed(candidates: Order, policy: Policy) -> Order:
    """Those whose own model the policy allows."""
    return [
        c
        for c in candidates
        for facts in (c.destination.facts,)
        if fits(policy.models, facts.name, f"{facts.provider}/{facts.name}")
    ]


def is_many(candidates: Order, route: Route) -> bool:
    return len(candidates) > _MANY and route.strategy in _RANKED


def few(
    resolved: Resolved,
    candidates: Order,
    needs: Needs,
    ask: Ask,
    policy: Policy,
    tags: bytes | None,
) -> Order:
    """The best of many, for calls like this one: found anew every second, for all of them."""
    abilities = (needs.tools, needs.vision, needs.reasoning, needs.structured_output)
    size = (ask.input_tokens.bit_length(), needs.input_tokens.bit_length(), ask.stream)
    key = (policy.providers, policy.models, tags, abilities, size)
    kept = resolved.kept.get(key)
    if kept is not None and kept[0] > ask.now:
        return kept[1]
    best = ordered(able(candidates, needs), resolved.route, ask)[:_MANY]
    _keep(resolved, key, ask.now + _FEW_SECONDS, best)
    return best


def _keep(resolved: Resolved, key: object, until: float, found: Order) -> None:
    if len(resolved.kept) >= _MOST_SIFTED:
        resolved.kept.clear()
    resolved.kept[key] = (until, found)


def tagged(candidates: Order, given: bytes) -> Order:
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


def able(candidates: Order, needs: Needs) -> Order:
    """Where none is able, by what is known, all stay: a provider's own refusal says it best."""
    if needs is NOTHING:
        return candidates
    return [c for c in candidates if shortcomings(c.destination.facts, needs) is None] or candidates
