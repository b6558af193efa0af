"""Experiments on routes: who gets which variant, and when one has to be stopped."""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Coroutine
from hashlib import blake2b
from itertools import accumulate
from typing import Any, Protocol

from msgspec import DecodeError
from msgspec.json import Decoder, encode

from ai_gateway.background import end
from ai_gateway.model.call import Outcome
from ai_gateway.model.route import Experiment, Route, Variant

from .book import OnEvent
from .statistics import Sample, difference, rate

_LOOK_SECONDS = 3.0
_JUDGE_EVERY = 25
_ANONYMOUS = "anonymous"
STOPS = "experiment-stops"
"""The channel of the shared state."""
_read = Decoder(tuple[str, str, str | None]).decode


def variant_of(experiment: Experiment, key: str) -> Variant:
    """The same for the same key, as long as names and shares stay; its share of all keys."""
    seed = f"{experiment.name}\0{key}".encode("utf-8", "surrogatepass")
    point = int.from_bytes(blake2b(seed, digest_size=8).digest(), "big") / 2**64
    bounds = list(accumulate(variant.share for variant in experiment.variants))
    return experiment.variants[min(bisect_right(bounds, point * bounds[-1]), len(bounds) - 1)]


def assignment_key(tenant: str, user: str, named: str | None, call_id: str) -> str:
    """Whose variant it is: the user's; of a caller without a name, the one its request names; else the
    call's own, which is then assigned by chance."""
    if user != _ANONYMOUS:
        return f"{tenant}\0{user}"
    return f"{tenant}\0{named or call_id}"


class StopStore(Protocol):
    """Where stops last. Its methods raise whatever their database raises when it is away."""

    def exists(self) -> bool: ...
    async def stops(self) -> dict[tuple[str, str], str]: ...
    async def stop(self, route: str, experiment: str, reason: str, actor: str) -> None: ...
    async def start(self, route: str, experiment: str, actor: str) -> None: ...


class _Tally:
    __slots__ = ("calls", "cost", "cost_squares", "errors", "priced")

    def __init__(self) -> None:
        self.calls = self.errors = self.priced = 0
        self.cost = self.cost_squares = 0.0


class Experiments:
    def __init__(
        self,
        store: StopStore,
        *,
        on_stop: Callable[[str, str, str], None],
        on_event: OnEvent,
        tell: Callable[[bytes], None] = lambda message: None,
    ) -> None:
        """`on_stop(route, experiment, why)` is told of a stop by the guard; `tell` takes a message for
        the other processes, each of which gives it to `hear`."""
        self._store = store
        self._on_stop = on_stop
        self._on_event = on_event
        self._lost = False
        self._tell = tell
        self.stopped: dict[tuple[str, str], str] = {}
        """(route, experiment) -> why."""
        self._unwritten: dict[tuple[str, str], str] = {}
        """The guard's, which the database does not know yet."""
        self._tallies: dict[tuple[str, str], dict[str, _Tally]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        await self.look()
        self._spawn(self._follow())

    async def close(self) -> None:
        await end(*self._tasks)

    def running(self, name: str, route: Route) -> Experiment | None:
        """The route's experiment, where it is to take part in calls."""
        experiment = route.experiment
        if experiment is None or not experiment.running:
            return None
        return None if (name, experiment.name) in self.stopped else experiment

    async def stop(self, route: str, experiment: str, reason: str, actor: str) -> None:
        await self._store.stop(route, experiment, reason, actor)
        self.stopped[route, experiment] = reason
        self._tell(encode((route, experiment, reason)))

    async def start(self, route: str, experiment: str, actor: str) -> None:
        await self._store.start(route, experiment, actor)
        self._started(route, experiment)
        self._tell(encode((route, experiment, None)))

    def hear(self, message: bytes) -> None:
        """Of a stop (why) or a start (None) in another process, sooner than from the database."""
        try:
            route, experiment, why = _read(message)
        except DecodeError:
            return
        if why is None:
            self._started(route, experiment)
        else:
            self.stopped[route, experiment] = why

    def _started(self, route: str, experiment: str) -> None:
        key = (route, experiment)
        self.stopped.pop(key, None)
        self._unwritten.pop(key, None)
        self._tallies.pop(key, None)

    def settled(self, outcome: Outcome, experiment: Experiment) -> None:
        """Into the guard's own count, which is this process's alone; its verdict holds for all."""
        route, variant = outcome.route, outcome.variant
        if route is None or variant is None or experiment.guard is None:
            return
        if outcome.error == "cancelled":
            return
        tallies = self._tallies.setdefault((route, experiment.name), {})
        tally = tallies.setdefault(variant, _Tally())
        tally.calls += 1
        tally.errors += outcome.error is not None
        if outcome.cost is not None:
            cost = float(outcome.cost)
            tally.priced += 1
            tally.cost += cost
            tally.cost_squares += cost * cost
        if tally.calls % _JUDGE_EVERY == 0:
            why = verdict(experiment, tallies)
            if why is not None and (route, experiment.name) not in self.stopped:
                key = (route, experiment.name)
                self.stopped[key] = self._unwritten[key] = why
                self._on_stop(route, experiment.name, why)
                self._tell(encode((route, experiment.name, why)))
                self._spawn(self._write_down())

    async def _write_down(self) -> None:
        """What cannot be written, the database being away, is written at a later look."""
        for key, why in list(self._unwritten.items()):
            try:
                await self._store.stop(*key, why, "guard")
            except Exception as error:
                self._missed(error)
                return
            self._unwritten.pop(key, None)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Whatever the database throws while it comes and goes, it is looked at again."""
        if self._unwritten:
            await self._write_down()
        if not self._store.exists():
            return
        try:
            known = await self._store.stops()
        except Exception as error:
            self._missed(error)
            return
        self._lost = False
        self.stopped = {**known, **self._unwritten}

    def _missed(self, error: Exception) -> None:
        if not self._lost:
            self._lost = True
            self._on_event("error", "experiments_database_lost", type(error).__name__)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def verdict(experiment: Experiment, tallies: dict[str, _Tally]) -> str | None:
    """Why the guard stops it; None while nothing speaks against it."""
    guard = experiment.guard
    first = tallies.get(experiment.variants[0].name)
    if guard is None or first is None or first.calls < guard.least_calls:
        return None
    comparisons = len(experiment.variants) - 1
    for variant in experiment.variants[1:]:
        tally = tallies.get(variant.name)
        if tally is None or tally.calls < guard.least_calls:
            continue
        if guard.error_increase is not None:
            errors = difference(
                rate(tally.calls, tally.errors), rate(first.calls, first.errors),
                comparisons=comparisons,
            )  # fmt: skip
            if errors is not None and errors.significant and errors.value > guard.error_increase:
                return f"{variant.name} fails {errors.value:.1%} more of its calls"
        if guard.cost_increase is not None and first.cost > 0:
            costs = difference(_cost(tally), _cost(first), comparisons=comparisons)
            most = guard.cost_increase * _cost(first).mean
            if costs is not None and costs.significant and costs.value > most:
                return f"{variant.name} costs {costs.value / _cost(first).mean:.0%} more a call"
    return None


def _cost(tally: _Tally) -> Sample:
    return Sample(tally.priced, tally.cost, tally.cost_squares)
