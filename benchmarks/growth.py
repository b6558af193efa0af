"""`python -m benchmarks.growth [--quick]`: does a call cost more CPU where there is more of something?

Keys, tenants, routes, cached answers, a message's length, streams that are open, models named (label
values). Everything on (memory and SQLite), one thing grows, and the gateway's own CPU a call is read from
the kernel's account: it survives a busy machine better than a rate does. The figures go where
`benchmarks.report` keeps its own.
"""

import argparse
import json
import resource
import sqlite3
import time
import urllib.request
from collections import defaultdict
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from ai_gateway.access.keys import PREFIX, hash_of

from . import servers, wrk
from .features import CONFIG, KEY, features
from .load import PATHS, body_of
from .report import figures
from .report.measure import Bench, Figures, cpu_of, held, resident_mib

PORT = servers.GATEWAY_PORT
MOST_SEEN = 20_000
"""Keys that are each asked with before a measurement."""
ENTRY_BYTES = 3000
"""More than an entry of the bench takes."""


def cost(pid: int, lua: str, seconds: float) -> float:
    """Microseconds of the gateway's CPU a call."""
    before = cpu_of(pid)
    rate = wrk.run(PORT, PATHS["chat"], lua, 32, seconds).per_second
    return (cpu_of(pid) - before) / (rate * max(1, round(seconds))) * 1e6


def chat_lua(**how: object) -> str:
    given: dict[str, object] = {"key": KEY, "fresh": True, **how}
    return wrk.lua_of(body_of("chat").decode(), **given)  # type: ignore[arg-type]


def keys_and_tenants(bench: Bench, found: Figures) -> None:
    """Keys of one tenant, then a tenant for each key, with a budget each; one database, which grows."""
    most = 10_000 if bench.quick else 1_000_000
    environ = bench.sets.environ("on", ADMIN_KEY="admin-of-the-bench")
    with servers.gateway(bench.upstream, key=KEY, environ=environ) as (pid, _):
        for title, tenants, counts in (
            ("keys", False, [n for n in (10, 1000, 100_000, 1_000_000) if n <= most]),
            ("tenants", True, [10, 100, 1000, 10_000]),
        ):
            # LuaJIT reads the keys: it cannot make one, whose end is a check sum.
            listed = bench.sets.home / f"{title}.txt"
            prologue = (
                f'local keys={{}} for line in io.lines("{listed}") do keys[#keys + 1] = line end\n'
            )
            have = 0
            for count in counts:
                numbers = range(have + 1, count + 1)
                _insert_keys(
                    Path(environ["DATA_DIR"]) / "gateway.db", title, numbers, tenants=tenants
                )
                with listed.open("a") as file:
                    file.writelines(f"{key_of(title, n)}\n" for n in numbers)
                have = count
                found[f"{title}/x"].append(count)
                for name, which in (("one of them", "1"), ("all of them", "math.random(#keys)")):
                    if tenants and which == "1":
                        continue
                    lua = chat_lua(prologue=prologue, bearer=f"keys[{which}]")
                    # Each has been seen once: what is measured is the growth, not the first look-ups.
                    asked = 0.0
                    while asked < min(count, MOST_SEEN):
                        in_turn = chat_lua(
                            prologue=f"{prologue}local first=at\n",
                            bearer=f"keys[(at - first + {int(asked * 0.98)}) % #keys + 1]",
                        )
                        asked += 2 * wrk.run(PORT, PATHS["chat"], in_turn, 32, 2).per_second
                    found[f"{title}/{name}"].append(cost(pid, lua, bench.seconds))


def key_of(prefix: str, number: int) -> str:
    """A key as the gateway makes them, but that anyone could guess it."""
    text = PREFIX + f"{prefix}-{number}".rjust(43, "0")
    return text + sha256(text.encode()).hexdigest()[:6]


def _insert_keys(path: Path, prefix: str, numbers: Sequence[int], *, tenants: bool) -> None:
    policy = json.dumps({"budgets": [{"per": "tenant", "amount": 1000000, "period": "month"}]})
    # The gateway answers calls with the file's keys before it has made its tables.
    until = time.monotonic() + 60
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.1)
    database = sqlite3.connect(path, timeout=60)
    while not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'keys'").fetchall():
        if time.monotonic() > until:
            raise SystemExit("the gateway made no tables")
        time.sleep(0.1)
    with database:
        database.executemany(
            "INSERT OR IGNORE INTO tenants (id, title, policy, metadata, disabled, created_at) "
            "VALUES (?, 'bench', ?, '{}', 0, 0)",
            ((f"tenant-{n}", policy) for n in (numbers if tenants else (0,))),
        )
        database.executemany(
            "INSERT INTO keys (id, tenant, hash, hint, name, policy, tags, metadata, disabled, "
            "created_at) VALUES (?, ?, ?, 'sk-gw-...', 'bench', '{}', '[]', '{}', 0, 0)",
            (
                (
                    f"{prefix}_{n}",
                    f"tenant-{n if tenants else 0}",
                    hash_of(key_of(prefix, n).encode()),
                )
                for n in numbers
            ),
        )
    database.close()


