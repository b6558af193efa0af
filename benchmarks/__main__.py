"""`python -m benchmarks`: the gateway on one core, its provider and its callers on another.

Everything is measured in one run, in short rounds; a figure is the median of its rounds, with the
lowest and highest beside it. `--quick` takes a minute, `--json FILE` keeps the figures.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from statistics import median

from . import servers
from .load import PATHS, body_of


class Table:
    """Figures as they come, printed and kept."""

    def __init__(self) -> None:
        self.kept: dict[str, object] = {}

    def say(self, name: str, values: list[float], unit: str, target: str = "") -> float:
        middle = median(values)
        spread = f"({min(values):.5g} .. {max(values):.5g})" if len(values) > 1 else ""
        print(f"{name:<58} {middle:>10.5g} {unit:<9} {spread:<22} {target}", flush=True)
        self.kept[name] = {"median": middle, "values": values, "unit": unit}
        return middle


def run_load(
    port: int, kind: str, connections: int, seconds: float, rate: float = 0
) -> dict[str, float]:
    arguments = [f"http://127.0.0.1:{port}", kind, str(connections), str(seconds)]
    if rate:
        arguments.append(str(rate))
    process = servers.load_process(*arguments)
    out, _ = process.communicate(timeout=seconds + 60)
    found: dict[str, float] = json.loads(out)
    if found["errors"]:
        print(f"  ! {found['errors']:.0f} errors ({kind})")
    return found


def run_wrk(port: int, kind: str, connections: int, seconds: float) -> float:
    """Requests a second by wrk, which costs the load's core least."""
    body = body_of(kind).decode().replace("\\", "\\\\").replace('"', '\\"')
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(
            'wrk.method="POST"\nwrk.headers["content-type"]="application/json"\n'
            f'wrk.body="{body}"\n'
        )
        script.flush()
        done = subprocess.run(
            ["taskset", "-c", str(servers.LOAD_CORE), "wrk", "-t1", f"-c{connections}",
             f"-d{max(1, round(seconds))}s", "-s", script.name,
             f"http://127.0.0.1:{port}{PATHS[kind]}"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    if "Non-2xx" in done.stdout:
        print(f"  ! not all answers were 200 ({kind})")
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    return float(found[1]) if found else 0.0


def throughput(port: int, kind: str, connections: int, seconds: float) -> float:
    if shutil.which("wrk"):
        return run_wrk(port, kind, connections, seconds)
    return run_load(port, kind, connections, seconds)["per_second"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json")
    parser.add_argument("--streams", type=int, default=512, help="slow streams open at once")
    given = parser.parse_args()
    rounds, seconds = (2, 1.0) if given.quick else (5, 3.0)
    table = Table()
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores; gateway on core "
          f"{servers.GATEWAY_CORE}, provider and load on core {servers.LOAD_CORE}; "
          f"{rounds} rounds of {seconds:g} s")  # fmt: skip
    print(f"throughput by {'wrk' if shutil.which('wrk') else 'our own generator'}, "
          "latency and streams by our own generator")  # fmt: skip
    with servers.upstream() as upstream:
        starts: list[float] = []
        for _ in range(rounds):
            with servers.gateway(upstream) as (_, taken):
                starts.append(taken)
        table.say("seconds from start to the first answer", starts, "s", "target < 1")
        with servers.gateway(upstream) as (pid, _), servers.haproxy() as has_haproxy:
            _measure(table, pid, has_haproxy, rounds, seconds)
            _streams(table, pid, given.streams, 2 if given.quick else 3)
    if given.json:
        with open(given.json, "w") as file:
            json.dump(table.kept, file, indent=2)


def _measure(table: Table, pid: int, has_haproxy: bool, rounds: int, seconds: float) -> None:
    table.say("resident memory, idle", [servers.resident_kib(pid) / 1024], "MiB", "target < 80")
    gateway, upstream, limit = servers.GATEWAY_PORT, servers.UPSTREAM_PORT, servers.HAPROXY_PORT
    throughput(gateway, "chat", 32, 1)
    direct: list[float] = []
    plain: list[float] = []
    ours: list[float] = []
    per_core: list[float] = []
    for _ in range(rounds):
        direct.append(throughput(upstream, "chat", 32, seconds))
        if has_haproxy:
            plain.append(throughput(limit, "chat", 32, seconds))
        before, calls = servers.cpu_seconds(pid), time.perf_counter()
        ours.append(throughput(gateway, "chat", 32, seconds))
        taken = time.perf_counter() - calls
        per_core.append(ours[-1] * min(taken, seconds) / (servers.cpu_seconds(pid) - before))
    table.say("JSON chat, provider alone, 32 connections", direct, "req/s")
    if has_haproxy:
        table.say("JSON chat, HAProxy as plain reverse proxy", plain, "req/s")
    else:
        print("HAProxy is not on this machine: no limit to compare with")
    best = table.say("JSON chat, gateway, 32 connections", ours, "req/s", "target >= 8,000")
    table.say("JSON chat, gateway, per second of CPU", per_core, "req/s")
    if has_haproxy:
        table.say("gateway / HAProxy", [best / median(plain)], "", "target >= 0.2")
    for connections in (1, 256):
        values = [throughput(gateway, "chat", connections, seconds) for _ in range(rounds)]
        table.say(f"JSON chat, gateway, {connections} connections", values, "req/s")
    for kind, name in (
        ("embeddings", "embeddings"),
        ("messages", "Messages caller, Chat provider (translated)"),
        ("claude", "Chat caller, Messages provider (translated)"),
    ):
        values = [throughput(gateway, kind, 32, seconds) for _ in range(rounds)]
        table.say(f"{name}, 32 connections", values, "req/s")
    _latency(table, rounds, seconds, best)
    table.say(
        "resident memory, after load", [servers.resident_kib(pid) / 1024], "MiB", "target < 80"
    )


def _latency(table: Table, rounds: int, seconds: float, best: float) -> None:
    gateway, upstream = servers.GATEWAY_PORT, servers.UPSTREAM_PORT
    added: dict[str, list[float]] = {"p50_ms": [], "p99_ms": []}
    first: list[float] = []
    events: list[float] = []
    for _ in range(rounds):
        through = run_load(gateway, "chat", 1, seconds)
        straight = run_load(upstream, "chat", 1, seconds)
        for name, values in added.items():
            values.append(through[name] - straight[name])
        through = run_load(gateway, "stream", 1, seconds)
        straight = run_load(upstream, "stream", 1, seconds)
        first.append(through["first_byte_p50_ms"] - straight["first_byte_p50_ms"])
        events.append(run_load(gateway, "stream", 32, seconds)["events_per_second"])
    table.say("added latency, idle, p50", added["p50_ms"], "ms", "target < 0.5")
    table.say("added latency, idle, p99", added["p99_ms"], "ms")
    table.say("added time to a stream's first byte, p50", first, "ms")
    table.say("stream events relayed, 32 connections", events, "events/s")
    rate = best / 2
    found = [run_load(gateway, "chat", 64, seconds, rate) for _ in range(rounds)]
    alone = [run_load(upstream, "chat", 64, seconds, rate) for _ in range(rounds)]
    for name in ("p50", "p99"):
        values = [f[f"{name}_ms"] for f in found]
        table.say(f"latency at half of capacity, open loop, {name}", values, "ms")
        values = [f[f"{name}_ms"] for f in alone]
        table.say(f"  the same load on the provider alone, {name}", values, "ms")


def _streams(table: Table, pid: int, count: int, rounds: int) -> None:
    """Memory with slow streams open, and once they have closed."""
    before = servers.resident_kib(pid)
    opened: list[float] = []
    closed: list[float] = []
    for _ in range(rounds):
        process = servers.load_process(
            f"http://127.0.0.1:{servers.GATEWAY_PORT}", "slow", str(count), "0.1"
        )
        time.sleep(6)
        opened.append((servers.resident_kib(pid) - before) / count)
        process.communicate(timeout=60)
        time.sleep(1)
        closed.append(servers.resident_kib(pid) / 1024)
    table.say(f"memory per open stream, {count} open", opened, "KiB")
    print(f"resident memory after {count} streams closed, by round: "
          + ", ".join(f"{value:.1f} MiB" for value in closed))  # fmt: skip
    table.kept["resident after streams"] = closed


if __name__ == "__main__":
    main()
