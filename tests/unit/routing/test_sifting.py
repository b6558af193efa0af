"""The order over candidates some of which are ill."""

from random import Random

import pytest

from ai_gateway.model.route import Route
from ai_gateway.routing.sifting import ordered
from ai_gateway.routing.strategies import STRATEGIES, Ask, Candidate

from .candidates import candidate, name_of


def order(strategy: str, candidates: list[Candidate], now: float) -> list[str]:
    route = Route(targets=(), strategy=strategy)  # type: ignore[arg-type]
    return [name_of(c) for c in ordered(candidates, route, Ask(now=now, random=Random(1)))]


def fail(candidate: Candidate, now: float) -> None:
    breaker = candidate.destination.vitals.breaker
    for _ in range(20):
        breaker.failed(now, breaker.enter(now))
    assert breaker.state == "open"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_is_ill_comes_last_and_nothing_is_lost(strategy: str) -> None:
    candidates = [candidate(name) for name in "abc"]
    fail(candidates[0], 100)
    found = order(strategy, candidates, 101)
    assert found[-1] == "a"
    assert sorted(found) == list("abc")


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("state", ["open and due for a probe", "half-open"])
def test_where_a_probe_is_due_all_are_well_and_all_are_ordered(strategy: str, state: str) -> None:
    candidates = [candidate(name) for name in "abc"]
    fail(candidates[0], 100)
    breaker = candidates[0].destination.vitals.breaker
    if state == "half-open":
        breaker.succeeded(106, breaker.enter(106))
        assert breaker.state == "half-open"
    assert sorted(order(strategy, candidates, 106)) == list("abc")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_where_all_are_ill_all_are_ordered(strategy: str) -> None:
    candidates = [candidate(name) for name in "abc"]
    for each in candidates:
        fail(each, 100)
    assert sorted(order(strategy, candidates, 101)) == list("abc")
