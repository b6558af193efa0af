"""A fleet of replicas under a load, second by second, and the autoscaler that watches it.

The fleet is a fluid queue: what it cannot carry waits (bounded; what does not fit is refused with 503),
and a call's p99 is that of an M/M/1 queue at the replica's load, and what stands in front of it. The
autoscaler is Kubernetes's (autoscaling/v2), with the numbers of the manifest that is shipped.
"""

import math
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / "k8s/components/hpa/hpa.yaml"


class Replica(Struct, frozen=True, kw_only=True):
    calls_per_second: float
    """What one replica carries, as `make benchmark` measures it on one core."""
    queue_limit: int = 1000
    """Calls that may wait in one replica; more are refused."""
    cpu_request: float = 0.5
    """Of a core."""
    start_seconds: int = 12
    """From the autoscaler's wish to a pod that is ready, on a node that has the image."""


class Scaling(Struct, frozen=True, kw_only=True):
    """An autoscaler's settings. A target of None is not looked at."""

    least: int
    most: int
    cpu_target: float | None
    """Of the request: 1.2 is 120 %."""
    queue_target: float | None
    """Waiting calls a replica."""
    up_percent: float = 100
    up_pods: int = 4
    up_period: int = 15
    down_percent: float = 20
    down_period: int = 60
    down_stabilization: int = 300
    sync_period: int = 15
    metric_delay: int = 15
    """Seconds between what happens and what the autoscaler sees of it (scrape, adapter)."""
    tolerance: float = 0.1


class Second(Struct, frozen=True):
    load: float
    replicas: int
    queue: float
    """Waiting, in all replicas."""
    refused: float
    p99: float
    """Seconds that the gateway itself adds."""
    cpu: float
    """Of one core, a replica."""


def shipped(*, queue: bool = True) -> Scaling:
    """As k8s/components/hpa/hpa.yaml says; without the queue, only its CPU half."""
    spec: dict[str, Any] = yaml.safe_load(MANIFEST.read_text())["spec"]
    up, down = spec["behavior"]["scaleUp"], spec["behavior"]["scaleDown"]
    rises = {policy["type"]: policy for policy in up["policies"]}
    falls = {policy["type"]: policy for policy in down["policies"]}
    metrics = {metric["type"]: metric for metric in spec["metrics"]}
    return Scaling(
        least=spec["minReplicas"],
        most=spec["maxReplicas"],
        cpu_target=metrics["Resource"]["resource"]["target"]["averageUtilization"] / 100,
        queue_target=float(metrics["Pods"]["pods"]["target"]["averageValue"]) if queue else None,
        up_percent=rises["Percent"]["value"],
        up_pods=rises["Pods"]["value"],
        up_period=rises["Percent"]["periodSeconds"],
        down_percent=falls["Percent"]["value"],
        down_period=falls["Percent"]["periodSeconds"],
        down_stabilization=down["stabilizationWindowSeconds"],
    )


def fixed(replicas: int) -> Scaling:
    return Scaling(least=replicas, most=replicas, cpu_target=None, queue_target=None)


def p99_of(load: float, replica: Replica, waiting: float) -> float:
    """Of a call at one replica with this load and so many calls in front of it, in seconds."""
    capacity = replica.calls_per_second
    room = max(capacity - load, 0.02 * capacity)
    return math.log(100) / room + waiting / capacity


