"""Load: calls a second, a number for each second. A day made up, or one recorded."""

import csv
import math
import random
from collections.abc import Callable
from pathlib import Path

DAY = 86_400


def made_up_day(peak: float, *, seed: int = 1) -> list[float]:
    """A working day as services see it, and four things that happen: nothing here was recorded.

    From an eighth of the peak at night to the peak at 10:30 and 15:00, with a dip at noon; noise of
    5 %. Then: at 04:00 a batch job of half the peak for ten minutes; at 11:00 three times the load for
    three minutes; at 14:00 all callers gone for a minute (an outage in front of us) and back five-fold
    for a minute; at 16:00 half as much again for twenty minutes.
    """
    noise = random.Random(seed)
    found: list[float] = []
    drift = 0.0
    for second in range(DAY):
        hour = second / 3600
        morning = math.exp(-(((hour - 10.5) / 2.2) ** 2))
        afternoon = math.exp(-(((hour - 15.0) / 2.4) ** 2))
        shape = 0.125 + 0.875 * min(1.0, morning + 0.95 * afternoon)
        drift = 0.999 * drift + noise.gauss(0, 0.002)
        found.append(max(0.0, peak * shape * (1 + drift)))
    _change(found, 4.0, 600, lambda value: value + peak / 2)
    _change(found, 11.0, 180, lambda value: value * 3)
    _change(found, 14.0, 60, lambda _: 0.0)
    _change(found, 14.0 + 1 / 60, 60, lambda value: value * 5)
    _change(found, 16.0, 1200, lambda value: value * 1.5)
    return found


def _change(day: list[float], hour: float, seconds: int, how: Callable[[float], float]) -> None:
    start = round(hour * 3600)
    for second in range(start, start + seconds):
        day[second] = how(day[second])


def recorded(path: Path) -> list[float]:
    """A CSV of `second,calls` (calls in that second), as a query over `http_requests_total` gives."""
    with path.open(newline="") as file:
        rows = [
            (int(float(row[0])), float(row[1])) for row in csv.reader(file) if row[0][:1].isdigit()
        ]
    first = rows[0][0]
    found = [0.0] * (rows[-1][0] - first + 1)
    for second, calls in rows:
        found[second - first] = calls
    return found
