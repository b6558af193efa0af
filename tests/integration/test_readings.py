"""Gauges of what lives in the gateway: caches, queues, connections, the ledger's backlog."""

import asyncio
import json
import sqlite3
from pathlib import Path

from tests.integration.test_account import ANSWER, ASKED, CHAT
from tests.integration.test_caching import asked
from tests.integration.test_semantic_cache import RESET, Model, meant
from tests.serving import answers, get, in_front_of, post, providing, serving


async def gauges(url: str) -> dict[str, float]:
    """Every sample by its name and labels."""
    text = (await get(url + "/metrics")).body.decode()
    pairs = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


async def test_what_the_cache_holds_and_pushes_out_is_told(tmp_path: Path) -> None:
    async with (
        providing(answers(ANSWER)) as provider,
        serving(
            in_front_of(provider) | {"CACHE_TTL": "5", "CACHE_MEMORY_BYTES": "16000"}
        ) as running,
    ):
        for number in range(40):
            body = {"model": "gpt-4o", "messages": [{"role": "user", "content": f"n {number}"}]}
            await post(running.url + CHAT, json.dumps(body).encode())
        found = await gauges(running.url)
        assert 5 < found["cache_entries"] < 40
        assert found["cache_entries"] + found["cache_evictions_total"] == 40
        assert 10_000 < found["cache_bytes"] <= 16_000
        assert found['gateway_upstream_connections{state="busy"}'] == 0


async def test_what_the_index_of_meanings_takes_is_told() -> None:
    async with meant(Model()) as (_, running):
        await post(running.url + CHAT, asked(RESET))
        found = await gauges(running.url)
        assert found["cache_semantic_entries"] == 1
        assert found["cache_semantic_bytes"] >= 3 * 4


async def test_records_that_wait_for_the_database_show_how_many_and_how_old(
    tmp_path: Path,
) -> None:
    async with (
        providing(answers(ANSWER)) as provider,
        serving(in_front_of(provider) | {"DATA_DIR": str(tmp_path), "AUDIT": "full"}) as running,
    ):
        await post(running.url + CHAT, ASKED)
        await settled(running.url)
        other = sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        for _ in range(3):
            await post(running.url + CHAT, ASKED)
        await asyncio.sleep(1.2)
        found = await gauges(running.url)
        assert found["gateway_ledger_spool_bytes"] > 600
        assert 1.0 < found["gateway_ledger_lag_seconds"] < 30
        other.execute("ROLLBACK")
        other.close()
        await settled(running.url)


async def settled(url: str) -> None:
    """Until nothing waits any more."""
    for _ in range(200):
        found = await gauges(url)
        queues = [value for name, value in found.items() if name.startswith("gateway_background")]
        assert queues
        if not found["gateway_ledger_spool_bytes"] and not sum(queues):
            assert found["gateway_ledger_lag_seconds"] == 0
            return
        await asyncio.sleep(0.05)
    raise AssertionError("records went on waiting")
