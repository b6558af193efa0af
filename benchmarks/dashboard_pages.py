"""How long each page of the dashboard waits for its queries, over a ledger of many calls; and Chromium.

    python -m benchmarks.dashboard pages --database sqlite --records 1000000 [--chromium]
    python -m benchmarks.dashboard pages --database postgresql --records 10000000

A database of its own is made, filled by itself, asked and thrown away. Calls are spread over 30 days, 20
tenants, 2,000 users, 200 keys, 12 models, 3 providers, 5 routes and 50 tags, two a call; a fifth of them
was answered by the cache, one in fifty failed. Each request is asked for another second, so that nothing
kept for other pages answers it.
"""

import argparse
import asyncio
import json
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter, time
from urllib.parse import urlencode

from tests.postgresql import PostgreSQL
from tests.serving import Running, ask, serving

from ai_gateway.ledger.daily import sum_up
from ai_gateway.ledger.store import roll_up_of
from ai_gateway.storage.database import Database, database_url
from ai_gateway.storage.tables import usage, usage_hourly

ADMIN = "admin-of-the-bench"
_INDEXES = [index for index in usage.indexes if index.name]
_DAYS = 30

_COLUMNS = (
    'id, at, tenant, "user", key_id, request_id, operation, endpoint, route, requested_model, provider, '
    "model, stream, status, error, cache, attempts, usage_known, input_tokens, output_tokens, "
    "cache_read_tokens, cache_write_tokens, reasoning_tokens, audio_tokens, cost_pico, saved_pico, "
    "price_version, duration_us, upstream_us, first_token_us, tags, course, cache_key"
)


def _rows(postgresql: bool, first: int, last: int, records: int, now: int) -> str:
    """SELECT of calls number first to last; `x`, `y`, `z` are as good as random."""
    if postgresql:
        numbers = f"SELECT n FROM generate_series({first}::bigint, {last}) AS s(n)"
        id, true, false = "lpad(to_hex(t), 12, '0') || lpad(to_hex(n), 20, '0')", "true", "false"
    else:
        numbers = (
            f"WITH RECURSIVE s(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM s WHERE n < {last}) "
            "SELECT n FROM s"
        )
        id, true, false = "printf('%012x%020x', t, n)", "1", "0"
    span = _DAYS * 86_400_000
    return f"""
        SELECT {id}, t, 'tenant-' || (y % 20), 'user-' || (y % 20 + 20 * (x % 100)), 'key-' || (y % 20 + 20 * (x % 10)),
          'req', 'chat', '/v1/chat/completions', CASE WHEN x % 2 = 0 THEN 'route-' || (z % 5) END, 'model-' || (z % 12),
          'provider-' || (z % 3), 'model-' || (z % 12), CASE WHEN x % 3 = 0 THEN {true} ELSE {false} END,
          CASE WHEN x % 50 = 1 THEN 500 ELSE 200 END, CASE WHEN x % 50 = 1 THEN 'upstream' END,
          CASE WHEN x % 5 = 0 THEN 'hit' ELSE 'miss' END, CASE WHEN x % 5 = 0 THEN 0 ELSE 1 END, {true},
          500 + x % 1000, 100 + y % 200, 0, 0, 0, 0, CASE WHEN x % 5 = 0 THEN 0 ELSE 3500000000 + x * 1000000 END,
          CASE WHEN x % 5 = 0 THEN 3500000000 END, 'bench', 300000 + 1000 * (x % 2000), 299000,
          CASE WHEN x % 3 = 0 THEN 200000 + 100 * (y % 1000) END, '["team=' || (x % 40) || '","feature=' || (y % 10) || '"]',
          '[[],[["provider-1","model-1",400,299000,200,null]]]',
          CASE WHEN x % 5 = 0 THEN 'gw:{{tenant-' || (y % 20) || '}}:cache:' || (z % 5000) END
        FROM (SELECT n, {now} - (n * {span} / {records}) AS t, (n * 7919 + n / 97) % 10007 AS x,
                     (n * 104729 + n / 89) % 10009 AS y, (n * 1299709 + n / 83) % 10037 AS z
              FROM ({numbers}) AS numbers) AS g"""


def _fill_postgresql(server: PostgreSQL, records: int) -> None:
    now = int(time() * 1000)
    for table in ("usage", "usage_hourly", "usage_daily"):
        server.sql(f"ALTER TABLE {table} SET UNLOGGED")
    server.sql("; ".join(f"DROP INDEX {index.name}" for index in _INDEXES))
    chunk = 1_000_000
    # Oldest first, as calls come.
    for last in range(records, 0, -chunk):
        first = max(1, last - chunk + 1)
        server.sql(
            f"INSERT INTO usage ({_COLUMNS}) {_rows(True, first, last, records, now)} ORDER BY n DESC"
        )
    _index(lambda statement: server.sql(statement), "postgresql")
    _sum_up(server)
    server.sql("VACUUM ANALYZE usage_hourly")
    server.sql("VACUUM ANALYZE usage")


