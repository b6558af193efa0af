"""The clock of the machine jumps an hour, forwards and backwards, under load."""

import asyncio
import importlib.util
import json
import platform
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from tests.clients.conftest import Process, start_gateway, start_simulator
from tests.faults.load import Callers, percentile
from tests.figures import Figure
from tests.ports import free_port
from tests.redis_server import RedisServer
from tests.serving import ask

pytestmark = pytest.mark.slow

ADMIN = "admin-key-of-this-test-0123456789"
CHAT = "/v1/chat/completions"
RATE = 4
CONFIG = f"""
tenants:
  acme: {{policy: {{limits: [{{per: tenant, capacity: {RATE}, refill: {RATE}}}]}}}}
"""


def fake_clock() -> Path | None:
    """The library, where it was built for this machine."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return None
    found = importlib.util.find_spec("libfaketime")
    if found is None or found.origin is None:
        return None
    return next((Path(found.origin).parent / "vendor/libfaketime/src").glob("*.so.1"), None)


class Clock:
    """Of the processes that are started with `environ`."""

    def __init__(self, library: Path, directory: Path) -> None:
        self._file = directory / "clock"
        self.jumps_to(0)
        self.environ = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def jumps_to(self, hours: int) -> None:
        """So many hours from the true time, at once."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{hours * 3600:+d}\n")
        new.replace(self._file)


class Whole(Struct):
    gateway: Process
    clock: Clock
    key: str
    limited: str
    """A key whose tenant may make RATE calls a second."""


@asynccontextmanager
async def whole(directory: Path, kind: str) -> AsyncGenerator[Whole, None]:
    library = fake_clock()
    if library is None:
        pytest.skip("libfaketime was not built for this machine")
    clock = Clock(library, directory)
    config = directory / "gateway.yaml"
    config.write_text(CONFIG)
    with ExitStack() as stack:
        environ = {"CONFIG": str(config), "DATA_DIR": str(directory / "data"), "ADMIN_KEY": ADMIN}
        if kind == "redis":
            redis = RedisServer(environ=clock.environ)
            redis.start()
            stack.callback(redis.kill)
            environ["REDIS_ADDR"] = redis.address
        simulator = start_simulator(
            directory, free_port(), "first_token_ms=3", "keep_calls=1000000"
        )
        stack.callback(simulator.stop)
        environ |= {"OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": f"{simulator.url}/v1"}
        gateway = await asyncio.to_thread(
            lambda: start_gateway(directory, **environ, **clock.environ)
        )
        stack.callback(gateway.stop)
        keys: list[str] = []
        for tenant in ("default", "acme"):
            body = {"name": "x", "tenant": tenant}
            got = await ask("POST", gateway.url + "/admin/keys", body, ADMIN)
            keys.append(json.loads(got.body)["key"])
        yield Whole(gateway, clock, *keys)


@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_an_hour_forwards_and_back_fails_no_call_and_neither_frees_nor_jams_a_limit(
    kind: str, tmp_path: Path, figure: Figure
) -> None:
    async with whole(tmp_path, kind) as running:
        shown = await ask("GET", running.gateway.url + "/health", key=ADMIN)
        assert shown.status == 200
        callers = Callers(running.gateway.url, running.key, at_once=4)
        callers.start()
        passed: list[float] = []
        over = False

        async def hammer() -> None:
            """Always at the limit, so that its bucket is empty when the clock jumps."""
            body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}
            while not over:
                got = await ask(
                    "POST", running.gateway.url + CHAT, body, running.limited, Cache_Control="no-store"
                )  # fmt: skip
                assert got.status in (200, 429), got.body
                if got.status == 200:
                    passed.append(time.monotonic())
                else:
                    assert 0 < int(got.headers["retry-after"]) <= 2

        hammering = [asyncio.ensure_future(hammer()) for _ in range(3)]
        marks = [time.monotonic()]
        seen: list[int] = []
        for hours in (0, 1, 0, -1, 0):
            running.clock.jumps_to(hours)
            await asyncio.sleep(3)
            marks.append(time.monotonic())
            seen.append(_hours_off(running.gateway))
        over = True
        await asyncio.gather(*hammering)
        await callers.stop()
        told = await _records(running.gateway, len(callers.answered) + len(passed))
    # The jumps are real: the log's own times show them.
    assert seen == [0, 1, 0, -1, 0]
    assert callers.statuses() == {200: len(callers.answered)}
    ids = [record["request_id"] for record in told if record["tenant"] == "default"]
    assert sorted(ids) == sorted(callers.answered)
    rates = [
        sum(begin <= at < end for at in passed) / (end - begin) for begin, end in pairwise(marks)
    ]
    figure(
        f"{kind}: calls passed a second at a limit of {RATE}", ", ".join(f"{r:.1f}" for r in rates)
    )
    figure(f"{kind}: p99 of others", f"{percentile(callers.seconds(), 0.99) * 1000:.0f} ms")
    # A bucket may fill once with a jump forwards; it is never stuck, and never open.
    assert all(RATE * 0.25 <= rate <= RATE * 2.7 for rate in rates), rates


def _hours_off(gateway: Process) -> int:
    from datetime import datetime

    at = datetime.fromisoformat(str(gateway.lines()[-1]["time"])).timestamp()
    return round((at - time.time()) / 3600)


async def _records(gateway: Process, count: int) -> list[dict[str, Any]]:
    """All of the ledger, once it holds so many calls that were answered 200."""
    for _ in range(60):
        found: list[dict[str, Any]] = []
        query = "?limit=1000"
        while query:
            page = json.loads(
                (await ask("GET", f"{gateway.url}/admin/calls{query}", key=ADMIN)).body
            )
            found += [record for record in page["data"] if record["status"] == 200]
            query = f"?limit=1000&before={page['next']}" if page["next"] else ""
        if len(found) >= count:
            return found
        await asyncio.sleep(0.5)
    raise AssertionError(f"{len(found)} of {count} records are in the ledger")
