"""SQLite locked by another, and a disk that takes nothing: calls go on, and the account is kept."""

import asyncio
import json
import sqlite3
from pathlib import Path

from tests.integration.test_admin import ADMIN, ANSWER, ASKED, CHAT, call, made
from tests.integration.test_ledger import settled
from tests.serving import answers, ask, in_front_of, providing, serving


async def test_while_another_holds_sqlites_lock_calls_go_on_and_records_wait(
    tmp_path: Path,
) -> None:
    environ = {"ADMIN_KEY": ADMIN, "DATA_DIR": str(tmp_path)}
    async with (
        providing(answers(ANSWER)) as provider,
        serving({**in_front_of(provider), **environ}) as running,
    ):
        key, _ = await made(running)
        assert await call(running, key) == 200
        await settled(running, 1)
        other = sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        for _ in range(10):
            assert await call(running, key) == 200
        await asyncio.sleep(1)
        assert len(await settled(running, 1)) == 1
        other.execute("ROLLBACK")
        other.close()
        assert len(await settled(running, 11)) == 11


async def test_where_the_disk_takes_nothing_calls_go_on_and_ready_says_so(tmp_path: Path) -> None:
    place = tmp_path / "data"
    place.write_text("a file where the directory should be")
    async with (
        providing(answers(ANSWER)) as provider,
        serving({**in_front_of(provider), "DATA_DIR": str(place)}) as running,
    ):
        for _ in range(5):
            assert (await ask("POST", running.url + CHAT, ASKED)).status == 200
        ready = await ask("GET", running.url + "/ready")
        assert ready.status == 200
        assert any("5 records are in memory alone" in n for n in json.loads(ready.body)["notes"])
        place.unlink()
        await asyncio.sleep(2)
        assert json.loads((await ask("GET", running.url + "/ready")).body) == {"ready": True}
        report = json.loads((await ask("GET", running.url + "/v1/usage?scope=tenant")).body)
        assert report["total"]["requests"] == 5
