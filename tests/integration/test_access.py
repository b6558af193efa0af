"""Keys in `gateway.yaml`, and when a key is needed at all."""

import asyncio
import json
from pathlib import Path

import pytest

from ai_gateway.access.keys import hash_of, new_key
from tests.integration.test_admin import ADMIN, ANSWER, ASKED, CHAT, admin, call, made
from tests.integration.test_process import run
from tests.serving import answers, ask, in_front_of, providing, serving

YAML = f"""
tenants:
  acme:
    policy:
      models: [gpt-*]
keys:
  by-reference:
    key: env:OWN_KEY
    tenant: acme
    user: anna
  by-hash:
    hash: sha256:{hash_of(b"any-old-key").hex()}
    role: viewer
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.yaml"
    path.write_text(YAML)
    return path


async def test_static_keys_close_the_gateway_and_work(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OWN_KEY", "own-secret")
    async with (
        providing(answers(ANSWER)) as provider,
        serving({**in_front_of(provider), "OWN_KEY": "own-secret"}, config) as running,
    ):
        assert await call(running) == 401
        assert await call(running, "wrong") == 401
        assert await call(running, "own-secret") == 200
        assert await call(running, "any-old-key") == 200
        assert await call(running, "own-secret", x_user_id="bert") == 403
        assert (await ask("GET", running.url + "/admin/keys", key="any-old-key")).status == 200
        got = await ask("GET", running.url + "/admin/tenants/acme", key="any-old-key")
        assert json.loads(got.body)["source"] == "gateway.yaml"


@pytest.mark.parametrize(
    ("environ", "without", "with_wrong"),
    [
        ({}, 200, 200),
        ({"ADMIN_KEY": ADMIN}, 401, 401),
        ({"ACCESS": "closed"}, 401, 401),
        ({"ACCESS": "open"}, 200, 200),
        ({"ACCESS": "until-keys"}, 200, 200),
        ({"ACCESS": "until-keys", "ADMIN_KEY": ADMIN}, 401, 401),
        ({"ACCESS": "open", "ADMIN_KEY": ADMIN}, 200, 401),
    ],
)
async def test_when_a_key_is_needed(environ: dict[str, str], without: int, with_wrong: int) -> None:
    async with (
        providing(answers(ANSWER)) as provider,
        serving({**in_front_of(provider), **environ}) as running,
    ):
        assert await call(running) == without
        assert await call(running, "sk-gw-" + "x" * 49) == with_wrong
        # What SDKs send where nobody cares.
        assert await call(running, "sk-anything") == without
        assert (await ask("GET", running.url + "/admin/keys")).status == 401


async def test_metrics_may_be_guarded() -> None:
    async with (
        providing(answers(ANSWER)) as provider,
        serving({**in_front_of(provider), "METRICS_KEY": "look", "ADMIN_KEY": ADMIN}) as running,
    ):
        for key, status in ((None, 401), ("wrong", 401), ("look", 200), (ADMIN, 200)):
            assert (await ask("GET", running.url + "/metrics", key=key)).status == status


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("team=search, feature=chat", 200),
        ("", 200),
        ("team", 400),
        ("=x", 400),
        (",".join(f"t{n}=1" for n in range(17)), 400),
        ("t=" + "x" * 200, 400),
    ],
)
async def test_tags_are_names_with_values(given: str, status: int) -> None:
    async with (
        providing(answers(ANSWER)) as provider,
        serving(in_front_of(provider)) as running,
    ):
        got = await ask("POST", running.url + CHAT, ASKED, x_gateway_tags=given)
        assert got.status == status
        if status == 400:
            assert json.loads(got.body)["error"]["param"] == "x-gateway-tags"


async def test_a_database_that_is_none_is_said_and_calls_need_a_key(tmp_path: Path) -> None:
    (tmp_path / "gateway.db").write_bytes(b"this is no database" * 1000)
    environ = {"DATA_DIR": str(tmp_path), "ADMIN_KEY": ADMIN}
    async with (
        providing(answers(ANSWER)) as provider,
        serving({**in_front_of(provider), **environ}) as running,
    ):
        assert await call(running) == 401
        assert await call(running, new_key()) == 503
        assert (await ask("GET", running.url + "/admin/keys", key=ADMIN)).status == 503
        ready = json.loads((await ask("GET", running.url + "/ready")).body)
        assert any("access" in note for note in ready["notes"])
    async with (
        providing(answers(ANSWER)) as provider,
        serving({**in_front_of(provider), "DATA_DIR": str(tmp_path)}) as running,
    ):
        # Whether there are keys cannot be said: then one is needed.
        assert await call(running) == 401


async def test_a_flood_of_unknown_keys_leaves_known_ones_and_revocation_alone(
    database: dict[str, str],
) -> None:
    async with (
        providing(answers(ANSWER)) as provider,
        serving({**in_front_of(provider), "ADMIN_KEY": ADMIN, **database}) as running,
    ):
        key, details = await made(running)
        assert await call(running, key) == 200

        async def guess() -> set[int]:
            return {await call(running, new_key()) for _ in range(15)}

        guessing = [asyncio.ensure_future(guess()) for _ in range(20)]
        await asyncio.sleep(0.2)
        assert await call(running, key) == 200
        await admin(running, "DELETE", f"/admin/keys/{details['id']}")
        assert await call(running, key) == 401
        answered = set[int]().union(*await asyncio.gather(*guessing))
        assert answered <= {401, 503}
        assert 401 in answered


@pytest.mark.parametrize(("mode", "without"), [("auto", 401), ("until-keys", 401), ("open", 200)])
async def test_the_first_key_counts_at_once_whoever_makes_it(
    mode: str, without: int, tmp_path: Path
) -> None:
    """As from a shell beside a gateway that runs: `ai-gateway keys create`."""
    environ = {"ACCESS": mode, "DATA_DIR": str(tmp_path)}
    async with (
        providing(answers(ANSWER)) as provider,
        serving({**in_front_of(provider), **environ}) as running,
    ):
        assert await call(running) == 200
        key = (await asyncio.to_thread(run, "keys", "create", "mine", **environ)).stdout.strip()
        wrong = "sk-gw-" + "x" * 49
        async with asyncio.timeout(5):
            while await call(running, wrong) != 401:
                await asyncio.sleep(0.05)
        assert await call(running, key) == 200
        assert await call(running) == without
        # Behind a name of its own, too: what guards it is the key now, and not the loopback.
        assert await call(running, key, host="gateway.example") == 200
        id = json.loads((await asyncio.to_thread(run, "keys", "list", **environ)).stdout)["id"]
        await asyncio.to_thread(run, "keys", "disable", id, **environ)
        async with asyncio.timeout(5):
            while await call(running, key) != 401:
                await asyncio.sleep(0.05)


async def test_a_budget_of_the_shells_refuses_when_it_is_spent(tmp_path: Path) -> None:
    environ = {"DATA_DIR": str(tmp_path)}
    async with (
        providing(answers(ANSWER)) as provider,
        serving({**in_front_of(provider), **environ}) as running,
    ):
        asked = ("keys", "create", "mine", "--budget", "0/day")
        key = (await asyncio.to_thread(run, *asked, **environ)).stdout.strip()
        async with asyncio.timeout(5):
            while await call(running) != 401:
                await asyncio.sleep(0.05)
        assert await call(running, key) == 429
