"""The parts of the report. Each gives figures by name, a value for each round.

The gateway, HAProxy and peers are pinned to one core; provider, load, Redis and PostgreSQL to the other.
What is compared is measured in turn, round by round, so that a noisy minute is everybody's.
"""

import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from benchmarks import servers, wrk
from benchmarks.features import KEY, Features
from benchmarks.upstream import CHAT_EVENTS

Figures = dict[str, list[float]]
GATEWAY, UPSTREAM, HAPROXY = servers.GATEWAY_PORT, servers.UPSTREAM_PORT, servers.HAPROXY_PORT
SETS = ("off", "on", "shared")
STREAMS = 5000


class Bench:
    """What every part needs."""

    def __init__(self, upstream: str, sets: Features, *, quick: bool) -> None:
        self.upstream, self.sets, self.quick = upstream, sets, quick
        self.rounds = 1 if quick else 3
        self.seconds = 1.0 if quick else 2.0

    @contextmanager
    def gateway(
        self, which: str, *, migrated: bool = False, **more: str
    ) -> Generator[int, None, None]:
        """`migrated`: over a database that `ai-gateway migrate` has made, as where it is deployed."""
        environ = self.sets.environ(which, **more)
        if migrated:
            servers.migrate(environ)
        with servers.gateway(self.upstream, key=KEY, environ=environ) as (pid, _):
            yield pid

    def ask(
        self, pid: int, kind: str, connections: int, *, fresh: bool, seconds: float = 0
    ) -> tuple[wrk.Found, float]:
        """And the gateway's CPU a call, in microseconds."""
        before = cpu_of(pid)
        seconds = seconds or self.seconds
        found = wrk.ask(GATEWAY, kind, connections, seconds, key=KEY, fresh=fresh)
        return found, (cpu_of(pid) - before) / (found.per_second * max(1, round(seconds))) * 1e6


def cpu_of(pid: int) -> float:
    return sum(servers.cpu_seconds(worker) for worker in servers.workers_of(pid))


def resident_mib(pid: int) -> float:
    return servers.resident_kib(pid) / 1024


def start(bench: Bench) -> Figures:
    found: Figures = defaultdict(list)
    for which in ("off", "on"):
        for _ in range(bench.rounds):
            environ = bench.sets.environ(which)
            with servers.gateway(bench.upstream, key=KEY, environ=environ) as (_, taken):
                found[f"{which}/seconds"].append(taken)
    return found


def chat(bench: Bench) -> Figures:
    """JSON chat: every question new, then one question again and again, beside HAProxy."""
    found: Figures = defaultdict(list)
    cases = [(which, "unique") for which in SETS] + [("on", "cached"), ("shared", "cached")]
    with servers.haproxy() as there:
        for which, questions in cases:
            fresh = questions == "unique"
            with bench.gateway(which) as pid:
                bench.ask(pid, "chat", 32, fresh=fresh, seconds=1)
                for connections in (32, 1, 256):
                    for _ in range(bench.rounds if connections == 32 else 1):
                        if there:
                            plain = wrk.ask(HAPROXY, "chat", connections, 1, fresh=False)
                            found[f"haproxy/{connections}/rate"].append(plain.per_second)
                        got, cpu = bench.ask(pid, "chat", connections, fresh=fresh)
                        name = f"{which}/{questions}/{connections}"
                        found[f"{name}/rate"].append(got.per_second)
                        found[f"{name}/cpu_us"].append(cpu)
                        found[f"{name}/p50_ms"].append(got.p50_ms)
                        found[f"{name}/p99_ms"].append(got.p99_ms)
    direct = wrk.ask(UPSTREAM, "chat", 32, bench.seconds, fresh=False)
    found["provider/32/rate"].append(direct.per_second)
    return found


def stream(bench: Bench) -> Figures:
    """Events relayed a second, and the time a stream's first byte takes longer than from the provider."""
    found: Figures = defaultdict(list)
    events = len(CHAT_EVENTS)
    for which in SETS:
        with bench.gateway(which) as pid:
            bench.ask(pid, "stream", 32, fresh=True, seconds=1)
            for _ in range(bench.rounds):
                got, cpu = bench.ask(pid, "stream", 32, fresh=True)
                found[f"{which}/chunks"].append(got.per_second * events)
                found[f"{which}/chunk_cpu_us"].append(cpu / events)
                _first_byte(bench, GATEWAY, which, found)
    with servers.haproxy() as there:
        for _ in range(bench.rounds if there else 0):
            plain = wrk.ask(HAPROXY, "stream", 32, bench.seconds, fresh=False)
            found["haproxy/chunks"].append(plain.per_second * events)
            _first_byte(bench, HAPROXY, "haproxy", found)
    direct = wrk.ask(UPSTREAM, "stream", 32, bench.seconds, fresh=False)
    found["provider/chunks"].append(direct.per_second * events)
    return found


def _first_byte(bench: Bench, port: int, name: str, found: Figures) -> None:
    """What is added to the provider's own."""
    straight = steady(UPSTREAM, "first", 100, bench.seconds)
    through = steady(port, "first", 100, bench.seconds)
    for share in ("p50", "p99"):
        added = through[f"first_{share}_ms"] - straight[f"first_{share}_ms"]
        found[f"{name}/first_{share}_ms"].append(added)


