"""The audit end to end, on SQLite and PostgreSQL: kept, found, verified, and never in the way."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ai_gateway.audit.jsonl import files_in, verify_file
from ai_gateway.cli import main
from ai_gateway.model.audit import AuditRecord
from tests.clients.conftest import start_gateway
from tests.integration.test_account import ANSWER, ASKED, CHAT
from tests.integration.test_traces import PIECES, TRACE_ID
from tests.otlp import receiving_http
from tests.serving import Running, answers, get, in_front_of, post, providing, serving, streams

ADMIN = {"authorization": "Bearer admin-canary"}
SECRET = "sk-abcdefghijklmnop1234"


def settings(database: Mapping[str, str], level: str = "full", **more: str) -> dict[str, str]:
    return {
        **database,
        "ADMIN_KEY": "admin-canary",
        "ACCESS": "open",
        "AUDIT": level,
        **more,
    }


async def fetch(running: Running, path: str) -> Any:
    got = await get(running.url + path, ADMIN)
    assert got.status == 200, got.body
    return json.loads(got.body)


async def audited(running: Running, count: int, query: str = "") -> list[dict[str, Any]]:
    """Newest first, once there are so many."""
    deadline = time.monotonic() + 10
    while True:
        data = (await fetch(running, f"/admin/audit{query}"))["data"]
        if len(data) >= count or time.monotonic() > deadline:
            return data
        await asyncio.sleep(0.05)


async def test_a_call_is_kept_whole_and_joins_log_ledger_and_headers(
    database: dict[str, str],
) -> None:
    async with (
        providing(answers(ANSWER)) as provider,
        serving(in_front_of(provider) | settings(database)) as running,
    ):
        parent = {"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01"}
        got = await post(
            running.url + CHAT, ASKED, {"x-request-id": "story-1", "x-user-id": "anna", **parent}
        )
        (kept,) = await audited(running, 1)
        one = await fetch(running, f"/admin/audit/{kept['id']}")
    assert got.headers["x-gateway-call-id"] == kept["id"]
    assert kept["request_id"] == "story-1"
    assert kept["trace_id"] == TRACE_ID
    assert (kept["user"], kept["provider"], kept["status"]) == ("anna", "openai", 200)
    assert kept["request"] == ASKED.decode()
    assert kept["response"] == ANSWER.decode()
    assert kept["cost_pico"] == 3_500_000_000
    assert one == kept
    assert set(kept) == {*AuditRecord.__struct_fields__, "chain", "seq", "hash"}


async def test_streams_are_assembled_and_secrets_redacted(database: dict[str, str]) -> None:
    async with (
        providing(streams(*PIECES)) as provider,
        serving(in_front_of(provider) | settings(database)) as running,
    ):
        body = ASKED[:-1].replace(b"canary-prompt", SECRET.encode()) + b',"stream":true}'
        await post(running.url + CHAT, body)
        (kept,) = await audited(running, 1)
    answer = json.loads(kept["response"])
    assert answer["choices"][0]["message"]["content"] == "canary-answer"
    assert SECRET not in kept["request"]
    assert json.loads(kept["redacted"]) == {"secret": 1}


@pytest.mark.parametrize(
    ("level", "key", "records", "bodies"),
    [("off", None, 0, False), ("metadata", None, 1, False), ("full", None, 1, True),
     ("off", "full", 1, True), ("full", "off", 0, False), ("full", "metadata", 1, False)],
)  # fmt: skip
async def test_a_keys_policy_counts_before_the_gateways(
    tmp_path: Path, level: str, key: str | None, records: int, bodies: bool
) -> None:
    database = {"DATA_DIR": str(tmp_path)}
    async with (
        providing(answers(ANSWER)) as provider,
        serving(in_front_of(provider) | settings(database, level, ACCESS="closed")) as running,
    ):
        policy = {} if key is None else {"audit": key}
        made = await post(
            running.url + "/admin/keys", json.dumps({"name": "k", "policy": policy}).encode(), ADMIN
        )
        bearer = {"authorization": f"Bearer {json.loads(made.body)['key']}"}
        assert (await post(running.url + CHAT, ASKED, bearer)).status == 200
        if not records:
            await asyncio.sleep(0.6)
        data = await audited(running, records)
    assert len(data) == records
    assert all((record["request"] is not None) == bodies for record in data)


async def test_what_was_kept_is_found_by_its_words_and_fields(database: dict[str, str]) -> None:
    async with (
        providing(answers(ANSWER)) as provider,
        serving(in_front_of(provider) | settings(database)) as running,
    ):
        for user, word in (("anna", "zebra crossing"), ("ben", "giraffe"), ("ben", 'quo"te AND')):
            body = json.dumps(
                {"model": "gpt-4o", "messages": [{"role": "user", "content": word}]}
            ).encode()
            await post(running.url + CHAT, body, {"x-user-id": user})
        await post(running.url + CHAT, b'{"model":"gpt-4o"}', {"x-user-id": "ben"})
        await audited(running, 4)
        for query, count in (
            ("?text=zebra", 1),
            ("?text=crossing%20zebra", 1),
            ("?text=zebra%20giraffe", 0),
            ("?text=%22quo%22", 1),
            ("?text=AND", 1),
            ("?text=canary", 3),
            ("?user=ben", 3),
            ("?status=400", 1),
            ("?error=invalid_request", 1),
            ("?model=gpt-4o&user=anna", 1),
            ("?tenant=default", 4),
            ("?tenant=other", 0),
            ("?start=2020-01-01T00:00:00Z&end=2021-01-01T00:00:00Z", 0),
            ("?start=2020-01-01T00:00:00Z", 4),
            ("?text=%27%29%3B%20DROP%20TABLE%20audit%3B--", 0),
        ):
            found = await fetch(running, f"/admin/audit{query}")
            assert len(found["data"]) == count, query
        first = await fetch(running, "/admin/audit?limit=3")
        rest = await fetch(running, f"/admin/audit?limit=3&before={first['next']}")
        assert (len(first["data"]), len(rest["data"]), rest["next"]) == (3, 1, None)
        exported = await get(running.url + "/admin/audit/export?user=ben", ADMIN)
        lines = [json.loads(line) for line in exported.body.splitlines()]
        assert [line["user"] for line in lines] == ["ben"] * 3
        acts = await fetch(running, "/admin/actions")
        assert {"search audit", "export audit"} <= {act["action"] for act in acts["data"]}
        assert not any("zebra" in act["detail"] for act in acts["data"])


def tamper(database: Mapping[str, str], postgresql: Any, statement: str) -> None:
    if "DATABASE_URL" not in database:
        connection = sqlite3.connect(f"{database['DATA_DIR']}/gateway.db")
        with connection:
            connection.execute(statement)
        connection.close()
    else:
        name = database["DATABASE_URL"].split("?")[0].rsplit("/", 1)[1]
        postgresql.sql(statement, name)


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        (None, None),
        ("UPDATE audit SET tenant = 'evil' WHERE seq = 2", "was changed"),
        ("DELETE FROM audit WHERE seq = 2", "missing before"),
        ("DELETE FROM audit WHERE seq = 3", "missing"),
        ("UPDATE admin_audit SET actor = 'nobody'", "was changed"),
        ("DELETE FROM audit_chains WHERE chain <> 'acts'", "its entry is missing"),
    ],
)
async def test_tampering_is_found(
    tmp_path: Path,
    statement: str | None,
    fault: str | None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    database = {"DATA_DIR": str(tmp_path)}
    environ = settings(database, AUDIT_KEY="audit-canary")
    async with (
        providing(answers(ANSWER)) as provider,
        serving(in_front_of(provider) | environ) as running,
    ):
        for _ in range(3):
            await post(running.url + CHAT, ASKED)
        await audited(running, 3)
    if statement is not None:
        tamper(database, None, statement)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    status = await asyncio.to_thread(main, ["audit", "verify"])
    printed = capsys.readouterr().out
    assert "canary" not in printed
    if fault is None:
        assert (status, printed.splitlines()[-1]) == (0, "untouched")
    else:
        assert status == 1
        assert fault in printed


async def test_verify_through_the_admin_api_on_both_databases(
    database: dict[str, str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    database["DATA_DIR"] = str(tmp_path)
    async with (
        providing(answers(ANSWER)) as provider,
        serving(in_front_of(provider) | settings(database)) as running,
    ):
        for _ in range(3):
            await post(running.url + CHAT, ASKED)
        await audited(running, 3)
        got = await post(running.url + "/admin/audit/verify", b"", ADMIN)
        assert json.loads(got.body)["untouched"], got.body
        on_server = "DATABASE_URL" in database
        server = request.getfixturevalue("postgresql") if on_server else None
        tamper(database, server, "UPDATE audit SET status = 418 WHERE seq = 2")
        report = json.loads((await post(running.url + "/admin/audit/verify", b"", ADMIN)).body)
    assert not report["untouched"]
    assert "was changed" in json.dumps(report)


async def test_jsonl_and_otlp_keep_the_same(tmp_path: Path) -> None:
    with receiving_http() as receiver:
        config = tmp_path / "gateway.yaml"
        config.write_text("audit_options:\n  sinks: [database, jsonl, otlp]\n")
        environ = {
            "DATA_DIR": str(tmp_path / "data"),
            "AUDIT": "full",
            "CONFIG": str(config),
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        }
        async with providing(answers(ANSWER)) as provider:
            gateway = start_gateway(tmp_path, **in_front_of(provider), **environ)
            try:
                got = await post(gateway.url + CHAT, ASKED)
                await asyncio.sleep(0.2)
            finally:
                gateway.stop()
    (file,) = files_in(tmp_path / "data/audit")
    line = json.loads(file.read_bytes())
    assert verify_file(file, None).faults == []
    (log,) = receiver.logs
    assert json.loads(log["body"]) == line["record"]
    assert log["event"] == "gateway.audit"
    assert log["attributes"]["gateway.call_id"] == got.headers["x-gateway-call-id"]
    heads = [line for line in gateway.lines() if line["event"] == "audit_head"]
    assert heads[0]["seq"] == 1


async def test_strangers_do_not_fill_the_audit(tmp_path: Path) -> None:
    database = {"DATA_DIR": str(tmp_path)}
    async with (
        providing(answers(ANSWER)) as provider,
        serving(in_front_of(provider) | settings(database, ACCESS="closed")) as running,
    ):
        got = await post(running.url + CHAT, ASKED, {"authorization": "Bearer guess-canary"})
        assert got.status == 401
        (kept,) = await audited(running, 1)
    assert (kept["request"], kept["level"], kept["tenant"]) == (None, "metadata", "")
    assert "canary" not in json.dumps(kept)


async def test_a_tenants_administrator_sees_its_tenant_alone(database: dict[str, str]) -> None:
    async with (
        providing(answers(ANSWER)) as provider,
        serving(in_front_of(provider) | settings(database, ACCESS="closed")) as running,
    ):
        keys: dict[str, str] = {}
        for tenant in ("one", "two"):
            await post(running.url + "/admin/tenants", b'{"id":"%s"}' % tenant.encode(), ADMIN)
            for role in (None, "tenant-admin"):
                body: Mapping[str, Any] = {"name": "k", "tenant": tenant, "role": role}
                made = await post(running.url + "/admin/keys", json.dumps(body).encode(), ADMIN)
                assert made.status == 201, made.body
                keys[f"{tenant} {role}"] = json.loads(made.body)["key"]
        for tenant in ("one", "two"):
            caller = {"authorization": f"Bearer {keys[f'{tenant} None']}"}
            assert (await post(running.url + CHAT, ASKED, caller)).status == 200
        both = await audited(running, 2)
        theirs = next(record for record in both if record["tenant"] == "two")
        own = {"authorization": f"Bearer {keys['one tenant-admin']}"}
        seen = json.loads((await get(running.url + "/admin/audit", own)).body)["data"]
        assert {record["tenant"] for record in seen} == {"one"}
        exported = (await get(running.url + "/admin/audit/export", own)).body
        assert len(exported.splitlines()) == 1
        assert (await get(running.url + f"/admin/audit/{theirs['id']}", own)).status == 404
        assert (await get(running.url + "/admin/audit?tenant=two", own)).status == 404
        assert (await post(running.url + "/admin/audit/verify", b"", own)).status == 403
        caller = {"authorization": f"Bearer {keys['one None']}"}
        assert (await get(running.url + "/admin/audit", caller)).status == 403
        assert (await get(running.url + "/admin/audit")).status == 401
