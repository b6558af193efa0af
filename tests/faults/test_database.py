"""PostgreSQL killed, hung and back again under load: calls go on, and nothing is lost or doubled."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from msgspec import Struct

from ai_gateway.access.keys import new_key
from tests.clients.conftest import Process, start_gateway, start_simulator
from tests.faults.kill import ADMIN
from tests.faults.load import Callers, percentile
from tests.figures import Figure
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
        async with busy_on(server, tmp_path) as found:
            yield found


@asynccontextmanager
async def busy_on(
    server: PostgreSQL, tmp_path: Path, url: str | None = None, **more: str
) -> AsyncGenerator[Busy, None]:
    simulator = start_simulator(tmp_path, free_port(), "first_token_ms=20")
    environ = {
        "OPENAI_API_KEY": "sk-simulated",
        "OPENAI_BASE_URL": f"{simulator.url}/v1",
        "ADMIN_KEY": ADMIN,
        "DATABASE_URL": url or server.url(),
        "DATA_DIR": str(tmp_path / "data"),
        "CACHE_TTL": "0",
        "RATE_LIMIT_CAPACITY": "1000000",
        "RATE_LIMIT_REFILL_RATE": "1000000",
        **more,
    }
    # In a thread: a database behind a relay of this loop's is reached through it.
    gateway = await asyncio.to_thread(lambda: start_gateway(tmp_path, **environ))
    try:
        got = await ask("POST", gateway.url + "/admin/keys", {"name": "callers"}, ADMIN)
        callers = Callers(gateway.url, json.loads(got.body)["key"], at_once=4)
        callers.start()
        yield Busy(gateway, server, callers, simulator)
    finally:
        await asyncio.to_thread(gateway.stop)
        simulator.stop()


@contextmanager
def read_only(server: PostgreSQL) -> Iterator[None]:
    """As after a fail-over to what is still a replica."""
    server.sql("ALTER SYSTEM SET default_transaction_read_only = on")
    server.sql("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        server.sql("ALTER SYSTEM RESET default_transaction_read_only")
        server.sql("SELECT pg_reload_conf()")


@contextmanager
def full(server: PostgreSQL) -> Iterator[None]:
    """Every write is refused with the code of a full disk."""
    server.sql(
        "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION "
        "'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$"
    )
    each = "FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    server.sql(
        f"DO $$ DECLARE t text; BEGIN {each} LOOP EXECUTE format('CREATE TRIGGER no_room BEFORE INSERT "
        "OR UPDATE OR DELETE ON %I EXECUTE FUNCTION no_room()', t); END LOOP; END $$"
    )
    try:
        yield
    finally:
        server.sql("DROP FUNCTION no_room CASCADE")


def away(server: PostgreSQL, how: str) -> AbstractContextManager[None]:
    match how:
        case "hung":
            return server.hung()
        case "down":
            return server.down()
        case "read-only":
            return read_only(server)
        case _:
            return full(server)


@pytest.mark.timing
@pytest.mark.parametrize("how", ["hung", "down", "read-only", "full"])
async def test_calls_go_on_while_the_database_is_away(busy: Busy, how: str, figure: Figure) -> None:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(2)
    before = loop.time()
    fault = away(busy.server, how)
    # In a thread: the callers share this loop, and are timed.
    await asyncio.to_thread(fault.__enter__)
    try:

        async def noted() -> bool:
            return bool((await busy.ready()).get("notes"))

        await until("/ready says that the database is away", noted)
        if how in ("hung", "down"):
            # An unknown key: nobody can say whether it is good.
            got = await ask("POST", busy.callers.url + "/v1/chat/completions", {}, new_key())
            assert got.status == 503
            assert got.headers["retry-after"] == "1"
            assert (await ask("GET", busy.gateway.url + "/admin/keys", key=ADMIN)).status == 503
        else:
            # It can be read: an unknown key is known to be none, and a new one cannot be made.
            got = await ask("POST", busy.callers.url + "/v1/chat/completions", {}, new_key())
            assert got.status == 401
            made = await ask("POST", busy.gateway.url + "/admin/keys", {"name": "x"}, ADMIN)
            assert made.status == 503, made.body
        await asyncio.sleep(3)
        during = loop.time()
    finally:
        await asyncio.to_thread(fault.__exit__, None, None, None)
    await asyncio.sleep(1)
    await busy.callers.stop()
    usual = percentile(busy.callers.seconds(until=before), 0.99)
    worst = percentile(busy.callers.seconds(before, during), 0.99)
    answered = len(busy.callers.answered)
    figure(
        f"{how}: calls that did not fail",
        f"{busy.callers.statuses().get(200, 0)} of {answered}, p99 {usual * 1000:.0f} ms before "
        f"and {worst * 1000:.0f} ms meanwhile",
    )
    assert busy.callers.statuses() == {200: answered}
    assert worst - usual < 0.05, (usual, worst)

    async def complete() -> bool:
        if (await ask("GET", busy.gateway.url + "/admin/keys", key=ADMIN)).status != 200:
            return False
        return sorted(await busy.records()) == sorted(busy.callers.answered)

    await until("every call is in the ledger once", complete)

    async def well() -> bool:
        return await busy.ready() == {"ready": True}

    await until("nothing is amiss any more", well)
    lost_and_found = {"access_database_lost", "access_database_back"}
    if how in ("read-only", "full"):
        lost_and_found = {"ledger_database_lost", "ledger_database_back"}

    async def told() -> bool:
        return lost_and_found <= {line["event"] for line in busy.gateway.lines()}

    # Lines are written a tenth of a second after what they tell.
    await until("the log tells both", told)
    metrics = (await ask("GET", busy.gateway.url + "/metrics")).body.decode()
    (lost,) = [li for li in metrics.splitlines() if li.startswith("gateway_database_lost_total ")]
    assert float(lost.split()[1]) >= 1
    assert "gateway_ledger_lost_total 0" in metrics


@pytest.mark.timing
async def test_a_slow_database_slows_no_call_of_a_known_key(tmp_path: Path, figure: Figure) -> None:
    """Everything takes 200 ms longer each way, by a relay in between."""
    delay = [0.0]
    with own_postgresql() as server:
        far = next(server.directory.glob(".s.PGSQL.*[0-9]"))

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            far_reader, far_writer = await asyncio.open_unix_connection(far)

            async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
                try:
                    while data := await source.read(65536):
                        await asyncio.sleep(delay[0])
                        sink.write(data)
                except OSError:
                    pass
                finally:
                    sink.close()

            await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

        port = free_port()
        listening = await asyncio.start_server(relay, "127.0.0.1", port)
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=disable"
        async with busy_on(server, tmp_path, url) as busy:
            loop = asyncio.get_running_loop()
            await asyncio.sleep(2)
            before = loop.time()
            delay[0] = 0.2
            await asyncio.sleep(5)
            during = loop.time()
            delay[0] = 0.0
            await busy.callers.stop()

            async def complete() -> bool:
                return sorted(await busy.records()) == sorted(busy.callers.answered)

            await until("every call is in the ledger once", complete)
            usual = percentile(busy.callers.seconds(until=before), 0.99)
            worst = percentile(busy.callers.seconds(before, during), 0.99)
        listening.close()
    figure("200 ms slow: p99 before and meanwhile", f"{usual * 1000:.0f} and {worst * 1000:.0f} ms")
    assert busy.callers.statuses() == {200: len(busy.callers.answered)}
    assert worst - usual < 0.05, (usual, worst)


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
