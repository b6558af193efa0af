"""Each strategy over the same inputs: pure, seeded, told the time."""

from collections import Counter
from random import Random

import pytest

from ai_gateway.routing.strategies import STRATEGIES, Ask, Candidate

from .candidates import candidate, name_of


def ask(**given: object) -> Ask:
    return Ask(now=1000.0, random=Random(7), **given)  # type: ignore[arg-type]


def firsts(strategy: str, candidates: list[Candidate], count: int, **given: object) -> Counter[str]:
    chosen: Counter[str] = Counter()
    random = Random(7)
    for turn in range(count):
        told = Ask(now=1000.0, random=random, turn=turn, **given)  # type: ignore[arg-type]
        chosen[name_of(STRATEGIES[strategy](candidates, told)[0])] += 1  # type: ignore[index]
    return chosen


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_gives_every_candidate_once(strategy: str) -> None:
    candidates = [candidate(name, price=("1", "2")) for name in "abcde"]
    order = STRATEGIES[strategy](candidates, ask(key="u"))  # type: ignore[index]
    assert sorted(map(name_of, order)) == list("abcde")


def test_priority_keeps_the_order_written() -> None:
    candidates = [candidate(name) for name in "cab"]
    assert [name_of(c) for c in STRATEGIES["priority"](candidates, ask())] == list("cab")


def test_weighted_splits_in_proportion() -> None:
    candidates = [candidate("a", weight=7), candidate("b", weight=2), candidate("c", weight=1)]
    split = firsts("weighted", candidates, 20_000)
    for name, share in (("a", 0.7), ("b", 0.2), ("c", 0.1)):
        assert abs(split[name] / 20_000 - share) < 0.01


def test_round_robin_takes_turns_exactly() -> None:
    candidates = [candidate(name) for name in "abc"]
    assert firsts("round-robin", candidates, 300) == {"a": 100, "b": 100, "c": 100}


def test_least_busy_takes_the_one_with_most_room_for_its_weight() -> None:
    small, large = candidate("small", weight=1), candidate("large", weight=4)
    small.destination.vitals.in_flight = 3
    large.destination.vitals.in_flight = 8
    assert name_of(STRATEGIES["least-busy"]([small, large], ask())[0]) == "large"
    large.destination.vitals.in_flight = 13
    assert name_of(STRATEGIES["least-busy"]([small, large], ask())[0]) == "small"


def test_fastest_looks_at_first_token_and_pace_by_the_size_of_the_answer() -> None:
    prompt, steady = candidate("prompt"), candidate("steady")
    for _ in range(3):
        prompt.destination.vitals.speed.began(0.1, 1000)
        prompt.destination.vitals.speed.streamed(10, 500, 1000)
        steady.destination.vitals.speed.began(0.5, 1000)
        steady.destination.vitals.speed.streamed(5, 500, 1000)
    both = [prompt, steady]
    short = STRATEGIES["fastest"](both, ask(stream=True, output_limit=10))
    long = STRATEGIES["fastest"](both, ask(stream=True, output_limit=300))
    assert (name_of(short[0]), name_of(long[0])) == ("prompt", "steady")


def test_fastest_draws_two_so_that_not_all_run_to_one() -> None:
    candidates = [candidate(name) for name in "abcd"]
    for number, each in enumerate(candidates):
        each.destination.vitals.speed.answered(1.0 + number, 100, 1000)
    split = firsts("fastest", candidates, 6000)
    # The best of two out of four: 1/2, 1/3, 1/6, never the worst.
    assert abs(split["a"] / 6000 - 1 / 2) < 0.03
    assert abs(split["b"] / 6000 - 1 / 3) < 0.03
    assert split["d"] == 0


def test_cheapest_depends_on_the_shape_of_the_call() -> None:
    reader = candidate("reader", price=("1", "10"))
    writer = candidate("writer", price=("3", "4"))
    unknown = candidate("unknown")
    all_three = [unknown, writer, reader]
    long_prompt = STRATEGIES["cheapest"](all_three, ask(input_tokens=10_000, output_limit=10))
    long_answer = STRATEGIES["cheapest"](all_three, ask(input_tokens=10, output_limit=300))
    assert [name_of(c) for c in long_prompt] == ["reader", "writer", "unknown"]
    assert [name_of(c) for c in long_answer] == ["writer", "reader", "unknown"]


def test_balanced_moves_from_time_to_money_with_its_weight() -> None:
    cheap = candidate("cheap", price=("1", "1"))
    quick = candidate("quick", price=("3", "3"))
    cheap.destination.vitals.speed.answered(4.0, 100, 1000)
    quick.destination.vitals.speed.answered(1.0, 100, 1000)
    chosen = [
        name_of(STRATEGIES["balanced"]([cheap, quick], ask(cost_weight=w, input_tokens=100))[0])
        for w in (0.0, 0.5, 1.0)
    ]
    assert chosen == ["quick", "quick", "cheap"]


def test_balanced_takes_what_is_free_before_what_has_no_price() -> None:
    free, unknown = candidate("free", price=("0", "0")), candidate("unknown")
    for turn in range(20):
        order = STRATEGIES["balanced"]([unknown, free], ask(turn=turn, input_tokens=100))
        assert name_of(order[0]) == "free"


def test_balanced_punishes_errors() -> None:
    good, bad = candidate("good", price=("2", "2")), candidate("bad", price=("1", "1"))
    for _ in range(20):
        bad.destination.vitals.note(1000, failed=True)
    assert name_of(STRATEGIES["balanced"]([good, bad], ask())[0]) == "good"


def test_balanced_tries_what_it_does_not_know_yet() -> None:
    known, new = candidate("known", price=("1", "1")), candidate("new", price=("1", "1"))
    known.destination.vitals.speed.answered(1.0, 100, 1000)
    known.destination.vitals.in_flight = 1
    assert name_of(STRATEGIES["balanced"]([known, new], ask())[0]) == "new"


def test_sticky_keeps_a_key_where_it_is_and_moves_only_the_lost_ones() -> None:
    candidates = [candidate(name) for name in "abcd"]
    place = {
        key: name_of(STRATEGIES["sticky"](candidates, ask(key=key))[0])
        for key in map(str, range(2000))
    }
    assert min(Counter(place.values()).values()) > 2000 / 4 * 0.85
    without_b = [c for c in candidates if name_of(c) != "b"]
    for key, before in place.items():
        after = name_of(STRATEGIES["sticky"](without_b, ask(key=key))[0])
        assert after == before or before == "b"


def test_sticky_holds_weights() -> None:
    candidates = [candidate("a", weight=3), candidate("b", weight=1)]
    count = sum(
        name_of(STRATEGIES["sticky"](candidates, ask(key=str(n)))[0]) == "a" for n in range(8000)
    )
    assert abs(count / 8000 - 0.75) < 0.02
