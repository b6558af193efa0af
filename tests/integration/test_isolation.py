"""What is another tenant's does not exist: every endpoint of the admin API, and usage."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from time import perf_counter
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio
from msgspec import Struct

from ai_gateway.access.keys import new_key
from tests.figures import Figure
from tests.integration.test_admin import ADMIN, ANSWER, ASKED, CHAT, admin, made
from tests.integration.test_ledger import settled, usage
from tests.serving import Running, answers, ask, in_front_of, providing, serving

BODIES: dict[tuple[str, str], object] = {
    ("PATCH", "/admin/keys/{id}"): {"name": "taken over"},
    ("POST", "/admin/keys/{id}/rotate"): {},
    ("POST", "/admin/keys"): {"name": "foreign", "tenant": "acme"},
    ("PATCH", "/admin/tenants/{id}"): {"disabled": True},
    ("POST", "/admin/tenants"): {"id": "third"},
}
"""What is sent to each endpoint that takes a body."""


ITS_OWN = {("DELETE", "/admin/cache")}
"""Changes that name nothing, and concern whatever tenant the one who asks is of."""


ENDLESS = {"/admin/calls/live", "/admin/usage/live"}
"""Streams that do not end by themselves; the tests of live calls and sums read them."""


class Two(Struct):
    """Two tenants: `acme` has been at work, `other` looks for it."""

    running: Running
    acme_key: str
    acme_ids: dict[str, str]
    """What `{id}` is, by the noun of the path."""
    other_admin: str
    other_key: str


@pytest_asyncio.fixture
async def two(database: dict[str, str]) -> AsyncIterator[Two]:
    async with (
        providing(answers(ANSWER)) as provider,
        serving(
            {**in_front_of(provider), "ADMIN_KEY": ADMIN, "AUDIT": "full", **database}
        ) as running,
    ):
        for tenant in ("acme", "other"):
            await admin(running, "POST", "/admin/tenants", {"id": tenant})
        acme_key, acme = await made(running, tenant="acme", name="acme-canary", user="acme-user")
        other_admin, _ = await made(running, tenant="other", role="tenant-admin")
        other_key, _ = await made(running, tenant="other")
        assert (await ask("POST", running.url + CHAT, ASKED, acme_key)).status == 200
        record = (await settled(running, 1))[0]
        ids = {"keys": acme["id"], "tenants": "acme", "calls": record["id"], "audit": record["id"]}
        ids["cache"] = "gw:{acme}:cache:0"
        yield Two(running, acme_key, ids, other_admin, other_key)


async def operations(running: Running) -> list[tuple[str, str, dict[str, Any]]]:
    described = json.loads((await ask("GET", running.url + "/openapi.json")).body)
    return [
        (method.upper(), path, operation)
        for path, methods in described["paths"].items()
        if path.startswith("/admin/")
        for method, operation in methods.items()
    ]


def concrete(two: Two, path: str) -> str:
    """The path with acme's id in it. Fails for a noun that this table does not know yet."""
    if "{" not in path:
        return path
    id = quote(two.acme_ids[path.split("/")[2]], safe="")
    return re.sub(r"\{\w+\}", lambda _: id, path)


async def test_another_tenants_anything_is_not_there(two: Two, figure: Figure) -> None:
    tried = 0
    for method, path, operation in await operations(two.running):
        if path in ENDLESS:
            continue
        if "tenant-admin" not in operation["description"]:
            got = await ask(
                method, two.running.url + path.replace("{", "").replace("}", ""),
                BODIES.get((method, path), {}), two.other_admin,
            )  # fmt: skip
            assert got.status == 403, (method, path)
            continue
        url = two.running.url + concrete(two, path)
        body = BODIES.get((method, path), {} if method in ("POST", "PUT", "PATCH") else None)
        got = await ask(method, url, body, two.other_admin)
        if "{" in path or (method != "GET" and (method, path) not in ITS_OWN):
            assert got.status in (403, 404), (method, path, got.body)
        else:
            assert got.status == 200, (method, path, got.body)
        echoed = two.acme_ids.get(path.split("/")[2], "").encode()
        assert b"acme" not in got.body.replace(echoed, b"").replace(b"'acme'", b""), (method, path)
        if any(p["name"] == "tenant" for p in operation["parameters"]):
            got = await ask(method, url + "?tenant=acme", None, two.other_admin)
            assert got.status == 404, (method, path)
        tried += 1
    figure("endpoints tried", tried)
    assert tried >= 11
    # Nothing came of all that.
    assert (await ask("POST", two.running.url + CHAT, ASKED, two.acme_key)).status == 200
    shown = await admin(two.running, "GET", f"/admin/keys/{two.acme_ids['keys']}")
    assert shown["name"] == "acme-canary"


