"""What is called a difference is one, looked at as often as one likes."""

from random import Random

import pytest

from ai_gateway.model.route import Experiment, Variant
from ai_gateway.routing.experiments import variant_of
from ai_gateway.routing.statistics import Sample, chances_to_be_best, difference, rate


def experiment(*shares: float) -> Experiment:
    variants = tuple(Variant(name=f"v{n}", share=share) for n, share in enumerate(shares))
    return Experiment(name="e", variants=variants)


@pytest.mark.parametrize("shares", [(1, 1), (90, 10), (50, 30, 20), (1, 2, 3, 4)])
def test_shares_hold_within_one_percent_over_100_000_users_and_are_sticky(
    shares: tuple[float, ...],
) -> None:
    test = experiment(*shares)
    counts = dict.fromkeys((v.name for v in test.variants), 0)
    for user in range(100_000):
        counts[variant_of(test, f"tenant\0user-{user}").name] += 1
    for variant in test.variants:
        assert abs(counts[variant.name] / 100_000 - variant.share / sum(shares)) < 0.01
    for user in range(0, 100_000, 997):
        key = f"tenant\0user-{user}"
        assert variant_of(test, key).name == variant_of(experiment(*shares), key).name


def test_experiments_assign_independently_of_each_other() -> None:
    one = experiment(1, 1)
    other = Experiment(name="another", variants=one.variants)
    same = sum(
        variant_of(one, str(u)).name == variant_of(other, str(u)).name for u in range(20_000)
    )
    assert abs(same / 20_000 - 0.5) < 0.015


def _binary(random: Random, chance: float, count: int) -> int:
    return sum(random.random() < chance for _ in range(count))


def test_of_1000_null_experiments_looked_at_twenty_times_each_few_are_called() -> None:
    random = Random(11)
    called = 0
    for _ in range(1000):
        hits, found = [0, 0], False
        for look in range(1, 21):
            for side in (0, 1):
                hits[side] += _binary(random, 0.7, 100)
            seen = difference(rate(100 * look, hits[0]), rate(100 * look, hits[1]))
            found = found or (seen is not None and seen.significant)
        called += found
    assert called / 1000 <= 0.05


def test_a_planted_difference_of_five_points_is_found() -> None:
    random = Random(12)
    found = 0
    for _ in range(100):
        one, other = _binary(random, 0.75, 5000), _binary(random, 0.70, 5000)
        seen = difference(rate(5000, one), rate(5000, other))
        assert seen is not None
        found += seen.significant and seen.value > 0
    assert found >= 95


def test_intervals_hold_what_they_promise() -> None:
    random = Random(13)
    inside = 0
    for _ in range(300):
        sides: list[Sample] = []
        for mean in (1.0, 1.2):
            values = [random.gauss(mean, 2.0) for _ in range(500)]
            sides.append(Sample(500, sum(values), sum(v * v for v in values)))
        seen = difference(sides[1], sides[0])
        assert seen is not None
        inside += seen.low <= 0.2 <= seen.high
    assert inside / 300 >= 0.95


def test_too_few_values_say_nothing() -> None:
    assert difference(rate(20, 20), rate(1000, 0)) is None
    assert chances_to_be_best([rate(10, 5), rate(100, 50)]) is None


def test_the_chance_to_be_best_follows_the_evidence() -> None:
    even = chances_to_be_best([rate(500, 250), rate(500, 250)])
    clear = chances_to_be_best([rate(500, 300), rate(500, 250)])
    lower = chances_to_be_best([rate(500, 300), rate(500, 250)], lower_is_better=True)
    assert even is not None
    assert abs(even[0] - 0.5) < 0.03
    assert clear is not None
    assert clear[0] > 0.99
    assert lower is not None
    assert lower[1] > 0.99


def test_all_against_none_is_a_difference() -> None:
    seen = difference(rate(40, 40), rate(40, 0))
    assert seen is not None
    assert seen.significant
    nothing = difference(rate(4000, 0), rate(4000, 0))
    assert nothing is not None
    assert not nothing.significant
