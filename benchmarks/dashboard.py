"""What open dashboards cost the calls, and how long their pages wait.

    python -m benchmarks.dashboard load [--pages 20] [--rounds 16] [--seconds 4]
    python -m benchmarks.dashboard pages --database sqlite --records 1000000 [--chromium]

`load`: calls per second of the gateway's CPU, with pages open and without, in turns. They ask what the
pages' modules do, as often. `pages`: `dashboard_pages`.
"""

import argparse
import asyncio
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from statistics import median

from . import servers
from .__main__ import throughput

ADMIN = "bench-admin-key"
AGAIN = 15.0
"""Seconds, after which an overview asks for its sums anew."""
URL = f"http://127.0.0.1:{servers.GATEWAY_PORT}"


class Pages:
    """Half of them show the overview, half the live calls. They are open while `open` is set, and their
    clocks stand still while it is not: what a page asks for every 15 seconds, it asks for after 15
    seconds of being open, whatever the rounds."""

    def __init__(self, count: int) -> None:
        self._open = threading.Event()
        self._seconds = [0.0] * count
        overviews = range(0, count, 2)
        for place, at in enumerate(overviews):
            # As pages that were opened one after the other.
            self._seconds[at] = AGAIN * place / len(overviews)
        self._threads: list[threading.Thread] = []

    @contextmanager
    def opened(self) -> Generator[None, None, None]:
        self._open.set()
        self._threads = [
            threading.Thread(target=target, args=(at,), daemon=True)
            for at in range(len(self._seconds))
            for target in ((self._overview, self._sums) if at % 2 == 0 else (self._calls,))
        ]
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._open.clear()
            for thread in self._threads:
                thread.join(20)

    def _overview(self, at: int) -> None:
        """What comes in, as events."""
        self._listen("/admin/usage/live")

    def _sums(self, at: int) -> None:
        """Every 15 seconds while calls come (static/overview.js, `draw`): for the last 7 days. What does
        not change from one look to the next is asked for every five minutes, and is left out."""
        while self._open.is_set():
            time.sleep(0.1)
            self._seconds[at] += 0.1
            if self._seconds[at] < AGAIN:
                continue
            self._seconds[at] -= AGAIN
            end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
            week = urllib.parse.urlencode(
                {"start": (end - timedelta(days=7)).isoformat(), "end": end.isoformat()}
            )
            _fetch(f"/admin/usage?{week}&group_by=day&utc_offset=0")
            _fetch(f"/admin/usage?{week}&group_by=day,model&utc_offset=0")
            _fetch(f"/admin/latency?{week}&step=day&group_by=model&utc_offset=0")

    def _calls(self, at: int) -> None:
        self._listen("/admin/calls/live")

    def _listen(self, path: str) -> None:
        with urllib.request.urlopen(_asking(path), timeout=20) as answer:
            while self._open.is_set() and answer.readline():
                pass


def _fetch(path: str) -> None:
    with urllib.request.urlopen(_asking(path), timeout=20) as answer:
        answer.read()


def _asking(path: str) -> urllib.request.Request:
    return urllib.request.Request(URL + path, headers={"authorization": f"Bearer {ADMIN}"})


def measured(pid: int, seconds: float) -> float:
    before = servers.cpu_seconds(pid)
    rate = throughput(servers.GATEWAY_PORT, "chat", 16, seconds)
    return rate * seconds / (servers.cpu_seconds(pid) - before)


def share(pid: int) -> float:
    before = servers.cpu_seconds(pid)
    time.sleep(15)
    return (servers.cpu_seconds(pid) - before) / 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    load = parts.add_parser("load")
    load.add_argument("--pages", type=int, default=20)
    load.add_argument("--rounds", type=int, default=16)
    load.add_argument("--seconds", type=float, default=4)
    pages = parts.add_parser("pages")
    pages.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    pages.add_argument("--records", type=int, default=1_000_000)
    pages.add_argument("--rounds", type=int, default=10)
    pages.add_argument("--chromium", action="store_true")
    given = parser.parse_args()
    if given.part == "pages":
        from .dashboard_pages import run

        asyncio.run(run(given))
    else:
        loaded(given)


def loaded(given: argparse.Namespace) -> None:
    alone: list[float] = []
    watched: list[float] = []
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as data,
        servers.upstream() as upstream,
        servers.gateway(upstream, ADMIN_KEY=ADMIN, ACCESS="open", DATA_DIR=data) as (pid, _),
    ):
        pages = Pages(given.pages)
        throughput(servers.GATEWAY_PORT, "chat", 16, 3)
        with pages.opened():
            throughput(servers.GATEWAY_PORT, "chat", 16, 3)
        for round in range(given.rounds):
            # Which comes first changes, so that what grows with time weighs on neither.
            for open in (False, True) if round % 2 else (True, False):
                if open:
                    with pages.opened():
                        watched.append(measured(pid, given.seconds))
                else:
                    alone.append(measured(pid, given.seconds))
        time.sleep(4)
        idle = share(pid)
        with pages.opened():
            looked_at = share(pid)
    pairs = sorted(b / a for a, b in zip(alone, watched, strict=True))
    print(f"of a core while no call comes: {idle:.2%} without, {looked_at:.2%} with the pages")
    print(f"calls per second of CPU, no page open:   {median(alone):8.0f}  {_all(alone)}")
    print(
        f"calls per second of CPU, {given.pages} pages open: {median(watched):8.0f}  {_all(watched)}"
    )
    quarter = len(pairs) // 4
    print(
        f"with / without: {median(watched) / median(alone):.3f}; pair by pair {median(pairs):.3f}, "
        f"half of them between {pairs[quarter]:.3f} and {pairs[-1 - quarter]:.3f}"
    )


def _all(values: list[float]) -> str:
    return " ".join(f"{value:.0f}" for value in values)


if __name__ == "__main__":
    main()
