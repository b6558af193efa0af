"""What keys and the ledger cost: CPU a call, a million keys, ten million records.

    .venv/bin/python -m benchmarks.accounts cpu
    .venv/bin/python -m benchmarks.accounts keys [--keys 1000000]
    .venv/bin/python -m benchmarks.accounts usage [--records 10000000]

`keys` and `usage` make a PostgreSQL of their own, fill it, ask it, and throw it away.
"""

import argparse
import json
import random
import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import uvloop
from pyreqwest.client import ClientBuilder
from tests.postgresql import PostgreSQL
from tests.serving import Running, ask, serving

from ai_gateway.access.access import Access
from ai_gateway.access.keys import hash_of, new_key
from ai_gateway.access.known import KnownKey, KnownKeys
from ai_gateway.ledger.ledger import Ledger
from ai_gateway.ledger.record import new_call_id, record_of
from ai_gateway.ledger.replay import Replayer
from ai_gateway.ledger.spool import Spool
from ai_gateway.model.call import Attempt, Caller, Outcome, Request, Target
from ai_gateway.model.usage import Usage
from ai_gateway.storage.database import Database, database_url

ADMIN = "admin-of-the-bench"
CALLER = Caller(tenant="acme", user="anna", key_id="key_0123456789abcdef")
TARGET = Target(provider="openai", model="gpt-4o")


def outcome() -> Outcome:
    request = Request(
        id="req_0123456789abcdef01234567", operation="chat", dialect="openai_chat",
        endpoint="/v1/chat/completions", body=b"", headers={}, received=perf_counter(),
    )  # fmt: skip
    made = Outcome(
        request=request, call_id=new_call_id(), caller=CALLER, target=TARGET, status=200,
        usage=Usage(input_tokens=1000, output_tokens=100), usage_known=True, cost=Decimal("0.0035"),
    )  # fmt: skip
    made.attempts.append(Attempt(target=TARGET, started=0.0))
    return made


def microseconds(what: Callable[[], object], times: int = 30_000) -> float:
    """CPU of one, the best of five rounds."""
    best = float("inf")
    for _ in range(5):
        started = process_time()
        for _ in range(times):
            what()
        best = min(best, (process_time() - started) / times * 1e6)
    return best


async def cpu() -> None:
    known = KnownKeys(1000)
    key = new_key().encode()
    known.keep(hash_of(key), KnownKey(caller=CALLER, user_is_fixed=False, expires_at=9e9), 0)
    access = Access(closed=True, static={}, known=known)
    headers = {b"authorization": b"Bearer " + key, b"content-type": b"application/json"}
    print(
        f"identify, a known key            {microseconds(lambda: access.identify(headers)):6.2f} us"
    )
    named = {**headers, b"x-user-id": b"bert"}
    print(
        f"identify, and X-User-ID          {microseconds(lambda: access.identify(named)):6.2f} us"
    )
    print(f"an id for the call               {microseconds(new_call_id):6.2f} us")
    with tempfile.TemporaryDirectory() as directory:
        spool = Spool(Path(directory) / "spool", lost=print)
        ledger = Ledger(spool, price_version="bench")
        alone = microseconds(outcome)
        both = microseconds(lambda: ledger.record(outcome()))
        print(f"the record, written to the spool {both - alone:6.2f} us")
        spool.close()
    for name in ("sqlite", "postgresql"):
        await _replay(name)


async def _replay(name: str, records: int = 20_000) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as directory:
        server = PostgreSQL(Path(directory) / "pg") if name == "postgresql" else None
        database = Database(database_url(server.url() if server else None, Path(directory)))
        await database.open()
        spool = Spool(Path(directory) / "spool", lost=print)
        for _ in range(records):
            spool.append(record_of(outcome(), 0.5, "bench"))
        replayer = Replayer(spool, database, on_trouble=print, refused=print)
        started, begun = process_time(), perf_counter()
        await replayer.replay()
        used, took = process_time() - started, perf_counter() - begun
        where = "database's work included" if server is None else "of the gateway's process"
        print(
            f"replaying a record, {name:10}   {used / records * 1e6:6.2f} us of CPU ({where}); "
            f"{records / took:.0f} records/s"
        )
        await database.close()
        if server is not None:
            server.stop()