def simulate(load: Sequence[float], replica: Replica, scaling: Scaling) -> list[Second]:
    found: list[Second] = []
    ready = scaling.least
    starting: deque[tuple[int, int]] = deque()
    autoscaler = _Autoscaler(scaling, replica)
    queue = 0.0
    for second, arriving in enumerate(load):
        while starting and starting[0][0] <= second:
            ready += starting.popleft()[1]
        capacity = ready * replica.calls_per_second
        asked = queue + arriving
        served = min(asked, capacity)
        limit = ready * replica.queue_limit
        queue = min(asked - served, limit)
        refused = asked - served - queue
        cpu = min(1.0, served / capacity)
        p99 = p99_of(min(arriving, served) / ready, replica, queue / ready)
        found.append(Second(arriving, ready, queue, refused, p99, cpu))
        wanted = autoscaler.wanted(second, found, ready + sum(count for _, count in starting))
        coming = ready + sum(count for _, count in starting)
        if wanted > coming:
            starting.append((second + replica.start_seconds, wanted - coming))
        elif wanted < coming:
            # What has not started is not started; then replicas that serve drain and go.
            gone = coming - wanted
            while gone and starting:
                when, count = starting.pop()
                if count > gone:
                    starting.append((when, count - gone))
                gone -= min(count, gone)
            ready -= gone
            queue = min(queue, ready * replica.queue_limit)
    return found


class _Autoscaler:
    def __init__(self, scaling: Scaling, replica: Replica) -> None:
        self._scaling = scaling
        self._request = replica.cpu_request
        self._recommended: deque[tuple[int, int]] = deque()
        self._changes: deque[tuple[int, int]] = deque()

    def wanted(self, second: int, seen: Sequence[Second], current: int) -> int:
        scaling = self._scaling
        if scaling.least == scaling.most or second % scaling.sync_period:
            return current
        desired = self._by_metrics(second, seen, current)
        self._recommended.append((second, desired))
        while self._recommended[0][0] < second - scaling.down_stabilization:
            self._recommended.popleft()
        while self._changes and self._changes[0][0] <= second - scaling.down_period:
            self._changes.popleft()
        if desired < current:
            desired = min(current, max(wish for _, wish in self._recommended))
            gone = sum(-change for when, change in self._changes if change < 0)
            before = current + gone
            # Kubernetes truncates here, and rounds up where it adds.
            floor = int(before * (1 - scaling.down_percent / 100))
            desired = max(desired, floor)
        else:
            added = sum(
                change for when, change in self._changes
                if change > 0 and when > second - scaling.up_period
            )  # fmt: skip
            before = current - added
            ceiling = max(
                math.ceil(before * (1 + scaling.up_percent / 100)), before + scaling.up_pods
            )
            desired = min(desired, ceiling)
        desired = max(scaling.least, min(scaling.most, desired))
        if desired != current:
            self._changes.append((second, desired - current))
        return desired

    def _by_metrics(self, second: int, seen: Sequence[Second], current: int) -> int:
        """The most that any metric asks for; within the tolerance nothing changes."""
        scaling = self._scaling
        at = max(0, second - scaling.metric_delay)
        state = seen[at]
        wishes: list[int] = []
        for value, target in (
            # CPU is an average of the last half minute, as metrics-server gives it.
            (
                _mean([s.cpu for s in seen[max(0, at - 30) : at + 1]]) / self._request,
                scaling.cpu_target,
            ),
            (state.queue / state.replicas, scaling.queue_target),
        ):
            if target is None:
                continue
            ratio = value / target
            if abs(ratio - 1) <= scaling.tolerance:
                wishes.append(current)
            else:
                wishes.append(math.ceil(state.replicas * ratio))
        return max(wishes)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


class Summary(Struct, frozen=True, kw_only=True):
    name: str
    replica_hours: float
    most_replicas: int
    served_share: float
    waited_share: float
    """Calls whose p99 at that second was above 100 ms."""
    p99_worst_minute: float
    """Seconds: the mean p99 of the worst minute."""


def summed(name: str, run: Sequence[Second]) -> Summary:
    calls = sum(s.load for s in run)
    minutes = [_mean([s.p99 for s in run[at : at + 60]]) for at in range(0, len(run), 60)]
    return Summary(
        name=name,
        replica_hours=sum(s.replicas for s in run) / 3600,
        most_replicas=max(s.replicas for s in run),
        served_share=1 - sum(s.refused for s in run) / calls,
        waited_share=sum(s.load for s in run if s.p99 > 0.1) / calls,
        p99_worst_minute=max(minutes),
    )
