"""Tenants and keys by the admin API, and what calls may do with them."""

import asyncio
import json
from collections.abc import AsyncIterator
from time import perf_counter
from typing import Any

import pytest
import pytest_asyncio

from tests.postgresql import PostgreSQL
from tests.serving import Running, answers, ask, in_front_of, providing, serving

ADMIN = "admin-key-of-the-tests"
CHAT = "/v1/chat/completions"
ASKED = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
ANSWER = json.dumps(
    {
        "id": "c", "object": "chat.completion", "created": 1, "model": "gpt-4o",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }
).encode()  # fmt: skip


@pytest_asyncio.fixture
async def gateway(database: dict[str, str]) -> AsyncIterator[Running]:
    async with (
        providing(answers(ANSWER)) as provider,
        serving({**in_front_of(provider), "ADMIN_KEY": ADMIN, **database}) as running,
    ):
        yield running


async def admin(
    running: Running, method: str, path: str, body: object = None, key: str = ADMIN
) -> Any:
    got = await ask(method, running.url + path, body, key)
    assert got.status < 300, got.body
    return json.loads(got.body) if got.body else None


async def call(running: Running, key: str | None = None, **headers: str) -> int:
    return (await ask("POST", running.url + CHAT, ASKED, key, **headers)).status


async def made(running: Running, **fields: object) -> tuple[str, dict[str, Any]]:
    """A new key and its details."""
    issued = await admin(running, "POST", "/admin/keys", {"name": "test", **fields})
    return issued["key"], issued["details"]


async def test_with_an_admin_key_calls_need_a_key(gateway: Running) -> None:
    got = await ask("POST", gateway.url + CHAT, ASKED)
    assert got.status == 401
    assert json.loads(got.body)["error"]["code"] == "missing_api_key"
    got = await ask(
        "POST", gateway.url + "/v1/messages", {"model": "claude-sonnet-4-5"}, x_api_key="sk-gw-none"
    )
    assert got.status == 401
    assert json.loads(got.body)["error"]["type"] == "authentication_error"
    assert (await ask("GET", gateway.url + "/v1/models")).status == 401
    assert (await ask("GET", gateway.url + "/health")).status == 200
    assert (await ask("GET", gateway.url + "/ready")).status == 200
    # The admin key is for the admin API.
    assert await call(gateway, ADMIN) == 401


async def test_a_key_is_shown_once_and_works_under_both_headers(gateway: Running) -> None:
    key, details = await made(gateway)
    assert key.startswith("sk-gw-")
    assert await call(gateway, key) == 200
    assert await call(gateway, x_api_key=key) == 200
    assert (await ask("GET", gateway.url + "/v1/models", key=key)).status == 200
    shown = await admin(gateway, "GET", f"/admin/keys/{details['id']}")
    listed = await admin(gateway, "GET", "/admin/keys")
    assert listed == {"data": [shown], "next": None}
    assert key not in json.dumps(shown)
    assert details == shown


async def test_a_key_tried_before_it_was_made_is_good_once_it_is(gateway: Running) -> None:
    key, details = await made(gateway)
    await admin(gateway, "PATCH", f"/admin/keys/{details['id']}", {"disabled": True})
    assert await call(gateway, key) == 401
    await admin(gateway, "PATCH", f"/admin/keys/{details['id']}", {"disabled": False})
    assert await call(gateway, key) == 200