def routes(bench: Bench, found: Figures) -> None:
    for count in (10, 100, 1000, 10_000):
        config = bench.sets.home / f"routes-{count}.yaml"
        lines = (
            f"  route-{n}: {{targets: [{{model: openai/gpt-4o-mini}}]}}\n" for n in range(count)
        )
        config.write_text(CONFIG + "routes:\n" + "".join(lines))
        environ = bench.sets.environ("on", CONFIG=str(config))
        with servers.gateway(bench.upstream, key=KEY, environ=environ) as (pid, taken):
            body = body_of("chat").decode().replace("gpt-4o-mini", f"route-{count - 1}", 1)
            lua = wrk.lua_of(body, key=KEY, fresh=True)
            wrk.run(PORT, PATHS["chat"], lua, 32, 1)
            found["routes/x"].append(count)
            found["routes/the last of them"].append(cost(pid, lua, bench.seconds))
            found["routes/start_seconds"].append(taken)
            found["routes/mib"].append(resident_mib(pid))


def cached(bench: Bench, found: Figures) -> None:
    """Hits among so many answers that are kept."""
    sizes = [100, 1000, 10_000] if bench.quick else [100, 1000, 10_000, 100_000]
    environ = bench.sets.environ(
        "on", CACHE_TTL="60", CACHE_MEMORY_BYTES=str(sizes[-1] * ENTRY_BYTES)
    )
    with servers.gateway(bench.upstream, key=KEY, environ=environ) as (pid, _):
        for size in sizes:
            _fill(size)
            found["cached/x"].append(size)
            found["cached/a hit"].append(cost(pid, chat_lua(among=size), bench.seconds))
            found["cached/mib"].append(resident_mib(pid))


def _fill(size: int) -> None:
    """Asks the questions 1 to `size`, each once."""
    asked = 0
    while asked < size:
        lua = chat_lua(prologue=f"at={asked}\n").replace("at = at + 1;", f"at = at % {size} + 1;")
        asked += int(wrk.run(PORT, PATHS["chat"], lua, 32, 1).per_second)


def length(bench: Bench, found: Figures) -> None:
    with bench.gateway("on", CACHE_TTL="0") as pid:
        for size in (1000, 10_000, 100_000, 1_000_000):
            body = body_of("chat").decode()
            body = body.replace("x" * 300, "x" * 12 + "word " * ((size - len(body)) // 5), 1)
            lua = wrk.lua_of(body, key=KEY, fresh=True)
            wrk.run(PORT, PATHS["chat"], lua, 8, 1)
            found["length/x"].append(size)
            found["length/a call"].append(cost(pid, lua, bench.seconds))
            found["length/mib"].append(resident_mib(pid))


def open_streams(bench: Bench, found: Figures) -> None:
    """Calls beside streams that are open and still."""
    with bench.gateway("on", MAX_IN_FLIGHT="20000") as pid:
        wrk.run(PORT, PATHS["chat"], chat_lua(), 32, 1)
        sizes = (10, 100, 1000) if bench.quick else (10, 100, 1000, _most_streams())
        for count in sizes:
            with held(count):
                found["streams/x"].append(count)
                found["streams/a call beside them"].append(cost(pid, chat_lua(), bench.seconds))
                found["streams/mib"].append(resident_mib(pid))


def _most_streams() -> int:
    """Of 10,000, as many as files may be open: a stream takes two in the gateway."""
    return min(10_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 2 - 500)


def label_values(bench: Bench, found: Figures) -> None:
    """Calls that name so many models, and what a scrape then takes."""
    with bench.gateway("on") as pid:
        for count in (10, 100, 1000, 10_000):
            body = body_of("chat").decode().replace("gpt-4o-mini", "openai/m-" + "x" * 12, 1)
            lua = wrk.lua_of(body, key=KEY, fresh=False, among=count).replace(
                "request = function() ",
                "local unique = at\nrequest = function() unique = unique + 1; ",
            )
            # The cache must not answer: the question carries a number of its own.
            lua = lua.replace(
                ".. after)", f'.. string.gsub(after, "xxxxxxxxxxxx", unique .. "-{count}", 1))'
            )
            wrk.run(PORT, PATHS["chat"], lua, 32, 1)
            found["labels/x"].append(count)
            found["labels/a call"].append(cost(pid, lua, bench.seconds))
            started = time.perf_counter()
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/metrics", timeout=30) as answer:
                size = len(answer.read())
            found["labels/scrape_ms"].append((time.perf_counter() - started) * 1000)
            found["labels/scrape_kb"].append(size / 1000)


DIMENSIONS = (keys_and_tenants, routes, cached, length, open_streams, label_values)


def measure(bench: Bench) -> Figures:
    found: Figures = defaultdict(list)
    for dimension in DIMENSIONS:
        dimension(bench, found)
    return found


def rise(values: Sequence[float]) -> float:
    """The last over the first."""
    return values[-1] / values[0] if values and values[0] else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", help=", ".join(d.__name__ for d in DIMENSIONS))
    given = parser.parse_args()
    found: Figures = defaultdict(list)
    servers.pin_load()
    with servers.upstream() as upstream, features() as sets:
        bench = Bench(upstream, sets, quick=given.quick)
        for dimension in DIMENSIONS:
            if given.only in (None, dimension.__name__):
                dimension(bench, found)
    for name, values in found.items():
        print(f"{name:<32}", *(f"{value:>10.5g}" for value in values))
    if not given.only:
        results = figures.load()
        results.parts["growth"] = figures.Part(at=figures.now(), load=0, figures=dict(found))
        figures.save(results)


if __name__ == "__main__":
    main()
