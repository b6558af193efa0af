"""Several workers, several replicas, one Redis: they count as one."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.clients.conftest import Process, start_gateway
from tests.figures import Figure
from tests.many_calls import many_calls
from tests.postgresql import PostgreSQL
from tests.redis_server import RedisServer, redis_server
from tests.serving import get

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@contextmanager
def replicas(directory: Path, count: int, **environ: str) -> Iterator[list[Process]]:
    running = [start_gateway(directory, **environ) for _ in range(count)]
    try:
        yield running
    finally:
        for process in running:
            process.stop()


def shared(redis: RedisServer, postgresql: PostgreSQL, **more: str) -> dict[str, str]:
    redis.tell("FLUSHALL")
    return {
        "REDIS_ADDR": redis.address,
        "REDIS_TIMEOUT": "5",
        "DATABASE_URL": postgresql.fresh(),
        "CACHE_TTL": "0",
        **more,
    }


def workers_of(process: Process) -> list[int]:
    pid = process.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in children.split()]


async def all_serve(process: Process, workers: int) -> None:
    await eventually(lambda: len(events(process, "serving")) >= workers)


def events(process: Process, name: str) -> list[dict[str, object]]:
    return [line for line in process.lines() if line["event"] == name]


async def eventually(look: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < until, "it did not happen"
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("workers", "calls", "capacity"),
    [(2, 2_000, 200), pytest.param(4, 20_000, 1_000, marks=pytest.mark.slow)],
)
async def test_of_calls_at_two_replicas_exactly_the_capacity_passes(
    tmp_path: Path,
    redis: RedisServer,
    postgresql: PostgreSQL,
    workers: int,
    calls: int,
    capacity: int,
    figure: Figure,
) -> None:
    environ = shared(
        redis,
        postgresql,
        WORKERS=str(workers),
        RATE_LIMIT_CAPACITY=str(capacity),
        RATE_LIMIT_REFILL_RATE="0",
    )
    with replicas(tmp_path, 2, **environ) as both:
        for replica in both:
            await all_serve(replica, workers)
        statuses = await many_calls([replica.port for replica in both], calls, 128)
        figure(
            f"2 replicas of {workers} workers, a bucket of {capacity:,}:",
            f"{statuses[200]:,} of {calls:,} passed",
        )
        assert statuses == {200: capacity, 429: calls - capacity}
        for replica in both:
            assert events(replica, "state_lost") == []


@pytest.mark.slow
async def test_with_a_refill_capacity_and_rate_pass(
    tmp_path: Path, redis: RedisServer, postgresql: PostgreSQL
) -> None:
    environ = shared(
        redis, postgresql, WORKERS="2", RATE_LIMIT_CAPACITY="300", RATE_LIMIT_REFILL_RATE="100"
    )
    with replicas(tmp_path, 2, **environ) as both:
        for replica in both:
            await all_serve(replica, 2)
        ports = [replica.port for replica in both]
        started = time.monotonic()
        passed = 0
        while (taken := time.monotonic() - started) < 4:
            passed += (await many_calls(ports, 200))[200]
        taken = time.monotonic() - started
        expected = 300 + 100 * taken
        assert passed <= expected + 1
        assert passed >= 0.97 * expected


async def test_a_budget_holds_over_replicas_and_workers(
    tmp_path: Path, redis: RedisServer, postgresql: PostgreSQL
) -> None:
    """A call takes about 20 tokens by estimate; what it truly takes the simulator tells."""
    config = tmp_path / "gateway.yaml"
    config.write_text("budgets:\n  - {per: tenant, unit: tokens, amount: 10000, period: total}\n")
    environ = shared(redis, postgresql, WORKERS="2", CONFIG=str(config))
    with replicas(tmp_path, 2, **environ) as both:
        for replica in both:
            await all_serve(replica, 2)
        statuses = await many_calls([replica.port for replica in both], 2_000)
        assert set(statuses) == {200, 429}
        key = "gw:{default}:spent:tenant:default:tokens:total"
        await eventually(lambda: redis.tell("HGET", key, "r") == b"$1\r\n0\r\n")
        spent = int(redis.tell("HGET", key, "s").split(b"\r\n")[1])
        assert 9_900 <= spent <= 10_000
        recorded = "SELECT sum(input_tokens + output_tokens) FROM usage"  # the ledger's own account
        name = environ["DATABASE_URL"].split("@/")[1].split("?")[0]
        await eventually(lambda: postgresql.sql(recorded, name) == str(spent))


async def test_metrics_are_those_of_all_workers_dead_ones_too(
    tmp_path: Path, redis: RedisServer, postgresql: PostgreSQL
) -> None:
    with replicas(tmp_path, 1, **shared(redis, postgresql, WORKERS="3")) as (gateway,):
        await all_serve(gateway, 3)

        async def counted() -> float:
            page = (await get(gateway.url + "/metrics")).body.decode()
            found = re.search(r'^llm_requests_total\{.*status="success"\} (\S+)$', page, re.M)
            return float(found[1]) if found else 0.0

        assert await many_calls([gateway.port], 300, 32) == {200: 300}
        await asyncio.sleep(1.2)
        assert {await counted() for _ in range(6)} == {300.0}
        page = (await get(gateway.url + "/metrics")).body.decode()
        assert "\ngateway_build_info" in page
        os.kill(workers_of(gateway)[0], signal.SIGKILL)
        await eventually(lambda: len(events(gateway, "serving")) == 4)
        assert await many_calls([gateway.port], 100, 32) == {200: 100}
        await asyncio.sleep(1.2)
        assert {await counted() for _ in range(6)} == {400.0}


@pytest.mark.slow
async def test_connections_are_spread_over_the_workers(
    tmp_path: Path, redis: RedisServer, postgresql: PostgreSQL
) -> None:
    with replicas(tmp_path, 1, **shared(redis, postgresql, WORKERS="2")) as (gateway,):
        await all_serve(gateway, 2)
        opened = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(200)]
        await asyncio.sleep(0.5)
        held = [_sockets(pid) for pid in workers_of(gateway)]
        # Evenly by chance: 100 each, give or take five deviations.
        assert all(held)
        assert abs(held[0] - held[1]) < 90
        for _, writer in opened:
            writer.close()


def _sockets(pid: int) -> int:
    found = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found += os.readlink(descriptor).startswith("socket:")
        except FileNotFoundError:
            continue
    return found


async def test_sigterm_ends_all_workers_and_exits_with_0(
    tmp_path: Path, redis: RedisServer, postgresql: PostgreSQL
) -> None:
    with replicas(tmp_path, 1, **shared(redis, postgresql, WORKERS="3")) as (gateway,):
        await all_serve(gateway, 3)
        workers = workers_of(gateway)
        gateway.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(gateway.process.wait, 20) == 0
        assert len(events(gateway, "stopped")) == 3
        assert [pid for pid in workers if Path(f"/proc/{pid}").exists()] == []


async def test_workers_do_not_outlive_their_supervisor(
    tmp_path: Path, redis: RedisServer, postgresql: PostgreSQL
) -> None:
    with replicas(tmp_path, 1, **shared(redis, postgresql, WORKERS="2")) as (gateway,):
        await all_serve(gateway, 2)
        workers = workers_of(gateway)
        gateway.process.kill()
        await eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


@pytest.mark.parametrize("given", [{}, {"REDIS_ADDR": "127.0.0.1:1"}])
def test_workers_need_what_they_share(tmp_path: Path, given: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ai_gateway", "serve"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), "WORKERS": "2", **given},
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=20,
    )
    assert done.returncode == 2
    assert "WORKERS: above 1 needs" in done.stderr
