"""The autoscaling simulation: its queue against one played out call by call, its autoscaler by hand."""

import random
from itertools import pairwise
from pathlib import Path

import pytest
from benchmarks.scaling.__main__ import CAPACITY, PEAK, plot, runs, table
from benchmarks.scaling.day import DAY, made_up_day, recorded
from benchmarks.scaling.plot import Panel, drawn
from benchmarks.scaling.simulate import (
    Replica,
    Scaling,
    fixed,
    p99_of,
    shipped,
    simulate,
    summed,
)

ROOT = Path(__file__).parents[2]
REPLICA = Replica(calls_per_second=1000)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.8])
def test_the_p99_is_that_of_calls_played_out_one_by_one(share: float) -> None:
    draws = random.Random(7)
    capacity, load = REPLICA.calls_per_second, share * REPLICA.calls_per_second
    clock = free = 0.0
    taken: list[float] = []
    for _ in range(200_000):
        clock += draws.expovariate(load)
        free = max(free, clock) + draws.expovariate(capacity)
        taken.append(free - clock)
    played = sorted(taken)[int(len(taken) * 0.99)]
    assert p99_of(load, REPLICA, 0) == pytest.approx(played, rel=0.1)


def test_a_fixed_fleet_carries_its_capacity_and_queues_and_refuses_the_rest() -> None:
    run = simulate([1500.0] * 60 + [0.0] * 60, REPLICA, fixed(1))
    assert run[0].queue == 500
    assert run[1].queue == 1000
    assert run[1].refused == 0
    assert run[2].refused == 500
    assert run[2].p99 > 1
    assert run[61].queue == 0
    carried = sum(s.load - s.refused for s in run)
    assert carried == pytest.approx(60 * 1000 + 1000)


def test_new_replicas_come_after_their_start_and_no_faster_than_the_policy() -> None:
    run = simulate([20_000.0] * 120, REPLICA, shipped())
    counts = [s.replicas for s in run]
    assert counts[0] == 3
    first = next(i for i, count in enumerate(counts) if count > 3)
    assert first >= REPLICA.start_seconds
    assert counts[first] <= 3 + max(3, 4)
    assert counts[-1] > 20


def test_scaling_down_waits_and_then_goes_in_steps() -> None:
    run = simulate([8_000.0] * 1200 + [100.0] * 1800, REPLICA, shipped())
    before = run[1199].replicas
    assert before > 10
    # Metrics are seen 15 s late, CPU as a mean of 30 s; the last high wish counts for 300 s.
    assert {s.replicas for s in run[1200:1490]} == {before}
    assert run[-1].replicas == 3
    falls = [a.replicas - b.replicas for a, b in pairwise(run[1200:])]
    assert max(falls) == before - int(before * 0.8)


def test_within_the_tolerance_nothing_changes() -> None:
    scaling = Scaling(least=2, most=50, cpu_target=1.2, queue_target=None)
    # 0.62 of a core is 103 % of the target.
    run = simulate([2 * 620.0] * 600, REPLICA, scaling)
    assert {s.replicas for s in run} == {2}


def test_the_queue_sees_more_than_the_cpu_can_show() -> None:
    """CPU ends at one core, however long the queue is; the queue's depth tells how much is missing."""
    load = [2_000.0] * 120 + [25_000.0] * 120
    by_cpu = summed("cpu", simulate(load, REPLICA, shipped(queue=False)))
    by_both = summed("both", simulate(load, REPLICA, shipped()))
    assert by_both.served_share > by_cpu.served_share
    assert by_both.waited_share <= by_cpu.waited_share


def test_the_autoscaler_is_the_one_that_is_shipped() -> None:
    scaling = shipped()
    assert (scaling.least, scaling.most) == (3, 30)
    assert (scaling.cpu_target, scaling.queue_target) == (1.2, 10)
    assert shipped(queue=False).queue_target is None


def test_a_recorded_day_is_read(tmp_path: Path) -> None:
    path = tmp_path / "day.csv"
    path.write_text("second,calls\n100,5\n101,7\n103,2\n")
    assert recorded(path) == [5, 7, 0, 2]


def test_the_pages_table_and_picture_are_what_the_simulation_gives() -> None:
    load = made_up_day(PEAK)
    assert len(load) == DAY
    found = runs(load, Replica(calls_per_second=CAPACITY))
    page = (ROOT / "docs/scaling.md").read_text()
    assert table([summed(name, run) for name, run in found.items()]) in page
    picture = (ROOT / "docs/images/scaling.svg").read_text()
    assert plot(found) == picture, "python -m benchmarks.scaling --plot docs/images/scaling.svg"


def test_a_picture_is_well_formed() -> None:
    from xml.etree import ElementTree

    text = drawn("t", [Panel(title="p", curves={"a": [1, 10, 100]}, logarithmic=True)])
    root = ElementTree.fromstring(text)
    assert len(root.findall("{http://www.w3.org/2000/svg}polyline")) == 1