async def test_disabled_deleted_and_expired_keys_all_get_the_same_answer(gateway: Running) -> None:
    bodies: set[bytes] = set()
    for ending in ("disable", "delete", "expire", "tenant"):
        await ask("POST", gateway.url + "/admin/tenants", {"id": "ending"}, ADMIN)
        key, details = await made(gateway, tenant="ending")
        path = f"/admin/keys/{details['id']}"
        assert await call(gateway, key) == 200
        match ending:
            case "disable":
                await admin(gateway, "PATCH", path, {"disabled": True})
            case "delete":
                await admin(gateway, "DELETE", path)
            case "expire":
                await admin(gateway, "PATCH", path, {"expires_at": "2020-01-01T00:00:00Z"})
            case _:
                await admin(gateway, "PATCH", "/admin/tenants/ending", {"disabled": True})
        got = await ask("POST", gateway.url + CHAT, ASKED, key)
        assert got.status == 401, ending
        bodies.add(got.body)
    bodies.add((await ask("POST", gateway.url + CHAT, ASKED, "sk-gw-" + "x" * 49)).body)
    bodies.add((await ask("POST", gateway.url + CHAT, ASKED, "nonsense")).body)
    assert len(bodies) == 1


async def test_a_rotated_key_works_on_for_its_overlap(gateway: Running) -> None:
    first, details = await made(gateway)
    path = f"/admin/keys/{details['id']}/rotate"
    issued = await admin(gateway, "POST", path, {"overlap_seconds": 60})
    second = issued["key"]
    assert issued["details"]["id"] == details["id"]
    assert (await call(gateway, first), await call(gateway, second)) == (200, 200)
    third = (await admin(gateway, "POST", path, {"overlap_seconds": 0}))["key"]
    assert await call(gateway, third) == 200
    assert (await call(gateway, first), await call(gateway, second)) == (401, 401)


async def test_a_key_of_one_user_may_not_name_another(gateway: Running) -> None:
    key, _ = await made(gateway, user="anna")
    assert await call(gateway, key) == 200
    assert await call(gateway, key, x_user_id="anna") == 200
    assert await call(gateway, key, x_user_id="bert") == 403


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, None),
        ({"name": ""}, "name"),
        ({"name": "x", "odd": 1}, None),
        ({"name": "x", "role": "root"}, "role"),
        ({"name": "x", "tenant": "../etc"}, "tenant"),
        ({"name": "x", "policy": {"limits": [{"per": "nobody"}]}}, "policy.limits[0].per"),
        ({"name": "x", "tags": ["no-value"]}, "tags[0]"),
        ({"name": "x", "expires_at": "2030-01-01T00:00:00"}, "expires_at"),
        ({"name": "x", "expires_at": "2030-01-01T00:00:00Z", "expires_in": 5}, "expires_in"),
    ],
)
async def test_what_is_wrong_with_a_new_key_is_named(
    gateway: Running, body: object, field: str | None
) -> None:
    got = await ask("POST", gateway.url + "/admin/keys", body, ADMIN)
    assert got.status == 400
    assert json.loads(got.body)["error"]["param"] == field


async def test_tenants_are_made_changed_and_deleted(gateway: Running) -> None:
    new = {"id": "acme", "title": "Acme", "policy": {"models": ["gpt-*"]}}
    tenant = await admin(gateway, "POST", "/admin/tenants", new)
    assert tenant["policy"]["models"] == ["gpt-*"]
    assert (await ask("POST", gateway.url + "/admin/tenants", new, ADMIN)).status == 409
    key, details = await made(gateway, tenant="acme")
    models = json.loads((await ask("GET", gateway.url + "/v1/models", key=key)).body)["data"]
    assert models
    assert all("/gpt-" in model["id"] or model["id"] == "auto" for model in models)
    assert (await ask("DELETE", gateway.url + "/admin/tenants/acme", key=ADMIN)).status == 409
    await admin(gateway, "DELETE", f"/admin/keys/{details['id']}")
    await admin(gateway, "DELETE", "/admin/tenants/acme")
    assert (await ask("GET", gateway.url + "/admin/tenants/acme", key=ADMIN)).status == 404
    got = await ask("POST", gateway.url + "/admin/keys", {"name": "x", "tenant": "acme"}, ADMIN)
    assert got.status == 404


