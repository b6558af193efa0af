"""SQLite's disk is full, its file is spoilt: under a real process, on a small disk of its own."""

import asyncio
import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.conftest import start_gateway, start_simulator
from tests.faults.kill import ADMIN
from tests.faults.load import Callers
from tests.faults.test_database import until
from tests.figures import Figure
from tests.ports import free_port
from tests.serving import ask

pytestmark = pytest.mark.slow


def may_mount() -> bool:
    """Whether this machine lets its users mount a disk in a namespace of their own."""
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run(
        ["unshare", "-Urm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True
    )
    return tried.returncode == 0


async def key_of(url: str) -> str:
    got = await ask("POST", url + "/admin/keys", {"name": "callers"}, ADMIN)
    return json.loads(got.body)["key"]


async def records(url: str) -> list[str]:
    found: list[str] = []
    query = "?limit=1000"
    while query:
        got = await ask("GET", f"{url}/admin/calls{query}", key=ADMIN)
        if got.status != 200:
            return []
        page = json.loads(got.body)
        found += [record["request_id"] for record in page["data"]]
        query = f"?limit=1000&before={page['next']}" if page["next"] else ""
    return found


async def notes(url: str) -> list[str]:
    return json.loads((await ask("GET", url + "/ready")).body).get("notes", [])


@pytest.mark.skipif(not may_mount(), reason="no namespace to mount a small disk in")
async def test_on_a_full_disk_calls_go_on_and_every_record_is_there_once_there_is_room(
    tmp_path: Path, figure: Figure
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    mounted = f'mount -t tmpfs -o size=16m tmpfs {data} && exec "$@"'
    simulator = start_simulator(tmp_path, free_port(), "first_token_ms=5")
    environ = {
        "OPENAI_API_KEY": "sk-x",
        "OPENAI_BASE_URL": f"{simulator.url}/v1",
        "ADMIN_KEY": ADMIN,
        "DATA_DIR": str(data),
        "CACHE_TTL": "0",
    }
    within = ("unshare", "-Urm", "sh", "-c", mounted, "sh")
    gateway = start_gateway(tmp_path, within=within, **environ)
    inside = Path(f"/proc/{gateway.process.pid}/root{data}")
    try:
        callers = Callers(gateway.url, await key_of(gateway.url), at_once=4)
        callers.start()
        await asyncio.sleep(1)
        with (inside / "filler").open("wb", buffering=0) as filler:
            try:
                for size in (65536, 512):
                    while True:
                        filler.write(b"x" * size)
            except OSError:
                pass
        full = len(callers.answered)

        async def noted() -> bool:
            return any("memory alone" in note for note in await notes(gateway.url))

        # What has been written may be moved on and make some room; then that is filled too.
        for _ in range(40):
            await asyncio.sleep(0.25)
            try:
                with (inside / "more").open("ab", buffering=0) as more:
                    while True:
                        more.write(b"x" * 512)
            except OSError:
                pass
            if await noted():
                break
        else:
            raise AssertionError("/ready does not say that records are in memory alone")
        await asyncio.sleep(2)
        while_full = len(callers.answered) - full
        (inside / "filler").unlink()
        (inside / "more").unlink()
        await asyncio.sleep(1)
        await callers.stop()

        async def complete() -> bool:
            return sorted(await records(gateway.url)) == sorted(callers.answered)

        await until("every call is in the ledger once", complete)

        async def well() -> bool:
            return await notes(gateway.url) == []

        await until("nothing is amiss any more", well)
        page = (await ask("GET", gateway.url + "/metrics", key=ADMIN)).body.decode()
    finally:
        gateway.stop()
        simulator.stop()
    figure("answered on a full disk", while_full)
    figure("in the ledger afterwards", f"{len(callers.answered)} of {len(callers.answered)}")
    assert callers.statuses() == {200: len(callers.answered)}
    assert while_full > 50
    assert "gateway_ledger_lost_total 0" in page


async def test_a_spoilt_file_stops_no_call_and_what_came_meanwhile_is_kept_for_a_good_one(
    tmp_path: Path, figure: Figure
) -> None:
    simulator = start_simulator(tmp_path, free_port(), "first_token_ms=5")
    environ = {
        "OPENAI_API_KEY": "sk-x",
        "OPENAI_BASE_URL": f"{simulator.url}/v1",
        "ADMIN_KEY": ADMIN,
        "DATA_DIR": str(tmp_path / "data"),
        "CACHE_TTL": "0",
    }
    gateway = start_gateway(tmp_path, **environ)
    try:
        callers = Callers(gateway.url, await key_of(gateway.url), at_once=4)
        callers.start()
        await asyncio.sleep(1.5)
        for name in ("gateway.db", "gateway.db-wal"):
            path = tmp_path / "data" / name
            path.write_bytes(random.Random(1).randbytes(path.stat().st_size))

        async def noted() -> bool:
            return any(note.startswith("ledger:") for note in await notes(gateway.url))

        await until("/ready says that records wait", noted)
        # What SQLite took before it noticed is lost with its file.
        before = set(callers.answered)
        await asyncio.sleep(2)
        await callers.stop()
        said = [note for note in await notes(gateway.url) if note.startswith("ledger:")]
        assert (await ask("GET", gateway.url + "/admin/keys", key=ADMIN)).status == 503
        gateway.process.terminate()
        assert gateway.process.wait(15) == 0
        assert "Traceback" not in gateway.stderr()
        for path in (tmp_path / "data").glob("gateway.db*"):
            path.unlink()
        gateway = start_gateway(tmp_path, **environ)

        async def complete() -> bool:
            return set(callers.answered) - before <= set(await records(gateway.url))

        await until("every call since is in the new file", complete)
        kept = await records(gateway.url)
    finally:
        gateway.stop()
        simulator.stop()
    figure("answered on a spoilt file", len(callers.answered) - len(before))
    figure("`/ready` said", repr(said[0]))
    assert callers.statuses() == {200: len(callers.answered)}
    assert len(kept) == len(set(kept))
