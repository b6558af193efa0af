"""What open dashboards cost the calls, and how long their pages wait.

    python -m benchmarks.dashboard load [--pages 20] [--rounds 4] [--seconds 6]
    python -m benchmarks.dashboard pages --database sqlite --records 1000000 [--chromium]

`load`: calls per second of the gateway's CPU, with pages open and without, in turns. Half of the pages
show the overview, half the live calls; they ask as the pages' modules do. `pages`: `dashboard_pages`.
"""

import argparse
import asyncio
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from datetime import UTC, datetime, timedelta
from statistics import median

from . import servers
from .__main__ import throughput

ADMIN = "bench-admin-key"
URL = f"http://127.0.0.1:{servers.GATEWAY_PORT}"


def fetch(path: str) -> None:
    with urllib.request.urlopen(_asking(path), timeout=20) as answer:
        answer.read()


def overview(closed: threading.Event) -> None:
    """The sums every 15 seconds while calls come, and what comes in as events."""
    running = threading.Thread(target=_listen, args=("/admin/usage/live", closed), daemon=True)
    running.start()
    while not closed.wait(15 * 0.2):
        end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        week = urllib.parse.urlencode(
            {"start": (end - timedelta(days=7)).isoformat(), "end": end.isoformat()}
        )
        fetch(f"/admin/usage?{week}&group_by=day")
        fetch(f"/admin/usage?{week}&group_by=day,model")
        fetch(f"/admin/latency?{week}&step=day&group_by=model")
        if closed.wait(15 * 0.8):
            return


def calls(closed: threading.Event) -> None:
    _listen("/admin/calls/live", closed)


def _listen(path: str, closed: threading.Event) -> None:
    with urllib.request.urlopen(_asking(path), timeout=20) as answer:
        while not closed.is_set() and answer.readline():
            pass


def _asking(path: str) -> urllib.request.Request:
    return urllib.request.Request(URL + path, headers={"authorization": f"Bearer {ADMIN}"})


def measured(pid: int, seconds: float) -> float:
    before = servers.cpu_seconds(pid)
    rate = throughput(servers.GATEWAY_PORT, "chat", 16, seconds)
    return rate * seconds / (servers.cpu_seconds(pid) - before)


def opened(count: int, closed: threading.Event) -> list[threading.Thread]:
    pages = [
        threading.Thread(target=calls if at % 2 else overview, args=(closed,), daemon=True)
        for at in range(count)
    ]
    for page in pages:
        page.start()
    return pages


def share(pid: int) -> float:
    before = servers.cpu_seconds(pid)
    time.sleep(15)
    return (servers.cpu_seconds(pid) - before) / 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    load = parts.add_parser("load")
    load.add_argument("--pages", type=int, default=20)
    load.add_argument("--rounds", type=int, default=4)
    load.add_argument("--seconds", type=float, default=6)
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
        throughput(servers.GATEWAY_PORT, "chat", 16, 2)
        for _ in range(given.rounds):
            alone.append(measured(pid, given.seconds))
            closed = threading.Event()
            pages = opened(given.pages, closed)
            watched.append(measured(pid, given.seconds))
            closed.set()
            for page in pages:
                page.join(20)
        time.sleep(4)
        idle = share(pid)
        closed = threading.Event()
        pages = opened(given.pages, closed)
        looked_at = share(pid)
        closed.set()
        for page in pages:
            page.join(20)
    print(f"of a core while no call comes: {idle:.2%} without, {looked_at:.2%} with the pages")
    print(f"calls per second of CPU, no page open:   {median(alone):8.0f}  {_all(alone)}")
    print(
        f"calls per second of CPU, {given.pages} pages open: {median(watched):8.0f}  {_all(watched)}"
    )
    print(f"with / without: {median(watched) / median(alone):.3f}")


def _all(values: list[float]) -> str:
    return " ".join(f"{value:.0f}" for value in values)


if __name__ == "__main__":
    main()