async def test_the_admin_api_is_for_those_with_a_role(gateway: Running) -> None:
    path = gateway.url + "/admin/keys"
    key, _ = await made(gateway)
    viewer, _ = await made(gateway, role="viewer")
    assert (await ask("GET", path)).status == 401
    assert (await ask("GET", path, key="wrong")).status == 401
    assert (await ask("GET", path, key=key)).status == 403
    assert (await ask("GET", path, key=viewer)).status == 200
    assert (await ask("POST", path, {"name": "x"}, viewer)).status == 403
    got = await ask("PUT", path, {"name": "x"}, ADMIN)
    assert (got.status, got.headers["allow"]) == (405, "GET, POST")
    assert (await ask("PUT", path, {"name": "x"})).status == 401
    assert (await ask("POST", path, key=ADMIN)).status == 415


async def test_a_page_ends_with_where_the_next_begins(gateway: Running) -> None:
    ids = sorted([(await made(gateway))[1]["id"] for _ in range(5)])
    seen: list[str] = []
    after = ""
    while after is not None:
        page = await admin(gateway, "GET", f"/admin/keys?limit=2&after={after}")
        seen += [key["id"] for key in page["data"]]
        after = page["next"]
    assert seen == ids


async def test_every_change_is_on_record_with_who_made_it_and_no_key(gateway: Running) -> None:
    await admin(gateway, "POST", "/admin/tenants", {"id": "acme"})
    key, details = await made(gateway, tenant="acme", role="tenant-admin")
    path = f"/admin/keys/{details['id']}"
    await admin(gateway, "PATCH", path, {"policy": {"models": ["gpt-*"]}}, key)
    issued = await admin(gateway, "POST", path + "/rotate", {}, key)
    await admin(gateway, "DELETE", path)
    page = await admin(gateway, "GET", "/admin/actions?tenant=acme")
    assert [(a["actor"], a["action"], a["target"]) for a in page["data"]] == [
        ("admin", "delete key", details["id"]),
        (details["id"], "rotate key", details["id"]),
        (details["id"], "change key", details["id"]),
        ("admin", "create key", details["id"]),
        ("admin", "create tenant", "acme"),
    ]
    detail = page["data"][2]["detail"]
    assert detail["before"] == {"policy": {}}
    assert detail["after"]["policy"] == {"models": ["gpt-*"]}
    text = json.dumps(page)
    assert key not in text
    assert issued["key"] not in text
    first = await admin(gateway, "GET", "/admin/actions?limit=2")
    second = await admin(gateway, "GET", f"/admin/actions?limit=3&before={first['next']}")
    assert first["data"] + second["data"] == page["data"]


@pytest.mark.timing
async def test_a_revoked_key_stops_working_on_every_replica_within_a_second(
    postgresql: PostgreSQL,
) -> None:
    environ = {"ADMIN_KEY": ADMIN, "DATABASE_URL": postgresql.fresh()}
    async with (
        providing(answers(ANSWER)) as provider,
        serving({**in_front_of(provider), **environ}) as one,
        serving({**in_front_of(provider), **environ}) as two,
    ):
        for _ in range(3):
            key, details = await made(one)
            assert (await call(one, key), await call(two, key)) == (200, 200)
            await admin(one, "DELETE", f"/admin/keys/{details['id']}")
            assert await call(one, key) == 401
            revoked = perf_counter()
            while await call(two, key) == 200:
                assert perf_counter() - revoked < 1
                await asyncio.sleep(0.01)
        # A key that a replica knows as wrong is good there once it is made good.
        key, details = await made(one)
        path = f"/admin/keys/{details['id']}"
        await admin(one, "PATCH", path, {"disabled": True})
        await asyncio.sleep(0.5)
        assert await call(two, key) == 401
        await admin(one, "PATCH", path, {"disabled": False})
        enabled = perf_counter()
        while await call(two, key) == 401:
            assert perf_counter() - enabled < 1
            await asyncio.sleep(0.01)
