"""PostgreSQL killed, hung and back again under load: calls go on, and nothing is lost or doubled."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from msgspec import Struct

from ai_gateway.access.keys import new_key
from tests.clients.conftest import Process, start_gateway, start_simulator
from tests.faults.kill import ADMIN
from tests.faults.load import Callers, percentile
from tests.ports import free_port
from tests.postgresql import PostgreSQL, own_postgresql
from tests.serving import ask


class Busy(Struct):
    gateway: Process
    server: PostgreSQL
    callers: Callers
    simulator: Process

    async def ready(self) -> Any:
        return json.loads((await ask("GET", self.gateway.url + "/ready")).body)

    async def records(self) -> list[str]:
        """The ids of the calls in the ledger, as many as there are."""
        found: list[str] = []
        query = "?limit=1000"
        while query:
            got = await ask("GET", self.gateway.url + "/admin/calls" + query, key=ADMIN)
            assert got.status == 200, got.body
            page = json.loads(got.body)
            found += [record["request_id"] for record in page["data"]]
            query = f"?limit=1000&before={page['next']}" if page["next"] else ""
        return found


async def until(what: str, holds: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(300):
        if await holds():
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"never came true: {what}")


@pytest_asyncio.fixture
async def busy(tmp_path: Path) -> AsyncIterator[Busy]:
    """A gateway on a PostgreSQL of its own, with callers at work."""
    with own_postgresql() as server:
        async with _busy_on(server, tmp_path) as found:
            yield found


@asynccontextmanager
async def _busy_on(server: PostgreSQL, tmp_path: Path) -> AsyncGenerator[Busy, None]:
    simulator = start_simulator(tmp_path, free_port(), "first_token_ms=20")
    gateway = start_gateway(
        tmp_path,
        OPENAI_API_KEY="sk-simulated",
        OPENAI_BASE_URL=f"{simulator.url}/v1",
        ADMIN_KEY=ADMIN,
        DATABASE_URL=server.url(),
        DATA_DIR=str(tmp_path / "data"),
        CACHE_TTL="0",
        RATE_LIMIT_CAPACITY="1000000",
        RATE_LIMIT_REFILL_RATE="1000000",
    )
    try:
        got = await ask("POST", gateway.url + "/admin/keys", {"name": "callers"}, ADMIN)
        callers = Callers(gateway.url, json.loads(got.body)["key"], at_once=4)
        callers.start()
        yield Busy(gateway, server, callers, simulator)
    finally:
        gateway.stop()
        simulator.stop()


@pytest.mark.parametrize("how", ["hung", "down"])
async def test_calls_go_on_while_the_database_is_away(busy: Busy, how: str) -> None:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(2)
    before = loop.time()
    away: AbstractContextManager[None] = busy.server.hung() if how == "hung" else busy.server.down()
    # In a thread: the callers share this loop, and are timed.
    await asyncio.to_thread(away.__enter__)
    try:

        async def noted() -> bool:
            return any("access" in note for note in (await busy.ready()).get("notes", ()))

        await until("/ready says that the database is away", noted)
        # An unknown key: nobody can say whether it is good.
        got = await ask("POST", busy.callers.url + "/v1/chat/completions", {}, new_key())
        assert got.status == 503
        assert got.headers["retry-after"] == "1"
        assert (await ask("GET", busy.gateway.url + "/admin/keys", key=ADMIN)).status == 503
        await asyncio.sleep(3)
        during = loop.time()
    finally:
        await asyncio.to_thread(away.__exit__, None, None, None)
    await asyncio.sleep(1)
    await busy.callers.stop()
    assert busy.callers.statuses() == {200: len(busy.callers.answered)}
    usual = percentile(busy.callers.seconds(until=before), 0.99)
    worst = percentile(busy.callers.seconds(before, during), 0.99)
    assert worst - usual < 0.05, (usual, worst)

    async def complete() -> bool:
        if (await ask("GET", busy.gateway.url + "/admin/keys", key=ADMIN)).status != 200:
            return False
        return sorted(await busy.records()) == sorted(busy.callers.answered)

    await until("every call is in the ledger once", complete)

    async def well() -> bool:
        return await busy.ready() == {"ready": True}

    await until("nothing is amiss any more", well)
    events = [line["event"] for line in busy.gateway.lines()]
    for event in ("access_database_lost", "access_database_back"):
        assert event in events
    metrics = (await ask("GET", busy.gateway.url + "/metrics")).body.decode()
    (lost,) = [li for li in metrics.splitlines() if li.startswith("gateway_database_lost_total ")]
    assert float(lost.split()[1]) >= 1
    assert "gateway_ledger_lost_total 0" in metrics


async def test_a_gateway_starts_without_its_database_and_finds_it_later(tmp_path: Path) -> None:
    with own_postgresql() as server:
        with server.down():
            gateway = start_gateway(
                tmp_path,
                ADMIN_KEY=ADMIN,
                DATABASE_URL=server.url(),
                DATA_DIR=str(tmp_path / "data"),
            )
            got = await ask("POST", gateway.url + "/v1/chat/completions", {}, new_key())
            assert got.status == 503
        try:

            async def makes_a_key() -> bool:
                got = await ask("POST", gateway.url + "/admin/keys", {"name": "x"}, ADMIN)
                return got.status == 201

            await until("a key can be made", makes_a_key)
        finally:
            gateway.stop()
