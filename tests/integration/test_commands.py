"""Keys and migrations from the shell."""

import asyncio
import json
from pathlib import Path

import pytest

from ai_gateway.storage.migrate import newest
from tests.integration.test_admin import ANSWER, call
from tests.integration.test_process import run
from tests.postgresql import PostgreSQL
from tests.serving import answers, in_front_of, providing, serving


async def test_keys_made_in_the_shell_work_and_stop_working(
    database: dict[str, str], tmp_path: Path
) -> None:
    environ = {"DATA_DIR": str(tmp_path), **database}
    assert run("tenants", "create", "acme", **environ).returncode == 0
    made = run("keys", "create", "search", "--tenant", "acme", "--expires-in", "90d", **environ)
    key = made.stdout.strip()
    assert key.startswith("sk-gw-")
    listed = json.loads(run("keys", "list", "--tenant", "acme", **environ).stdout)
    assert (listed["name"], listed["tenant"]) == ("search", "acme")
    assert key not in made.stderr
    async with (
        providing(answers(ANSWER)) as provider,
        serving({**in_front_of(provider), **environ}) as running,
    ):
        # There is a key, so a key is needed.
        assert await call(running) == 401
        assert await call(running, key) == 200
        done = await asyncio.to_thread(run, "keys", "disable", listed["id"], **environ)
        assert json.loads(done.stdout)["disabled"] is True
        await asyncio.sleep(1)
        assert await call(running, key) == 401
        await asyncio.to_thread(run, "keys", "enable", listed["id"], **environ)
        rotated = await asyncio.to_thread(run, "keys", "rotate", listed["id"], **environ)
        await asyncio.sleep(1)
        assert await call(running, key) == 200
        assert await call(running, rotated.stdout.strip()) == 200
        await asyncio.to_thread(run, "keys", "delete", listed["id"], **environ)
        await asyncio.sleep(1)
        assert await call(running, rotated.stdout.strip()) == 401


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("keys", "show", "key_none"), 1, "there is no key"),
        (("keys", "create", "x", "--tenant", "nobody"), 1, "no tenant"),
        (("keys", "create", "x", "--tag", "novalue"), 2, "tags"),
        (("keys", "create", "x", "--expires-in", "soon"), 2, "write it like 90d"),
        (("keys", "create", "x", "--policy", "{"), 2, "JSON"),
        (("keys", "create", "x", "--budget", "10"), 2, "10/month"),
        (("keys", "create", "x", "--budget", "-1/day"), 2, "10/month"),
        (("keys", "create", "x", "--budget", "1/fortnight"), 2, "10/month"),
    ],
)
def test_what_is_wrong_is_said(
    arguments: tuple[str, ...], status: int, said: str, tmp_path: Path
) -> None:
    done = run(*arguments, DATA_DIR=str(tmp_path))
    assert done.returncode == status
    assert said in done.stderr
    assert done.stdout == ""


def test_a_database_that_is_away_is_said(tmp_path: Path) -> None:
    away = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x", "DATA_DIR": str(tmp_path)}
    for arguments in (("migrate",), ("keys", "list")):
        done = run(*arguments, **away)
        assert (done.returncode, "cannot be reached" in done.stderr) == (3, True)


def test_migrations_of_many_at_once_wait_for_each_other(
    postgresql: PostgreSQL, tmp_path: Path
) -> None:
    import os
    import subprocess
    import sys

    url = postgresql.fresh()
    root = Path(__file__).parents[2]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "ai_gateway", "migrate"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(root / "src"), "DATABASE_URL": url},
            cwd=tmp_path,
        )
        for _ in range(4)
    ]
    said = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0] * 4, said
    assert {out for out, _ in said} == {f"the database is at revision {newest()}\n".encode()}


def test_a_hash_for_gateway_yaml() -> None:
    import hashlib
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "ai_gateway", "keys", "hash"],
        input=b"my-own-key\n",
        capture_output=True,
        env={"PYTHONPATH": str(Path(__file__).parents[2] / "src")},
    )
    assert done.stdout.decode() == f"sha256:{hashlib.sha256(b'my-own-key').hexdigest()}\n"