def others(bench: Bench) -> Figures:
    """Embeddings, and calls that are translated on their way."""
    found: Figures = defaultdict(list)
    for which in ("off", "on"):
        with bench.gateway(which) as pid:
            for kind in ("embeddings", "claude", "messages"):
                bench.ask(pid, kind, 32, fresh=True, seconds=1)
                for _ in range(bench.rounds):
                    got, cpu = bench.ask(pid, kind, 32, fresh=True, seconds=1)
                    found[f"{which}/{kind}/rate"].append(got.per_second)
                    found[f"{which}/{kind}/cpu_us"].append(cpu)
    return found


def latency(bench: Bench) -> Figures:
    """At a constant rate of 50 and 80 % of what is carried at most, beside the provider asked directly
    and HAProxy at the same rate."""
    found: Figures = defaultdict(list)
    with servers.haproxy() as there:
        for which in SETS:
            with bench.gateway(which) as pid:
                bench.ask(pid, "chat", 32, fresh=True, seconds=1)
                most = bench.ask(pid, "chat", 32, fresh=True)[0].per_second
                found[f"{which}/capacity"].append(most)
                for percent in (50, 80):
                    for _ in range(min(2, bench.rounds)):
                        name = f"{which}/{percent}"
                        _at_rate(bench, most * percent / 100, name, found, haproxy=there)
    return found


def _at_rate(bench: Bench, rate: float, name: str, found: Figures, *, haproxy: bool) -> None:
    straight = steady(UPSTREAM, "chat", rate, bench.seconds)
    through = steady(GATEWAY, "chat", rate, bench.seconds)
    plain = steady(HAPROXY, "chat", rate, bench.seconds) if haproxy else None
    for share in ("p50", "p99"):
        direct = straight[f"all_{share}_ms"]
        found[f"{name}/{share}_ms"].append(through[f"all_{share}_ms"])
        found[f"provider/{name}/{share}_ms"].append(direct)
        found[f"added/{name}/{share}_ms"].append(through[f"all_{share}_ms"] - direct)
        if plain is not None:
            found[f"haproxy/{name}/{share}_ms"].append(plain[f"all_{share}_ms"] - direct)
    found[f"{name}/late_p99_ms"].append(through["late_p99_ms"])


def memory(bench: Bench) -> Figures:
    """Idle, under load and after, with the cache on and off; and what an open stream takes."""
    found: Figures = defaultdict(list)
    for name, more in (("on", dict[str, str]()), ("on_uncached", {"CACHE_TTL": "0"})):
        with bench.gateway("on", migrated=True, **more) as pid:
            time.sleep(1)
            found[f"{name}/idle_mib"].append(resident_mib(pid))
            seen: list[float] = []
            with ThreadPoolExecutor(1) as beside:
                asked = beside.submit(
                    bench.ask, pid, "chat", 256, fresh=True, seconds=bench.seconds * 4
                )
                while not asked.done():
                    seen.append(resident_mib(pid))
                    time.sleep(0.1)
                asked.result()
            found[f"{name}/load_mib"].append(max(seen))
            time.sleep(4)
            found[f"{name}/after_mib"].append(resident_mib(pid))
    count = STREAMS // 10 if bench.quick else STREAMS
    with bench.gateway("on") as pid:
        before = resident_mib(pid)
        with held(count):
            open_now = resident_mib(pid)
        found["streams/kb_each"].append((open_now - before) * 1024 * 1.024 / count)
        found["streams/count"].append(count)
        time.sleep(3)
        found["streams/closed_mib"].append(resident_mib(pid))
    return found


def workers(bench: Bench) -> Figures:
    """Two workers on both cores beside one on its own: calls for a second of the gateway's CPU."""
    found: Figures = defaultdict(list)
    for number in ("1", "2"):
        environ = bench.sets.environ("shared", WORKERS=number)
        cores = (servers.GATEWAY_CORE, servers.LOAD_CORE)[: int(number)]
        with servers.gateway(bench.upstream, key=KEY, cores=cores, environ=environ) as (pid, _):
            bench.ask(pid, "chat", 64, fresh=True, seconds=1)
            each = [servers.cpu_seconds(worker) for worker in servers.workers_of(pid)]
            for _ in range(bench.rounds):
                got, cpu = bench.ask(pid, "chat", 64, fresh=True)
                found[f"{number}/rate"].append(got.per_second)
                found[f"{number}/per_cpu_second"].append(1e6 / cpu)
            now = [servers.cpu_seconds(worker) for worker in servers.workers_of(pid)]
            used = [after - before for after, before in zip(now, each, strict=True)]
            found[f"{number}/least_share"].append(min(used) / sum(used))
    return found


def steady(port: int, kind: str, rate: float, seconds: float) -> dict[str, float]:
    arguments = (f"http://127.0.0.1:{port}", kind, str(rate), str(seconds), KEY)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.steady", *arguments],
        capture_output=True, text=True, check=True, cwd=servers.ROOT, timeout=seconds + 60,
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout)
    if found["errors"]:
        print(f"  ! {found['errors']:.0f} errors ({kind}, {rate:.0f}/s)")
    return found


@contextmanager
def held(count: int) -> Generator[None, None, None]:
    """So many streams open, each of which has had its first event."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.held", f"http://127.0.0.1:{GATEWAY}", str(count), KEY],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=servers.ROOT,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if count and process.stdout.readline() != b"open\n":
            raise SystemExit(f"{count} streams could not be opened")
        yield
    finally:
        process.stdin.close()
        process.wait(30)


PARTS: dict[str, Callable[[Bench], Figures]] = {
    "start": start,
    "chat": chat,
    "stream": stream,
    "others": others,
    "latency": latency,
    "memory": memory,
    "workers": workers,
}
