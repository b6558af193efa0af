"""`python -m benchmarks.everything`: what each feature costs, in one run, on one core, beside HAProxy.

Off: no ledger, no limits, no cache, log of warnings alone. On: access by key, limits, budget, exact cache
(looked at, and missed: every question is new), ledger, metrics, a JSON log line a call, tracing sampled
at 1 % to an OTLP sink. The same with Redis and PostgreSQL; then the same question again and again, from
the cache. `--quick`, `--json FILE`. Needs wrk and haproxy. CPU a call is the gateway's own, from the
kernel's account, and survives a busy machine better than a rate does.
"""

import argparse
import asyncio
import json
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from tests.postgresql import PostgreSQL
from tests.redis_server import RedisServer

from . import servers
from .load import PATHS, body_of

KEY = "sk-gw-bench-0123456789abcdef0123456789"
CONFIG = """
keys:
  bench:
    key: env:BENCH_KEY
    policy:
      budgets: [{per: key, amount: 1000000, period: month}]
      limits:
      - {per: key, capacity: 1000000000, refill: 1000000000}
      - {per: user, unit: tokens, capacity: 1000000000000, refill: 1000000000}
"""
_PLACE = "@@@@@@@@@@@@"


def wrk(port: int, connections: int, seconds: float, *, fresh: bool) -> tuple[float, float, float]:
    """Requests a second, p50 and p99 in milliseconds. `fresh`: no question is asked twice."""
    body = body_of("chat").decode().replace("x" * 12, _PLACE, 1)
    before, after = (part.replace("\\", "\\\\").replace('"', '\\"') for part in body.split(_PLACE))
    lua = (
        'wrk.method="POST"\nwrk.headers["content-type"]="application/json"\n'
        f'wrk.headers["authorization"]="Bearer {KEY}"\nlocal n={int(time.time() * 1e6) % 10**11}\n'
    )
    if fresh:
        lua += (
            "request = function() n = n + 1; return wrk.format(nil, nil, nil, "
            f'"{before}" .. string.format("%012d", n) .. "{after}") end\n'
        )
    else:
        lua += f'wrk.body="{before}{"y" * 12}{after}"\n'
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(lua)
        script.flush()
        done = subprocess.run(
            ["taskset", "-c", str(servers.LOAD_CORE), "wrk", "-t1", f"-c{connections}",
             f"-d{max(1, round(seconds))}s", "--latency", "-s", script.name,
             f"http://127.0.0.1:{port}{PATHS['chat']}"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    if "Non-2xx" in done.stdout:
        raise SystemExit(f"not every answer was a 200:\n{done.stdout}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    return (float(rate[1]) if rate else 0.0, _ms(done.stdout, "50%"), _ms(done.stdout, "99%"))


def _ms(text: str, which: str) -> float:
    found = re.search(rf"{which}\s+([\d.]+)(us|ms|s)", text)
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]] if found else 0.0


@contextmanager
def otlp_sink() -> Generator[str, None, None]:
    """Takes traces and forgets them; on the load's core."""
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    port = 0

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
                await reader.readexactly(int(length[1]) if length else 0)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def serve() -> None:
        nonlocal port
        server = await asyncio.start_server(take, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        ready.set()

    def run() -> None:
        loop.run_until_complete(serve())
        loop.run_forever()

    threading.Thread(target=run, daemon=True).start()
    ready.wait(5)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(loop.stop)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json")
    given = parser.parse_args()
    rounds, seconds = (2, 2.0) if given.quick else (5, 4.0)
    kept: dict[str, object] = {}
    with ExitStack() as stack:
        upstream = stack.enter_context(servers.upstream())
        sink = stack.enter_context(otlp_sink())
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        config = home / "gateway.yaml"
        config.write_text(CONFIG)
        off = {"LEDGER": "off", "RATE_LIMIT_CAPACITY": "0", "LOG_LEVEL": "warning"}
        on = {
            "CONFIG": str(config), "BENCH_KEY": KEY, "CACHE_TTL": "5", "LOG_LEVEL": "info",
            "OTEL_EXPORTER_OTLP_ENDPOINT": sink, "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": "0.01",
        }  # fmt: skip
        redis = RedisServer()
        redis.start()
        stack.callback(redis.kill)
        postgresql = PostgreSQL(home / "pg")
        stack.callback(postgresql.stop)
        shared = {**on, "REDIS_ADDR": redis.address, "DATABASE_URL": postgresql.url()}
        cases = [
            ("everything off", off, True),
            ("everything on, memory and SQLite", on, True),
            ("everything on, Redis and PostgreSQL", shared, True),
            ("from the exact cache, memory", on, False),
            ("from the exact cache, Redis", shared, False),
        ]
        limit: list[float] = []
        with servers.haproxy() as there:
            if there:
                limit = [
                    wrk(servers.HAPROXY_PORT, 32, seconds, fresh=False)[0] for _ in range(rounds)
                ]
        print(
            f"{'':<40}{'req/s':>9}{'of HAProxy':>12}{'us CPU':>9}{'p50 ms':>9}{'p99 ms':>9}{'MiB':>7}"
        )
        if limit:
            print(f"{'HAProxy as plain reverse proxy':<40}{median(limit):>9.0f}")
            kept["haproxy"] = limit
        for number, (name, environ, fresh) in enumerate(cases):
            data = {"DATA_DIR": str(home / f"data{number}")}
            kept[name] = _case(name, upstream, {**environ, **data}, fresh, rounds, seconds, limit)
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
    with servers.gateway(upstream, key=KEY, **environ) as (pid, _):
        wrk(servers.GATEWAY_PORT, 32, 1, fresh=fresh)
        for _ in range(rounds):
            before = servers.cpu_seconds(pid)
            rate, p50, p99 = wrk(servers.GATEWAY_PORT, 32, seconds, fresh=fresh)
            costs.append((servers.cpu_seconds(pid) - before) / (rate * seconds) * 1e6)
            rates.append(rate)
            middle.append(p50)
            tail.append(p99)
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
