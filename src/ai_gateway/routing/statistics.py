"""Whether two variants differ, looked at as often as one likes.

A classical test is right once, at a size fixed beforehand; whoever looks every hour and stops at the
first good news finds differences that are none. So differences of means are judged by a mixture
sequential probability ratio test (Robbins 1970; Johari, Pekelis and Walsh 2017): its p-values and
intervals hold at every look. With means of `n` values each, difference d and variance V of d:

    p = sqrt((V + t) / V) * exp(-t * d^2 / (2 * V * (V + t)))      the least over all looks
    d +- sqrt(V * (V + t) / t * (log((V + t) / V) - 2 * log(alpha)))

where t, the variance of the differences one expects, is (0.1 standard deviations)^2. Both rest on the
central limit theorem: nothing is judged below 30 values a side. With several variants alpha is shared out
among them (Bonferroni). The chance to be best is Bayesian: each mean is normal about what was seen
(flat prior), drawn 10,000 times.
"""

from collections.abc import Sequence
from math import exp, log, sqrt
from random import Random

from msgspec import Struct

ALPHA = 0.05
LEAST_VALUES = 30
_EXPECTED_EFFECT = 0.1
_DRAWS = 10_000


class Sample(Struct, frozen=True):
    """Of one variant: how many values, their sum and the sum of their squares."""

    count: int
    total: float
    squares: float

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0

    @property
    def variance(self) -> float:
        """Unbiased."""
        if self.count < 2:
            return 0.0
        return max(0.0, (self.squares - self.total * self.mean) / (self.count - 1))


class Difference(Struct, frozen=True, kw_only=True):
    """Of a variant to the first one."""

    value: float
    low: float
    high: float
    """Hold with 1 - alpha, at every look."""
    p: float
    significant: bool


def rate(count: int, hits: int) -> Sample:
    """Of something that a call is or is not, with one hit and one miss added (Agresti and Caffo, 2000):
    where none or all hit, the variance seen would be none."""
    return Sample(count + 2, hits + 1.0, hits + 1.0)


def difference(variant: Sample, control: Sample, *, comparisons: int = 1) -> Difference | None:
    """None while there are too few values to say anything."""
    if min(variant.count, control.count) < LEAST_VALUES:
        return None
    alpha = ALPHA / comparisons
    value = variant.mean - control.mean
    spread = _pooled(variant, control)
    noise = variant.variance / variant.count + control.variance / control.count
    if noise <= 0 or spread <= 0:
        # All values alike on both sides: nothing to weigh.
        return Difference(value=value, low=value, high=value, p=1.0, significant=False)
    expected = (_EXPECTED_EFFECT**2) * spread
    both = noise + expected
    p = min(1.0, sqrt(both / noise) * exp(-expected * value**2 / (2 * noise * both)))
    half = sqrt(noise * both / expected * (log(both / noise) - 2 * log(alpha)))
    return Difference(value=value, low=value - half, high=value + half, p=p, significant=p <= alpha)


def chances_to_be_best(
    samples: Sequence[Sample], *, lower_is_better: bool = False, seed: int = 1
) -> list[float] | None:
    """None while one of them has too few values."""
    if len(samples) < 2 or min(s.count for s in samples) < LEAST_VALUES:
        return None
    random = Random(seed)
    sign = -1.0 if lower_is_better else 1.0
    spread = [(sign * s.mean, sqrt(s.variance / s.count)) for s in samples]
    wins = [0] * len(samples)
    for _ in range(_DRAWS):
        drawn = [random.gauss(mean, deviation) for mean, deviation in spread]
        wins[drawn.index(max(drawn))] += 1
    return [won / _DRAWS for won in wins]


def _pooled(one: Sample, other: Sample) -> float:
    """The variance of the values of both sides together."""
    freedom = one.count + other.count - 2
    return (one.variance * (one.count - 1) + other.variance * (other.count - 1)) / freedom
