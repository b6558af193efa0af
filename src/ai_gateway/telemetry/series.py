"""Counts and distributions that cost a call next to nothing.

A call touches a dozen of them. They belong to one process's event loop, so they are plain numbers
without locks; a scrape reads them as a `Snapshot`, which other workers' can be added to.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import time
from typing import Generic, TypeVar

from msgspec import Struct

from .declared import INVENTED, LONGEST_VALUE, OTHER, Metric

Labels = tuple[str, ...]


class Exemplar(Struct, frozen=True, array_like=True):
    """One observation's trace."""

    trace_id: str
    value: float
    at: float
    """Seconds since 1970."""


class Point(Struct, array_like=True):
    """What one series shows at a scrape."""

    labels: Labels
    value: float
    """A counter's or gauge's; a histogram's sum."""
    counts: list[int] = []
    """A histogram's, bucket by bucket, not added up; the last is of those beyond all bounds."""
    exemplars: dict[int, Exemplar] = {}
    """By bucket."""


class Tally:
    """A counter's or a gauge's value."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def add(self, amount: float = 1.0) -> None:
        self.value += amount

    def set(self, value: float) -> None:
        self.value = value

    def point(self, labels: Labels) -> Point:
        return Point(labels, self.value)


class Spread:
    """A histogram's series: how many observations fell up to each bound."""

    __slots__ = ("bounds", "counts", "exemplars", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        self.exemplars: dict[int, Exemplar] = {}

    def observe(self, value: float, trace_id: str | None = None) -> None:
        """`trace_id`: of the kept trace that shows this observation, if there is one."""
        bucket = bisect_left(self.bounds, value)
        self.counts[bucket] += 1
        self.sum += value
        if trace_id is not None:
            self.exemplars[bucket] = Exemplar(trace_id, value, time())

    def point(self, labels: Labels) -> Point:
        return Point(labels, self.sum, list(self.counts), dict(self.exemplars))


Child = TypeVar("Child", Tally, Spread)


class Family(Generic[Child]):
    """One declared metric and its series."""

    def __init__(self, declared: Metric, new: Callable[[], Child]) -> None:
        self.declared = declared
        self._new = new
        self._children: dict[Labels, Child] = {}
        if not declared.labels:
            self.of()

    def of(self, *labels: str) -> Child:
        """The series of these label values; the same one each time. Past the family's bound,
        values that callers can invent count as `other`."""
        child = self._children.get(labels)
        if child is None:
            labels = self._bounded(labels)
            child = self._children.get(labels)
            if child is None:
                child = self._children[labels] = self._new()
        return child

    def _bounded(self, labels: Labels) -> Labels:
        names = self.declared.labels
        if len(labels) != len(names):
            raise ValueError(f"{self.declared.name} has the labels {names}")
        labels = tuple(value[:LONGEST_VALUE] for value in labels)
        if len(self._children) < self.declared.most or labels in self._children:
            return labels
        pairs = zip(names, labels, strict=True)
        return tuple(OTHER if name in INVENTED else value for name, value in pairs)

    def points(self) -> list[Point]:
        return [child.point(labels) for labels, child in self._children.items()]


Reading = Callable[[], float | Mapping[Labels, float]]


class ReadFamily:
    """A metric whose values are read where they live, at the scrape."""

    def __init__(self, declared: Metric, read: Reading) -> None:
        self.declared = declared
        self._read = read

    def points(self) -> list[Point]:
        found = self._read()
        if isinstance(found, Mapping):
            return [Point(labels, value) for labels, value in found.items()]
        return [Point((), found)]


Snapshot = dict[str, list[Point]]
"""The points of every metric by its name: what one worker has counted."""


def merged(metrics: Sequence[Metric], snapshots: Sequence[Snapshot]) -> Snapshot:
    """The workers' snapshots as one."""
    if len(snapshots) == 1:
        return snapshots[0]
    return {metric.name: list(_merge(metric, snapshots)) for metric in metrics}


def _merge(metric: Metric, snapshots: Sequence[Snapshot]) -> Iterator[Point]:
    found: dict[Labels, list[Point]] = {}
    for snapshot in snapshots:
        for point in snapshot.get(metric.name, ()):
            found.setdefault(point.labels, []).append(point)
    for labels, points in found.items():
        values = [point.value for point in points]
        if metric.kind == "gauge" and metric.workers != "sum":
            yield Point(labels, max(values) if metric.workers == "max" else min(values))
            continue
        exemplars: dict[int, Exemplar] = {}
        for point in points:
            exemplars |= point.exemplars
        counts = [sum(each) for each in zip(*(point.counts for point in points), strict=True)]
        yield Point(labels, sum(values), counts, exemplars)
