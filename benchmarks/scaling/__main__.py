"""`python -m benchmarks.scaling [--capacity N] [--peak N] [--load FILE.csv] [--plot FILE.svg]`"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from .day import made_up_day, recorded
from .plot import Panel, drawn
from .simulate import Replica, Second, Summary, fixed, shipped, simulate, summed

CAPACITY = 3000
"""Calls a second of one replica on one core; `make benchmark` tells yours."""
PEAK = 20_000


def runs(load: Sequence[float], replica: Replica) -> dict[str, list[Second]]:
    enough = max(
        3, -(-round(sorted(load)[int(len(load) * 0.99)]) // int(replica.calls_per_second * 0.7))
    )
    return {
        f"fixed, {enough} replicas": simulate(load, replica, fixed(enough)),
        "by CPU": simulate(load, replica, shipped(queue=False)),
        "by CPU and queue depth": simulate(load, replica, shipped()),
    }


def table(summaries: Sequence[Summary]) -> str:
    lines = [
        "| replicas | replica-hours | most | answered | p99 above 100 ms | worst minute's p99 |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {s.name} | {s.replica_hours:.0f} | {s.most_replicas} | {s.served_share * 100:.3f} % "
        f"| {s.waited_share * 100:.2f} % of calls | {s.p99_worst_minute * 1000:.0f} ms |"
        for s in summaries
    ]
    return "\n".join(lines)


def plot(found: dict[str, list[Second]]) -> str:
    def minutes(values: Sequence[float]) -> list[float]:
        return [max(values[at : at + 60]) for at in range(0, len(values), 60)]

    first = next(iter(found.values()))
    return drawn(
        "A day's load and the autoscaler that is shipped (simulated; the highest of each minute)",
        [
            Panel(title="calls a second", curves={"load": minutes([s.load for s in first])}),
            Panel(
                title="replicas that serve",
                curves={n: minutes([float(s.replicas) for s in run]) for n, run in found.items()},
            ),
            Panel(
                title="p99 that the gateway adds, ms",
                curves={n: minutes([s.p99 * 1000 for s in run]) for n, run in found.items()},
                logarithmic=True,
            ),
        ],
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling")
    parser.add_argument("--capacity", type=float, default=CAPACITY, help="calls a second a replica")
    parser.add_argument("--peak", type=float, default=PEAK, help="of the made-up day")
    parser.add_argument("--load", type=Path, help="a CSV of second,calls instead")
    parser.add_argument("--plot", type=Path, help="where to write the picture")
    given = parser.parse_args()
    load = recorded(given.load) if given.load else made_up_day(given.peak)
    found = runs(load, Replica(calls_per_second=given.capacity))
    print(table([summed(name, run) for name, run in found.items()]))
    if given.plot:
        given.plot.write_text(plot(found), "utf-8")


if __name__ == "__main__":
    main()
