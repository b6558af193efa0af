"""The order in which a route's targets are tried: one small function for each strategy.

All take the same: the candidates that can do the call, in the order written, and what is known of the
call. All give every candidate once, the preferred first; the rest is for when that one fails. To add
one: a function, its line in `STRATEGIES`, its name in `model/route.py`.
"""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from math import inf, log
from random import Random

from msgspec import Struct

from ai_gateway.model.route import Strategy

from .destinations import Destination


class Candidate(Struct, frozen=True, kw_only=True):
    """A route's target, resolved."""

    destination: Destination
    weight: float = 1.0
    tags: tuple[str, ...] = ()


class Ask(Struct, frozen=True, kw_only=True):
    """What a strategy may know of a call."""

    now: float
    random: Random
    turn: int = 0
    """How many calls of the route came before."""
    input_tokens: int = 0
    """Estimated."""
    output_limit: int | None = None
    """The caller's own."""
    stream: bool = False
    key: str = ""
    """Of the user or conversation, for `sticky`."""
    cost_weight: float = 0.5


Order = Sequence[Candidate]
StrategyFunction = Callable[[Order, Ask], Order]

_TOKENS_UNKNOWN = 300.0
_BUSY_SHARE = 0.1
_ERROR_POWER = 3
_UNPRICED = 1e9
_HASHES = 2**64 + 1


def priority(candidates: Order, ask: Ask) -> Order:
    return candidates


def weighted(candidates: Order, ask: Ask) -> Order:
    """Each comes first in proportion to its weight (Efraimidis and Spirakis, 2006)."""
    draw = ask.random.random
    return sorted(candidates, key=lambda c: -log(1 - draw()) / c.weight)


def round_robin(candidates: Order, ask: Ask) -> Order:
    at = ask.turn % len(candidates)
    return [*candidates[at:], *candidates[:at]]


def least_busy(candidates: Order, ask: Ask) -> Order:
    draw = ask.random.random
    scored: list[Scored] = []
    for at, candidate in enumerate(candidates):
        busy = candidate.destination.vitals.in_flight / candidate.weight
        scored.append((busy, draw(), at))
    return _least_first(scored, candidates)


def fastest(candidates: Order, ask: Ask) -> Order:
    """The better of two drawn by chance (so that not all run to one at once), then by expectation."""
    scored: list[Scored] = []
    for at, candidate in enumerate(candidates):
        scored.append((seconds_expected(candidate, ask), 0.0, at))
    ordered = _least_first(scored, candidates)
    count = len(ordered)
    if count < 3:
        return ordered
    draw = ask.random.random
    first = int(draw() * count)
    second = (first + 1 + int(draw() * (count - 1))) % count
    ordered.insert(0, ordered.pop(min(first, second)))
    return ordered


def cheapest(candidates: Order, ask: Ask) -> Order:
    """By the call's own estimate; what has no price comes last."""
    return sorted(candidates, key=lambda c: cost_expected(c, ask))


def balanced(candidates: Order, ask: Ask) -> Order:
    """By the product of what money and time are beside the best of each, errors punished.

    cost^w * time^(1-w) / (1 - error rate)^3: a target twice as dear and half as slow is as good, at
    w = 1/2; one that fails a fifth of its calls must be twice as good otherwise.
    """
    least_cost, least_seconds = _UNPRICED, inf
    found: list[tuple[float, float]] = []
    for candidate in candidates:
        tokens = output_expected(candidate, ask)
        cost, seconds = _cost(candidate, tokens, ask), _seconds(candidate, tokens, ask)
        if 0 < cost < least_cost:
            least_cost = cost
        if 0 < seconds < least_seconds:
            least_seconds = seconds
        found.append((cost, seconds))
    if least_cost == _UNPRICED:
        # All are free, or without a price.
        least_cost = 1.0
    w, now, draw = ask.cost_weight, ask.now, ask.random.random
    scored: list[Scored] = []
    for at, (cost, seconds) in enumerate(found):
        # What nobody has asked yet counts as the best known: that is how it comes to be known.
        score = (cost / least_cost) ** w if cost > least_cost else 1.0
        if seconds > least_seconds:
            score *= (seconds / least_seconds) ** (1 - w)
        errors = candidates[at].destination.vitals.error_rate(now)
        if errors:
            score /= (1 - min(0.99, errors)) ** _ERROR_POWER
        scored.append((score, draw(), at))
    return _least_first(scored, candidates)


def sticky(candidates: Order, ask: Ask) -> Order:
    """Rendezvous hashing: a key keeps its target while that exists, and when one goes only its own
    keys move. Weights hold (Schindelhauer and Schomaker, 2005)."""
    key = ask.key.encode("utf-8", "surrogatepass")
    scored: list[Scored] = []
    for at, candidate in enumerate(candidates):
        digest = blake2b(key + candidate.destination.hashed, digest_size=8).digest()
        number = int.from_bytes(digest, "big")
        scored.append((-log((number + 1) / _HASHES) / candidate.weight, 0.0, at))
    return _least_first(scored, candidates)


Scored = tuple[float, float, int]
"""A score, what decides between equal ones, and the candidate's place as written."""


def _least_first(scored: list[Scored], candidates: Order) -> list[Candidate]:
    scored.sort()
    return [candidates[at] for _, _, at in scored]


STRATEGIES: dict[Strategy, StrategyFunction] = {
    "priority": priority,
    "weighted": weighted,
    "round-robin": round_robin,
    "least-busy": least_busy,
    "fastest": fastest,
    "cheapest": cheapest,
    "balanced": balanced,
    "sticky": sticky,
}


def output_expected(candidate: Candidate, ask: Ask) -> float:
    """Tokens: what the model's answers usually have, within the caller's limit."""
    usual = candidate.destination.vitals.output_tokens or _TOKENS_UNKNOWN
    return usual if ask.output_limit is None else min(usual, ask.output_limit)


def seconds_expected(candidate: Candidate, ask: Ask) -> float:
    """0 where nothing is known. Calls under way make it longer: an answer that does not come tells of
    itself before it has come."""
    return _seconds(candidate, output_expected(candidate, ask), ask)


def cost_expected(candidate: Candidate, ask: Ask) -> float:
    """US dollars; `_UNPRICED` where no price is known."""
    return _cost(candidate, output_expected(candidate, ask), ask)


def _seconds(candidate: Candidate, tokens: float, ask: Ask) -> float:
    vitals = candidate.destination.vitals
    alone = vitals.speed.expected(tokens, ask.now, stream=ask.stream)
    return alone * (1 + vitals.in_flight * _BUSY_SHARE / candidate.weight)


def _cost(candidate: Candidate, tokens: float, ask: Ask) -> float:
    destination, size = candidate.destination, ask.input_tokens
    if size > destination.first_tier:
        prices = destination.facts.prices
        assert prices is not None
        assert prices.input is not None
        per_input = float(prices.input.at(size)) / 1e6
        per_output = 0.0 if prices.output is None else float(prices.output.at(size)) / 1e6
    elif destination.input_usd is None:
        return _UNPRICED
    else:
        per_input, per_output = destination.input_usd, destination.output_usd
    return size * per_input + tokens * per_output