async def test_what_comes_in_live_is_told_to_its_own_tenant_alone(two: Two) -> None:
    told: dict[str, list[Any]] = {path: [] for path in ENDLESS}

    async def listen(path: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", two.running.port)
        key = f"authorization: Bearer {two.other_admin}"
        writer.write(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n{key}\r\n\r\n".encode())
        try:
            while line := await reader.readline():
                if line.startswith(b"data: "):
                    told[path].append(json.loads(line[6:]))
        finally:
            writer.close()

    listening = [asyncio.create_task(listen(path)) for path in ENDLESS]
    await asyncio.sleep(3)
    for key in (two.acme_key, two.acme_key, two.acme_key, two.other_key):
        assert (await ask("POST", two.running.url + CHAT, ASKED, key)).status == 200
    for _ in range(100):
        await asyncio.sleep(0.1)
        calls = [one for event in told["/admin/calls/live"] for one in event]
        requests = sum(event["requests"] for event in told["/admin/usage/live"])
        if calls and requests:
            break
        for task in listening:
            assert not task.done(), task.exception()
    for task in listening:
        task.cancel()
    await asyncio.wait(listening)
    assert [one["tenant"] for one in calls] == ["other"]
    assert requests == 1


async def test_what_is_another_tenants_and_what_is_nobodys_look_the_same(two: Two) -> None:
    for path in ("/admin/keys/{id}", "/admin/tenants/{id}", "/admin/calls/{id}"):
        theirs = concrete(two, path)
        nobodys = theirs[:-2] + "zz"
        got = await ask("GET", two.running.url + theirs, key=two.other_admin)
        nothing = await ask("GET", two.running.url + nobodys, key=two.other_admin)
        assert (got.status, nothing.status) == (404, 404)
        assert got.body.replace(theirs.rsplit("/", 1)[1].encode(), b"") == nothing.body.replace(
            nobodys.rsplit("/", 1)[1].encode(), b""
        )


async def test_usage_of_another_tenant_cannot_be_asked_for(two: Two) -> None:
    for query in ("", "?scope=tenant", "?scope=user"):
        # Even for a user of the same name.
        report = await usage(two.running, two.other_key, query, x_user_id="acme-user")
        assert report["total"]["requests"] == 0
        assert report["tenant"] == "other"
    got = await ask("GET", two.running.url + "/v1/usage?tenant=acme", key=two.other_key)
    assert got.status == 400


async def test_every_admin_endpoint_refuses_who_has_no_role_and_every_method(two: Two) -> None:
    for method, path, _ in await operations(two.running):
        url = (
            two.running.url + concrete(two, path)
            if path.split("/")[2] in two.acme_ids
            else two.running.url + path
        )
        body = BODIES.get((method, path), {})
        assert (await ask(method, url, body)).status == 401, (method, path)
        assert (await ask(method, url, body, "sk-gw-none")).status == 401, (method, path)
        assert (await ask(method, url, body, two.acme_key)).status == 403, (method, path)
        assert (await ask(method, url, body, ADMIN + "x")).status == 401, (method, path)


async def test_a_tenant_admin_cannot_make_itself_more(two: Two) -> None:
    url = two.running.url + "/admin/keys"
    for body in (
        {"name": "x", "role": "admin"},
        {"name": "x", "role": "viewer"},
        {"name": "x", "policy": {"priority": 9}},
        {"name": "x", "policy": {"cache": {"scope": "shared"}}},
    ):
        assert (await ask("POST", url, body, two.other_admin)).status == 403, body
    issued = json.loads((await ask("POST", url, {"name": "x"}, two.other_admin)).body)
    assert issued["details"]["tenant"] == "other"
    id = issued["details"]["id"]
    got = await ask("PATCH", f"{url}/{id}", {"policy": {"priority": 9}}, two.other_admin)
    assert got.status == 403
    assert (await ask("PATCH", f"{url}/{id}", {"tenant": "acme"}, two.other_admin)).status == 400


@pytest.mark.timing
async def test_guessing_keys_tells_nothing(two: Two) -> None:
    """Keys that look right, all unknown: one answer, and no quicker or slower one."""
    shown: set[bytes] = set()
    times: dict[str, list[float]] = {"unknown": [], "revoked": []}
    revoked, details = await made(two.running, tenant="other")
    await admin(two.running, "DELETE", f"/admin/keys/{details['id']}")
    for _ in range(60):
        for kind, key in (("unknown", new_key()), ("revoked", revoked)):
            started = perf_counter()
            got = await ask("POST", two.running.url + CHAT, ASKED, key)
            times[kind].append(perf_counter() - started)
            assert got.status == 401
            shown.add(got.body)
    assert len(shown) == 1
    middle = {kind: sorted(taken)[len(taken) // 2] for kind, taken in times.items()}
    # An unknown key costs a look-up, a revoked one is remembered as wrong: that difference says only
    # which keys were tried before. Both stay within a few milliseconds.
    assert abs(middle["unknown"] - middle["revoked"]) < 0.02
    assert (await ask("POST", two.running.url + CHAT, ASKED, two.acme_key)).status == 200


async def test_live_calls_are_those_of_ones_own_tenant(two: Two) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", two.running.port)
    key = two.other_admin.encode()
    writer.write(
        b"GET /admin/calls/live HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer "
        + key + b"\r\n\r\n"
    )  # fmt: skip
    assert b" 200 " in await reader.readuntil(b": begun\n\n")
    await asyncio.sleep(1.1)
    for key_of in (two.acme_key, two.other_key):
        assert (await ask("POST", two.running.url + CHAT, ASKED, key_of)).status == 200
    seen = b""
    async with asyncio.timeout(10):
        while b'"tenant":"other"' not in seen:
            seen += await reader.read(65536)
    writer.close()
    assert b"acme" not in seen
