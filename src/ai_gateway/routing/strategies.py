"""The order in which a route's targets are tried: one small function for each strategy.

All take the same: the candidates that can do the call, in the order written, and what is known of the
call. All give every candidate once, the preferred first; the rest is for when that one fails. To add
one: a function, its line in `STRATEGIES`, its name in `model/route.py`.
"""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from math import log
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
    return sorted(candidates, key=lambda c: (c.destination.vitals.in_flight / c.weight, draw()))


def fastest(candidates: Order, ask: Ask) -> Order:
    """The better of two drawn by chance (so that not all run to one at once), then by expectation."""
    ordered = sorted(candidates, key=lambda c: seconds_expected(c, ask))
    count = len(ordered)
    if count < 3:
        return ordered
    first = int(ask.random.random() * count)
    second = (first + 1 + int(ask.random.random() * (count - 1))) % count
    best = ordered.pop(min(first, second))
    return [best, *ordered]


def cheapest(candidates: Order, ask: Ask) -> Order:
    """By the call's own estimate; what has no price comes last."""
    return sorted(candidates, key=lambda c: cost_expected(c, ask))


def balanced(candidates: Order, ask: Ask) -> Order:
    """By the product of what money and time are beside the best of each, errors punished.

    cost^w * time^(1-w) / (1 - error rate)^3: a target twice as dear and half as slow is as good, at
    w = 1/2; one that fails a fifth of its calls must be twice as good otherwise.
    """
    w = ask.cost_weight
    costs = [cost_expected(c, ask) for c in candidates]
    times = [seconds_expected(c, ask) for c in candidates]
    cheapest_known = min((c for c in costs if 0 < c < _UNPRICED), default=1.0)
    quickest_known = min((t for t in times if t > 0), default=1.0)
    draw = ask.random.random
    scored: list[tuple[float, float, Candidate]] = []
    for candidate, cost, seconds in zip(candidates, costs, times, strict=True):
        well = 1 - min(0.99, candidate.destination.vitals.error_rate(ask.now))
        # What nobody has asked yet counts as the best known: that is how it comes to be known.
        money = max(cost, cheapest_known) / cheapest_known
        time = max(seconds, quickest_known) / quickest_known
        scored.append((money**w * time ** (1 - w) / well**_ERROR_POWER, draw(), candidate))
    scored.sort(key=_score)
    return [candidate for _, _, candidate in scored]


def _score(scored: tuple[float, float, Candidate]) -> tuple[float, float]:
    return scored[0], scored[1]


def sticky(candidates: Order, ask: Ask) -> Order:
    """Rendezvous hashing: a key keeps its target while that exists, and when one goes only its own
    keys move. Weights hold (Schindelhauer and Schomaker, 2005)."""

    def score(candidate: Candidate) -> float:
        target = candidate.destination.target
        seed = f"{ask.key}\0{target.provider}\0{target.model}".encode("utf-8", "surrogatepass")
        number = int.from_bytes(blake2b(seed, digest_size=8).digest(), "big")
        return -log((number + 1) / (2**64 + 1)) / candidate.weight

    return sorted(candidates, key=score)


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

_UNPRICED = 1e9


def output_expected(candidate: Candidate, ask: Ask) -> float:
    """Tokens: what the model's answers usually have, within the caller's limit."""
    usual = candidate.destination.vitals.output_tokens or _TOKENS_UNKNOWN
    return usual if ask.output_limit is None else min(usual, ask.output_limit)


def seconds_expected(candidate: Candidate, ask: Ask) -> float:
    """0 where nothing is known. Calls under way make it longer: an answer that does not come tells of
    itself before it has come."""
    vitals = candidate.destination.vitals
    tokens = int(output_expected(candidate, ask))
    alone = vitals.speed.expected(tokens, ask.now, stream=ask.stream)
    return alone * (1 + vitals.in_flight * _BUSY_SHARE / candidate.weight)


def cost_expected(candidate: Candidate, ask: Ask) -> float:
    """US dollars; `_UNPRICED` where no price is known."""
    destination = candidate.destination
    size = ask.input_tokens
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
    return size * per_input + output_expected(candidate, ask) * per_output
