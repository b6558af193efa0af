"""`python -m benchmarks.everything`: what each feature costs, in one run, on one core, beside HAProxy.

Off: no ledger, no limits, no cache, log of warnings alone. On: see `features.py`; the cache is looked at,
and missed: every question is new. The same with Redis and PostgreSQL; then the same question again and
again, from the cache. `--quick`, `--json FILE`. Needs wrk and haproxy. CPU a call is the gateway's own,
from the kernel's account, and survives a busy machine better than a rate does.
"""

import argparse
import json
from pathlib import Path
from statistics import median

from . import servers, wrk
from .features import KEY, features


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json")
    given = parser.parse_args()
    rounds, seconds = (2, 2.0) if given.quick else (5, 4.0)
    kept: dict[str, object] = {}
    servers.pin_load()
    with servers.upstream() as upstream, features() as sets:
        cases = [
            ("everything off", "off", True),
            ("everything on, memory and SQLite", "on", True),
            ("everything on, Redis and PostgreSQL", "shared", True),
            ("from the exact cache, memory", "on", False),
            ("from the exact cache, Redis", "shared", False),
        ]
        limit: list[float] = []
        with servers.haproxy() as there:
            if there:
                limit = [
                    wrk.ask(servers.HAPROXY_PORT, "chat", 32, seconds, fresh=False).per_second
                    for _ in range(rounds)
                ]
        print(
            f"{'':<40}{'req/s':>9}{'of HAProxy':>12}{'us CPU':>9}{'p50 ms':>9}{'p99 ms':>9}{'MiB':>7}"
        )
        if limit:
            print(f"{'HAProxy as plain reverse proxy':<40}{median(limit):>9.0f}")
            kept["haproxy"] = limit
        for name, which, fresh in cases:
            environ = sets.environ(which)
            kept[name] = _case(name, upstream, environ, fresh, rounds, seconds, limit)
    if given.json:
        Path(given.json).write_text(json.dumps(kept, indent=2))


def _case(
    name: str,
    upstream: str,
    environ: dict[str, str],
    fresh: bool,
    rounds: int,
    seconds: float,
    limit: list[float],
) -> dict[str, list[float]]:
    rates: list[float] = []
    costs: list[float] = []
    middle: list[float] = []
    tail: list[float] = []
    with servers.gateway(upstream, key=KEY, environ=environ) as (pid, _):
        wrk.ask(servers.GATEWAY_PORT, "chat", 32, 1, key=KEY, fresh=fresh)
        for _ in range(rounds):
            before = servers.cpu_seconds(pid)
            found = wrk.ask(servers.GATEWAY_PORT, "chat", 32, seconds, key=KEY, fresh=fresh)
            spent = servers.cpu_seconds(pid) - before
            costs.append(spent / (found.per_second * seconds) * 1e6)
            rates.append(found.per_second)
            middle.append(found.p50_ms)
            tail.append(found.p99_ms)
        memory = servers.resident_kib(pid) / 1024
    part = f"{median(rates) / median(limit):>12.3f}" if limit else f"{'':>12}"
    print(
        f"{name:<40}{median(rates):>9.0f}{part}{median(costs):>9.0f}"
        f"{median(middle):>9.2f}{median(tail):>9.2f}{memory:>7.0f}",
        flush=True,
    )
    return {"rates": rates, "cpu_us": costs, "p50_ms": middle, "p99_ms": tail, "mib": [memory]}


if __name__ == "__main__":
    main()