@asynccontextmanager
async def gateway_on(server: PostgreSQL, **environ: str) -> AsyncGenerator[Running, None]:
    limits = {"RATE_LIMIT_CAPACITY": "1e9", "RATE_LIMIT_REFILL_RATE": "1e9"}
    given = {"DATABASE_URL": server.url(), "ADMIN_KEY": ADMIN, **limits, **environ}
    async with serving(given) as running:
        yield running


async def keys(count: int) -> None:
    """The keys' hashes are of `key-<number>`, made in the database; calls are made with random ones."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as directory:
        server = PostgreSQL(Path(directory) / "pg")
        async with gateway_on(server, KNOWN_KEYS="50000") as running:
            issued = await ask("POST", running.url + "/admin/keys", {"name": "one"}, ADMIN)
            known = json.loads(issued.body)["key"]
            few = await _calls(running, known)
            started = perf_counter()
            server.sql(
                f"""INSERT INTO keys SELECT 'key_' || to_hex(n), 'default', sha256(('key-' || n)::bytea),
                NULL, NULL, 'sk-gw-...', 'bench', NULL, NULL, '{{}}', '[]', '{{}}', false, 0, NULL
                FROM generate_series(1, {count}) AS n; ANALYZE keys"""
            )
            print(f"{count} keys made in {perf_counter() - started:.1f} s")
            found = await _look_ups(server, count)
            print(f"looking one up in the database: p50 {found[0]:.2f} ms, p99 {found[1]:.2f} ms")
            many = await _calls(running, known)
            print(
                f"a call, one at a time, with 1 key: p50 {few:.2f} ms; with {count}: p50 {many:.2f} ms"
            )
        server.stop()


async def _calls(running: Running, key: str) -> float:
    """p50 in ms of a chat, the simulated provider's time included."""
    body = b'{"model":"gpt-4o","messages":[{"role":"user","content":"hello"}]}'
    headers = {
        "authorization": f"Bearer {key}",
        "content-type": "application/json",
        "cache-control": "no-store",
    }
    taken: list[float] = []
    async with ClientBuilder().build() as client:
        for _ in range(2000):
            started = perf_counter()
            request = client.post(running.url + "/v1/chat/completions").headers(headers)
            response = await request.body_bytes(body).build().send()
            await response.bytes()
            assert response.status == 200
            taken.append((perf_counter() - started) * 1000)
    return sorted(taken)[len(taken) // 2]


async def _look_ups(server: PostgreSQL, count: int) -> tuple[float, float]:
    """(p50, p99) in ms, and the memory that 200,000 of them in a cache of 50,000 take."""
    from ai_gateway.access.store import KeyStore

    database = Database(database_url(server.url(), Path("/nowhere")))
    store = KeyStore(database, {})
    known = KnownKeys(50_000)
    await database.open()
    taken: list[float] = []
    before = resident()
    for _ in range(2000):
        given = f"key-{random.randint(1, count)}".encode()
        started = perf_counter()
        key = await store.look_up(given)
        taken.append((perf_counter() - started) * 1000)
        assert key is not None
        known.keep(hash_of(given), key, 0)
    one = await store.look_up(b"key-1")
    assert one is not None
    for number in range(200_000):
        caller = Caller(
            tenant="default", user=f"key_{number:016x}", key_id=f"key_{number:016x}",
            policy=one.caller.policy,
        )  # fmt: skip
        kept = KnownKey(caller=caller, user_is_fixed=False, expires_at=9e9)
        known.keep(hash_of(b"%d" % number), kept, 0)
        known.keep(hash_of(b"wrong %d" % number), None, 0)
    print(
        f"200,000 keys and as many wrong ones went by: {len(known)} are kept, "
        f"{resident() - before:.0f} MB more"
    )
    await database.close()
    taken.sort()
    return taken[len(taken) // 2], taken[int(len(taken) * 0.99)]


def resident() -> float:
    """MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


async def usage(records: int) -> None:
    """Records of the last 30 days: 20 tenants, 2,000 users, 200 keys, 12 models."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as directory:
        server = PostgreSQL(Path(directory) / "pg")
        async with gateway_on(server) as running:
            made = await ask("POST", running.url + "/admin/tenants", {"id": "tenant-1"}, ADMIN)
            assert made.status == 201
            body = {"name": "one", "tenant": "tenant-1"}
            issued = json.loads((await ask("POST", running.url + "/admin/keys", body, ADMIN)).body)
            started = perf_counter()
            _fill(server, records, issued["details"]["id"])
            print(f"{records} records made in {perf_counter() - started:.0f} s; rows of roll-ups: "
                  f"{server.sql('SELECT count(*) FROM usage_hourly')}")  # fmt: skip
            for path, key in (
                ("/v1/usage", issued["key"]),
                ("/v1/usage?scope=tenant", issued["key"]),
                ("/v1/usage?scope=tenant&group_by=hour,model", issued["key"]),
                ("/admin/usage", ADMIN),
                ("/admin/usage?group_by=tenant", ADMIN),
                ("/admin/usage?tenant=tenant-1&group_by=user", ADMIN),
                ("/admin/usage?group_by=day,model", ADMIN),
                ("/admin/latency", ADMIN),
                ("/admin/latency?tenant=tenant-1", ADMIN),
                ("/admin/calls", ADMIN),
                ("/admin/calls?tenant=tenant-1", ADMIN),
                ("/admin/calls?user=user-7", ADMIN),
                (f"/admin/calls?key={issued['details']['id']}", ADMIN),
            ):
                await _timed(running, path, key)
        server.stop()


async def _timed(running: Running, path: str, key: str) -> None:
    taken: list[float] = []
    report: Any = None
    for _ in range(20):
        started = perf_counter()
        got = await ask("GET", running.url + path, key=key)
        taken.append((perf_counter() - started) * 1000)
        assert got.status == 200, got.body
        report = json.loads(got.body)
    sums = report.get("total", {"requests": len(report.get("data", ()))})
    total = sums.get("requests", sums.get("calls"))
    taken.sort()
    print(f"{path:48} {total:>10} calls  median {taken[10]:6.1f} ms  worst {taken[-1]:6.1f} ms")


def _fill(server: PostgreSQL, records: int, key_id: str) -> None:
    """A million at a time, then the roll-ups by the ledger's own statement."""
    from ai_gateway.ledger.store import roll_up_of

    chunk = 1_000_000
    for first in range(0, records, chunk):
        server.sql(
            f"""INSERT INTO usage
            SELECT lpad(to_hex(t), 12, '0') || lpad(to_hex(n), 20, '0'), t, 'tenant-' || n % 20, 'user-' || n % 2000,
              CASE WHEN n % 200 = 1 THEN '{key_id}' ELSE 'key-' || n % 200 END, 'req', 'chat',
              '/v1/chat/completions', NULL, 'm', 'provider-' || n % 3, 'model-' || n % 12, false, 200,
              NULL, NULL, 1, true, 1000, 100, 0, 0, 0, 0, 3500000000, NULL, 'bench', 900000, 850000,
              NULL, NULL
            FROM (SELECT n, (extract(epoch FROM now()) * 1000)::bigint
                    - (n * 2592000000::numeric / {records})::bigint AS t
                  FROM generate_series({first + 1}, {min(first + chunk, records)}) AS n) AS g"""
        )
    server.sql(roll_up_of("usage", "postgresql"))
    server.sql("VACUUM ANALYZE usage_hourly")
    server.sql("ANALYZE usage")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["cpu", "keys", "usage"])
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--records", type=int, default=10_000_000)
    given = parser.parse_args()
    match given.part:
        case "cpu":
            uvloop.run(cpu())
        case "keys":
            uvloop.run(keys(given.keys))
        case _:
            uvloop.run(usage(given.records))


if __name__ == "__main__":
    main()
