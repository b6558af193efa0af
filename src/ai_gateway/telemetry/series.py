"""Counts and distributions that cost a call next to nothing, shown to Prometheus when it asks.

prometheus_client's own children take a lock for every increment, and a histogram's for two; a call
touches a dozen. One process's event loop needs none of that: these are plain numbers, turned into the
library's metric families at the scrape.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString  # pyright: ignore[reportUnknownVariableType]

Labels = tuple[str, ...]


class Tally:
    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def add(self, amount: float) -> None:
        self.value += amount


class Spread:
    """How many observations fell up to each bound; the last count is of those beyond all."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


Child = TypeVar("Child", Tally, Spread)


class _Family(Collector, Generic[Child]):
    def __init__(self, name: str, help_text: str, label_names: Sequence[str]) -> None:
        self.name = name
        self.help_text = help_text
        self.label_names = label_names
        self._children: dict[Labels, Child] = {}

    def _new(self) -> Child:
        raise NotImplementedError

    def of(self, *labels: str) -> Child:
        """The child of these label values; the same one each time."""
        child = self._children.get(labels)
        if child is None:
            child = self._children[labels] = self._new()
        return child


class TallyFamily(_Family[Tally]):
    """A counter; `name` without its `_total`."""

    def _new(self) -> Tally:
        return Tally()

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(self.name, self.help_text, labels=self.label_names)
        for labels, tally in self._children.items():
            family.add_metric(labels, tally.value)
        yield family


class SpreadFamily(_Family[Spread]):
    """A histogram."""

    def __init__(
        self, name: str, help_text: str, label_names: Sequence[str], bounds: Sequence[float]
    ) -> None:
        super().__init__(name, help_text, label_names)
        self._bounds = tuple(bounds)

    def _new(self) -> Spread:
        return Spread(self._bounds)

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(self.name, self.help_text, labels=self.label_names)
        for labels, spread in self._children.items():
            total = 0
            buckets: list[tuple[str, float]] = []
            for bound, count in zip((*spread.bounds, float("inf")), spread.counts, strict=True):
                total += count
                buckets.append((floatToGoString(bound), total))
            family.add_metric(labels, buckets, spread.sum)
        yield family
