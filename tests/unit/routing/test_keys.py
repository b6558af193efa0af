"""A provider's credentials in turn: evenly, or by their weights; those at rest are passed over."""

from collections import Counter

import pytest

from ai_gateway.routing.keys import Door, Doors, Key
from ai_gateway.upstream.client import address


def doors(*weights: float) -> Doors:
    at = address("https://provider.example/v1", [])
    return Doors([Door(at, Key(f"secret-{n}", n, weight)) for n, weight in enumerate(weights)])


def picked(of: Doors, times: int, now: float = 0.0) -> list[int]:
    return [of.pick(now).key.number for _ in range(times)]


@pytest.mark.parametrize(
    ("weights", "order"),
    [
        ((1,), [0, 0, 0]),
        ((1, 1, 1), [0, 1, 2, 0, 1, 2]),
        ((2, 1), [0, 1, 0, 0, 1, 0]),
        ((5, 1, 1), [0, 0, 1, 0, 2, 0, 0]),
    ],
)
def test_each_gets_its_share_and_none_waits_long(
    weights: tuple[float, ...], order: list[int]
) -> None:
    assert picked(doors(*weights), len(order)) == order


def test_over_many_calls_the_shares_are_exact() -> None:
    assert Counter(picked(doors(3, 1, 0.5), 900)) == {0: 600, 1: 200, 2: 100}


def test_one_at_rest_is_passed_over_and_comes_back() -> None:
    some = doors(3, 1)
    some.all[0].throttled(0, 10)
    assert set(picked(some, 5)) == {1}
    assert Counter(picked(some, 8, now=11)) == {0: 6, 1: 2}
    some.all[0].refused(20, 10)
    some.all[1].refused(20, 5)
    assert picked(some, 2, now=21) == [1, 1]