_OF_SCOPE = {
    "all": "'', ''", "tenant": "tenant, ''", "key": "tenant, key_id", "user": 'tenant, "user"',
    "route": "tenant, route", "tag": "tenant, tag",
}  # fmt: skip
"""Whose each scope's sums are: tenant and subject."""


def _sum_up(server: PostgreSQL) -> None:
    """The sums that the ledger's own statement makes of a batch, a scope at a time: that of all ten million
    calls at once would be sorted on the disk for half an hour. In order of time, as they are made."""
    server.sql(
        "ALTER TABLE usage_hourly DROP CONSTRAINT usage_hourly_pkey; DROP INDEX usage_hourly_time"
    )
    numbers = [c.name for c in usage_hourly.columns][9:]
    sums = ", ".join(f"SUM(COALESCE({name}, 0))" for name in numbers)
    for scope, whose in _OF_SCOPE.items():
        calls = "usage"
        if scope == "tag":
            calls = "(SELECT u.*, t.tag FROM usage AS u, json_array_elements_text(u.tags::json) AS t(tag)) AS u"
        has = {"route": "route IS NOT NULL", "key": "key_id IS NOT NULL"}.get(scope, "true")
        server.sql(
            f"SET work_mem = '3GB'; INSERT INTO usage_hourly SELECT '{scope}', {whose}, at / 3600000, "
            "provider, model, COUNT(*), COUNT(error), COUNT(*) FILTER (WHERE cache = 'hit'), "
            f"{sums} FROM {calls} WHERE {has} GROUP BY 2, 3, 4, 5, 6 ORDER BY 4"
        )
    key = "scope, tenant, subject, hour, provider, model"
    server.sql(
        f"SET maintenance_work_mem = '2GB'; ALTER TABLE usage_hourly ADD CONSTRAINT usage_hourly_pkey PRIMARY KEY ({key}); "
        "CREATE INDEX usage_hourly_time ON usage_hourly (scope, hour)"
    )


def _fill_sqlite(file: Path, records: int) -> None:
    now = int(time() * 1000)
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA synchronous = OFF")
    for index in _INDEXES:
        connection.execute(f"DROP INDEX {index.name}")
    connection.execute(
        f"INSERT INTO usage ({_COLUMNS}) {_rows(False, 1, records, records, now)} ORDER BY n DESC"
    )
    _index(connection.execute, "sqlite")
    connection.execute(roll_up_of("usage", "sqlite"))
    connection.commit()
    connection.close()


def _index(run: object, dialect: str) -> None:
    from sqlalchemy.dialects import postgresql, sqlite
    from sqlalchemy.schema import CreateIndex

    assert callable(run)
    made = postgresql.dialect() if dialect == "postgresql" else sqlite.dialect()
    for index in _INDEXES:
        run(str(CreateIndex(index).compile(dialect=made)))


@asynccontextmanager
async def _filled(kind: str, records: int, directory: Path) -> AsyncGenerator[Running, None]:
    server = PostgreSQL(directory / "pg") if kind == "postgresql" else None
    environ = {"ADMIN_KEY": ADMIN, "DATA_DIR": str(directory), "LEDGER_DAYS": "0"}
    if server is not None:
        environ["DATABASE_URL"] = server.url()
    url = database_url(environ.get("DATABASE_URL"), directory)
    database = Database(url)
    await database.open()
    started = perf_counter()
    if server is not None:
        await asyncio.to_thread(_fill_postgresql, server, records)
        sums = server.sql("SELECT count(*) FROM usage_hourly")
    else:
        await asyncio.to_thread(_fill_sqlite, directory / "gateway.db", records)
        with sqlite3.connect(directory / "gateway.db") as connection:
            (sums,) = connection.execute("SELECT count(*) FROM usage_hourly").fetchone()
    print(
        f"{kind}: {records} calls, {sums} sums, made in {perf_counter() - started:.0f} s",
        flush=True,
    )
    started = perf_counter()
    days = await sum_up(database, time())
    if server is not None:
        server.sql("VACUUM ANALYZE usage_daily")
    await database.close()
    print(f"the sums of {days} days, made in {perf_counter() - started:.0f} s", flush=True)
    try:
        async with serving(environ) as running:
            yield running
    finally:
        if server is not None:
            server.stop()


