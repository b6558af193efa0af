"""What administrators do is on record, whichever way they do it: who, what, before and after."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from msgspec import Struct

from tests.integration.test_admin import ADMIN, ANSWER, CHAT, admin, call, made
from tests.postgresql import own_postgresql
from tests.serving import Running, answers, ask, in_front_of, providing, serving

CONFIG = """
providers:
  openai:
    base_url: {url}
    key: env:THE_KEY
routes:
  tried:
    targets: [{{model: openai/gpt-4o}}]
    experiment: {{name: short, variants: [{{name: one}}, {{name: two}}]}}
{more}
"""


class Done(Struct, frozen=True):
    """A mutating route as it is used, and the act that must come of it."""

    path: str
    body: object
    action: str
    before: object = ...
    after: object = ...


async def uses(running: Running) -> Mapping[tuple[str, str], Done]:
    """Each by its method and path; what they are about is made first."""
    await admin(running, "POST", "/admin/tenants", {"id": "there"})
    _, key = await made(running, tenant="there")
    _, gone = await made(running)
    cached = (await ask("POST", running.url + CHAT, question("forget me"))).headers
    own = {"targets": [{"model": "openai/gpt-4o-mini"}]}
    return {
        ("POST", "/admin/keys"): Done("/admin/keys", {"name": "new"}, "create key"),
        ("PATCH", "/admin/keys/{id}"): Done(
            f"/admin/keys/{key['id']}", {"name": "other"}, "change key",
            {"name": "test"}, {"name": "other"},
        ),
        ("POST", "/admin/keys/{id}/rotate"): Done(
            f"/admin/keys/{key['id']}/rotate", {"overlap_seconds": 0}, "rotate key"
        ),
        ("DELETE", "/admin/keys/{id}"): Done(f"/admin/keys/{gone['id']}", None, "delete key"),
        ("POST", "/admin/tenants"): Done("/admin/tenants", {"id": "new"}, "create tenant"),
        ("PATCH", "/admin/tenants/{id}"): Done(
            "/admin/tenants/there", {"disabled": True}, "change tenant",
            {"disabled": False}, {"disabled": True},
        ),
        ("DELETE", "/admin/tenants/{id}"): Done("/admin/tenants/new", None, "delete tenant"),
        ("DELETE", "/admin/cache"): Done("/admin/cache?model=nothing", None, "purge cache"),
        ("DELETE", "/admin/cache/{key}"): Done(
            f"/admin/cache/{cached['x-gateway-cache-key']}", None, "forget answer"
        ),
        ("PUT", "/admin/routes/{name}"): Done(
            "/admin/routes/mine", own, "put route", None
        ),
        ("DELETE", "/admin/routes/{name}"): Done("/admin/routes/mine", None, "delete route"),
        ("POST", "/admin/experiments/{route}/stop"): Done(
            "/admin/experiments/tried/stop", {"reason": "dear"}, "stop experiment",
            {"stopped": None}, {"stopped": "dear"},
        ),
        ("POST", "/admin/experiments/{route}/start"): Done(
            "/admin/experiments/tried/start", None, "start experiment",
            {"stopped": "dear"}, {"stopped": None},
        ),
        ("PUT", "/admin/breakers/{provider}/{model}"): Done(
            "/admin/breakers/openai/gpt-4o", {"state": "open"}, "force breaker",
            {"forced": None}, {"forced": "open"},
        ),
        ("POST", "/admin/audit/verify"): Done("/admin/audit/verify", None, "verify audit"),
    }  # fmt: skip


CHANGES_NOTHING = {("POST", "/admin/routes/explain")}


def question(content: str) -> dict[str, object]:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": content}]}


async def acts(running: Running, action: str, count: int = 1) -> list[dict[str, Any]]:
    """Newest first, once there are so many."""
    deadline = monotonic() + 8
    while True:
        page = await admin(running, "GET", "/admin/actions?limit=1000")
        found = [act for act in page["data"] if act["action"] == action]
        if len(found) >= count or monotonic() > deadline:
            return found
        await asyncio.sleep(0.05)


async def test_every_route_that_changes_something_leaves_an_act(
    database: dict[str, str], tmp_path: Path
) -> None:
    config = tmp_path / "gateway.yaml"
    async with providing(answers(ANSWER)) as provider:
        config.write_text(CONFIG.format(url=provider.url, more=""))
        environ = {"ADMIN_KEY": ADMIN, "ACCESS": "open", "CACHE_TTL": "5", "THE_KEY": "sk-canary"}
        async with serving({**environ, **database}, config) as running:
            done = await uses(running)
            issued: list[str] = []
            assert await mutating(running) == set(done) | CHANGES_NOTHING
            for (method, _), use in done.items():
                before = len(await acts(running, use.action, 0))
                got = await admin(running, method, use.path, use.body)
                issued += [got["key"]] if isinstance(got, dict) and "key" in got else []
                found = await acts(running, use.action, before + 1)
                assert len(found) == before + 1, use
                assert found[0]["actor"] == "admin"
                detail = found[0]["detail"] or {}
                if use.before is not ...:
                    assert detail["before"] == use.before, use
                if use.after is not ...:
                    assert detail["after"] == use.after, use
            page = json.dumps(await admin(running, "GET", "/admin/actions?limit=1000"))
            report = await admin(running, "POST", "/admin/audit/verify")
    assert len(issued) == 2
    assert [key for key in issued if key in page] == []
    assert "canary" not in page
    assert report["untouched"], report


async def mutating(running: Running) -> set[tuple[str, str]]:
    """Of the whole table of admin routes, as its document has it."""
    document = json.loads((await ask("GET", running.url + "/openapi.json")).body)
    found: set[tuple[str, str]] = set()
    for path, methods in document["paths"].items():
        if path.startswith("/admin"):
            found |= {(m.upper(), path) for m in methods if m.upper() != "GET"}
    return found


async def test_a_configuration_swapped_is_an_act_that_says_what_changed(tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    keys = 'keys:\n  caller: {key: "env:CALLER"}\ntenants:\n  acme: {title: Acme}\n'
    async with providing(answers(ANSWER)) as provider:
        config.write_text(CONFIG.format(url=provider.url, more=""))
        environ = {"ADMIN_KEY": ADMIN, "THE_KEY": "sk-canary", "CALLER": "caller-canary"}
        async with serving({**environ, "DATA_DIR": str(tmp_path)}, config) as running:
            elsewhere = provider.url.replace("/v1", "/v2")
            config.write_text(CONFIG.format(url=elsewhere, more=keys + "max_in_flight: 7\n"))
            (act,) = await acts(running, "swap config")
            config.write_text("providers: nonsense")
            await asyncio.sleep(2.5)
            assert len(await acts(running, "swap config")) == 1
            config.write_text(CONFIG.format(url=provider.url, more=""))
            assert len(await acts(running, "swap config", 2)) == 2
            assert running.gateway.reload()
            last = (await acts(running, "swap config", 3))[0]
    assert (act["actor"], act["target"]) == ("file", "gateway.yaml")
    before, after = act["detail"]["before"], act["detail"]["after"]
    assert before["keys"] == {"caller": None}
    assert after["keys"]["caller"]["key"] == "env:CALLER"
    assert (before["tenants"], after["tenants"]["acme"]["title"]) == ({"acme": None}, "Acme")
    assert set(after) == {"keys", "tenants", "providers"}
    assert before["providers"]["openai"]["base_url"].endswith("/v1")
    assert after["providers"]["openai"]["base_url"].endswith("/v2")
    assert act["detail"]["at_the_next_start"] == ["max_in_flight"]
    assert "canary" not in json.dumps(act)
    assert (last["actor"], last["detail"]["before"]) == ("SIGHUP", {})


async def test_acts_that_need_no_database_go_on_without_it_and_are_on_record_once_it_is_back(
    tmp_path: Path,
) -> None:
    with own_postgresql() as server:
        environ = {"ADMIN_KEY": ADMIN, "DATABASE_URL": server.url(), "DATA_DIR": str(tmp_path)}
        async with (
            providing(answers(ANSWER)) as provider,
            serving({**in_front_of(provider), **environ}) as running,
        ):
            key, _ = await made(running)
            assert await call(running, key) == 200
            path = "/admin/breakers/openai/gpt-4o"
            with server.down():
                for state in ("open", "closed"):
                    await admin(running, "PUT", path, {"state": state})
                await asyncio.sleep(0.5)
                ready = json.loads((await ask("GET", running.url + "/ready")).body)
                assert any("2 wait for the database" in note for note in ready["notes"])
            found = await acts_later(running, "force breaker", 2)
    assert [act["detail"]["after"]["forced"] for act in found] == ["closed", "open"]


async def acts_later(running: Running, action: str, count: int) -> list[dict[str, Any]]:
    """While the database may be away yet."""
    for _ in range(200):
        got = await ask("GET", running.url + "/admin/actions", key=ADMIN)
        page = json.loads(got.body) if got.status == 200 else {"data": []}
        found = [act for act in page["data"] if act["action"] == action]
        if len(found) >= count:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError("the acts did not come")
