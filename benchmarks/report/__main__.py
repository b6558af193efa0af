"""`python -m benchmarks.report`: every figure in one run, and docs/performance.md made from it.

The gateway and what it is measured beside are pinned to one core; provider, load, Redis and PostgreSQL to
another. `--only chat,stream` measures these parts anew and keeps the others' last figures; `--peers` also
measures other gateways (see benchmarks/peers.py); `--page` only writes the page. Needs wrk, and haproxy
for the ratios.
"""

import argparse
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable

from benchmarks import growth, peers, servers
from benchmarks.features import features

from . import figures
from .measure import PARTS, Bench, Figures
from .page import written


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    known: dict[str, Callable[[Bench], Figures]] = {
        **PARTS,
        "growth": growth.measure,
        "peers": peers.measure,
    }
    parser.add_argument("--quick", action="store_true", help="one short round of each")
    parser.add_argument("--only", help=f"of {', '.join(known)}; with commas")
    parser.add_argument(
        "--peers", action="store_true", help="other gateways too, installed if need be"
    )
    parser.add_argument("--page", action="store_true", help="measure nothing, write the page")
    given = parser.parse_args()
    results, failed = figures.load(), list[str]()
    if not given.page:
        wanted = given.only.split(",") if given.only else [*PARTS, "growth"]
        if given.peers and "peers" not in wanted:
            wanted.append("peers")
        if unknown := set(wanted) - set(known):
            parser.error(f"no part {', '.join(sorted(unknown))}: there are {', '.join(known)}")
        if shutil.which("wrk") is None:
            parser.error("wrk is needed")
        if not given.only:
            results = figures.Results(
                parts={name: part for name, part in results.parts.items() if name not in wanted}
            )
        results.machine, results.quick = figures.machine(), given.quick
        failed = _measure(results, {name: known[name] for name in wanted}, quick=given.quick)
    written(results)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def _measure(
    results: figures.Results, wanted: dict[str, Callable[[Bench], Figures]], *, quick: bool
) -> list[str]:
    """The parts that failed."""
    begun = time.monotonic()
    failed: list[str] = []
    servers.pin_load()
    with servers.upstream() as upstream, features() as sets:
        bench = Bench(upstream, sets, quick=quick)
        for name, measure in wanted.items():
            at, load, started = figures.now(), os.getloadavg()[0], time.monotonic()
            print(f"{name} ...", end=" ", flush=True)
            try:
                found = measure(bench)
            except (SystemExit, subprocess.SubprocessError, OSError, sqlite3.Error) as error:
                # The others are worth having; the page then says that this was not measured.
                results.parts.pop(name, None)
                failed.append(name)
                print(f"failed: {error}", flush=True)
                continue
            results.parts[name] = figures.Part(at=at, load=load, figures=dict(found))
            figures.save(results)
            print(f"{time.monotonic() - started:.0f} s", flush=True)
    print(f"all in {time.monotonic() - begun:.0f} s")
    return failed


if __name__ == "__main__":
    main()