def _pages(one_call: str) -> dict[str, list[str]]:
    """What each page asks for when it opens. `@7` is where a range of 7 days goes."""
    return {
        "overview, a week by model": [
            "/admin/usage?@7&group_by=day", "/admin/usage?@7&group_by=day,model",
            "/admin/latency?@7&step=day&group_by=model", "/admin/usage?@14&group_by=day", "/admin/usage?@30&group_by=",
        ],
        "overview, 30 days by model": [
            "/admin/usage?@30&group_by=day", "/admin/usage?@30&group_by=day,model",
            "/admin/latency?@30&step=day&group_by=model",
        ],
        "overview, 30 days by user": ["/admin/usage?@30&group_by=tenant,user&top=50"],
        "overview, 30 days by tag": ["/admin/usage?@30&group_by=tenant,tag&top=50"],
        "overview, 30 days by route": ["/admin/usage?@30&group_by=tenant,route&top=50"],
        "overview, 30 days by key": ["/admin/usage?@30&group_by=tenant,key&top=50"],
        "overview, of a tenant by user": [
            "/admin/usage?@30&tenant=tenant-1&group_by=tenant,user&top=50",
            "/admin/latency?@30&step=day&tenant=tenant-1",
        ],
        "overview, of a tag": ["/admin/usage?@30&tag=team=7&group_by=day,model", "/admin/latency?@30&step=day&tag=team=7"],
        "overview, of a user": [
            "/admin/usage?@30&tenant=tenant-1&user=user-1&group_by=day,model",
            "/admin/latency?@30&step=day&tenant=tenant-1&user=user-1",
        ],
        "calls": ["/admin/calls?limit=100"],
        "calls of a tenant": ["/admin/calls?tenant=tenant-1"],
        "calls of a user": ["/admin/calls?user=user-7"],
        "calls of nobody": ["/admin/calls?user=nobody"],
        "calls of a key": ["/admin/calls?key=key-7"],
        "calls that failed": ["/admin/calls?status=failed"],
        "calls of a tag nobody has": ["/admin/calls?tag=no=such"],
        "one call": [f"/admin/calls/{one_call}"],
        "keys": ["/admin/keys?limit=200", "/admin/usage?@30&group_by=key"],
        "tenants": ["/admin/tenants", "/admin/usage?@30&group_by=tenant"],
        "providers": [
            "/admin/health", "/admin/routes", "/admin/usage?@0.04&group_by=route,provider,model",
            "/admin/usage?@1&group_by=hour,provider", "/admin/latency?@1&step=hour&group_by=provider",
        ],
        "cache": ["/admin/usage?@7&group_by=day", "/admin/cache/entries", "/admin/cache/similarities"],
        "cache of a tenant": ["/admin/cache/entries?tenant=tenant-1"],
    }  # fmt: skip


async def _timed(running: Running, name: str, paths: list[str], rounds: int) -> None:
    """The page's requests at once, as it makes them."""
    taken: list[float] = []
    for at in range(rounds):
        urls = [running.url + _dated(path, at) for path in paths]
        started = perf_counter()
        answers = await asyncio.gather(*(ask("GET", url, key=ADMIN) for url in urls))
        taken.append((perf_counter() - started) * 1000)
        for path, got in zip(paths, answers, strict=True):
            assert got.status == 200, (path, got.body[:300])
    taken.sort()
    print(
        f"{name:34} median {taken[len(taken) // 2]:8.1f} ms   worst {taken[-1]:8.1f} ms", flush=True
    )


def _dated(path: str, at: int) -> str:
    for days in ("0.04", "1", "7", "14", "30"):
        if f"@{days}&" in path:
            end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
            start = end - timedelta(days=float(days)) + timedelta(seconds=at)
            span = urlencode({"start": start.isoformat(), "end": end.isoformat()})
            return path.replace(f"@{days}", span)
    return path


_PAINT = """() => [
  performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1,
  performance.getEntriesByType('navigation')[0].responseEnd,
  Math.max(...performance.getEntriesByType('resource').filter((r) => r.name.includes('.css')).map((r) => r.responseEnd)),
]"""


async def _painted(running: Running) -> None:
    from playwright.async_api import async_playwright

    path = shutil.which("chromium")
    assert path is not None, "no chromium on the path"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 1280, "height": 860})
        await page.goto(f"{running.url}/dashboard")
        await page.get_by_label("Key").fill(ADMIN)
        await page.get_by_role("button", name="Sign in").click()
        await page.get_by_role("heading", name="Overview").wait_for()
        for name, filled in (
            ("overview", ".card"), ("calls", "tbody tr"), ("keys", "main h1"), ("tenants", "main h1"),
            ("providers", "main h1"), ("cache", ".card"),
        ):  # fmt: skip
            paints: list[tuple[float, float, float]] = []
            fills: list[float] = []
            for _ in range(10):
                started = perf_counter()
                await page.goto(f"{running.url}/dashboard/{name}", wait_until="commit")
                await page.locator(filled).first.wait_for()
                fills.append((perf_counter() - started) * 1000)
                paints.append(tuple(await page.evaluate(_PAINT)))
            paints.sort()
            fills.sort()
            paint, answer, styles = paints[-1]
            print(
                f"{name:12} first contentful paint {paints[5][0]:6.0f} ms, filled {fills[5]:6.0f} ms "
                f"(worst {paint:.0f}, its answer after {answer:.0f} and its styles after {styles:.0f}; "
                f"{fills[-1]:.0f})",
                flush=True,
            )
        await browser.close()


async def run(given: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as directory:
        async with _filled(given.database, given.records, Path(directory)) as running:
            newest = await ask("GET", running.url + "/admin/calls?limit=1", key=ADMIN)
            one = json.loads(newest.body)["data"][0]["id"]
            for name, paths in _pages(one).items():
                await _timed(running, name, paths, given.rounds)
            if given.chromium:
                await _painted(running)
