"""The account of calls: written before they are answered, kept once, added up."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.integration.test_admin import ADMIN, ANSWER, ASKED, CHAT, admin, call, made
from tests.serving import Running, answers, ask, in_front_of, providing, serving, streams


@pytest_asyncio.fixture
async def gateway(database: dict[str, str]) -> AsyncIterator[Running]:
    async with (
        providing(answers(ANSWER)) as provider,
        serving({**in_front_of(provider), "ADMIN_KEY": ADMIN, **database}) as running,
    ):
        yield running


async def usage(running: Running, key: str, query: str = "", **headers: str) -> Any:
    got = await ask("GET", running.url + "/v1/usage" + query, key=key, **headers)
    assert got.status == 200, got.body
    return json.loads(got.body)


async def settled(running: Running, calls: int) -> list[dict[str, Any]]:
    """The ledger's records, once they are so many."""
    for _ in range(100):
        page = await admin(running, "GET", "/admin/calls?limit=1000")
        if len(page["data"]) >= calls:
            return page["data"]
        await asyncio.sleep(0.05)
    raise AssertionError("the records did not come")


async def test_a_call_is_in_the_ledger_with_all_of_its_account(gateway: Running) -> None:
    key, details = await made(gateway, tags=["team=search"])
    got = await ask(
        "POST", gateway.url + CHAT, ASKED, key, x_user_id="anna", x_request_id="mine",
        x_gateway_tags="feature=chat, team=forged",
    )  # fmt: skip
    record = (await settled(gateway, 1))[0]
    assert record["id"] == got.headers["x-gateway-call-id"]
    told = await admin(gateway, "GET", f"/admin/calls/{record['id']}")
    steps, (asked,) = told.pop("steps"), told.pop("asked")
    assert told == record
    assert [step["name"] for step in steps] == ["admit"]
    assert (asked["provider"], asked["model"], asked["status"]) == ("openai", "gpt-4o", 200)
    assert steps[0]["end_ms"] <= asked["start_ms"] < asked["end_ms"] <= record["duration_ms"]
    expected = {
        "tenant": "default", "user": "anna", "key": details["id"], "request_id": "mine",
        "operation": "chat", "endpoint": CHAT, "requested_model": "gpt-4o", "provider": "openai",
        "model": "gpt-4o", "status": 200, "attempts": 1, "input_tokens": 10, "output_tokens": 5,
        "cost_usd": "0.000075", "tags": ["team=search", "feature=chat"],
    }  # fmt: skip
    assert {name: record[name] for name in expected} == expected
    assert record["price_version"]
    assert record["duration_ms"] > record["upstream_ms"] > 0


async def test_every_attempt_of_a_call_is_told_with_its_time(database: dict[str, str]) -> None:
    async with (
        providing(answers(b'{"error":{"message":"no"}}', 503)) as failing,
        providing(answers(ANSWER)) as good,
    ):
        environ = {
            **in_front_of(good), "ANTHROPIC_BASE_URL": failing.url, "ADMIN_KEY": ADMIN, **database,
        }  # fmt: skip
        async with serving(environ) as running:
            targets = [{"model": "claude-sonnet-4-5"}, {"model": "gpt-4o"}]
            await admin(running, "PUT", "/admin/routes/smart", {"targets": targets})
            key, _ = await made(running)
            assert (
                await ask("POST", running.url + CHAT, {**ASKED, "model": "smart"}, key)
            ).status == 200
            record = (await settled(running, 1))[0]
            told = await admin(running, "GET", f"/admin/calls/{record['id']}")
    *before, last = told["asked"]
    assert [(one["provider"], one["status"], one["error"]) for one in before] == [
        ("anthropic", 503, one["error"]) for one in before
    ]
    assert all(one["error"] for one in before)
    assert (last["provider"], last["status"], last["error"]) == ("openai", 200, None)
    assert len(before) + 1 == record["attempts"]
    for one, after in zip(told["asked"], told["asked"][1:], strict=False):
        assert one["start_ms"] <= one["end_ms"] <= after["start_ms"]


async def test_usage_is_the_callers_own_by_key_user_and_tenant(gateway: Running) -> None:
    first, _ = await made(gateway)
    second, _ = await made(gateway)
    for key, user in ((first, "anna"), (first, "bert"), (second, "anna")):
        await ask("POST", gateway.url + CHAT, ASKED, key, x_user_id=user)
    await settled(gateway, 3)
    for query, user, requests in (
        ("?scope=key", None, 2),
        ("", None, 2),
        ("", "anna", 2),
        ("", "bert", 1),
        ("?scope=tenant", None, 3),
        ("?scope=tenant&end=2020-01-01", None, 0),
    ):
        headers = {} if user is None else {"x_user_id": user}
        report = await usage(gateway, first, query, **headers)
        assert report["total"]["requests"] == requests, (query, user)
        assert report["total"]["input_tokens"] == 10 * requests
        if requests:
            (group,) = report["groups"]
            assert group["model"] == "gpt-4o"
            assert group["requests"] == requests
    report = await usage(gateway, first, "?scope=tenant&group_by=hour,provider")
    assert report["groups"][0]["provider"] == "openai"
    assert report["total"]["cost_usd"] == "0.000225"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?start=yesterday", "start"),
        ("?start=2025-02-01&end=2025-01-01", "start"),
        ("?start=2001-01-01&end=2025-01-01", "start"),
        ("?end=2025-01-01T00:00:00", "end"),
        ("?group_by=phase", "group_by"),
        ("?group_by=hour,day", "group_by"),
        ("?scope=all", "scope"),
        ("?odd=1", None),
    ],
)
async def test_what_is_wrong_with_a_question_is_named(
    gateway: Running, query: str, field: str | None
) -> None:
    key, _ = await made(gateway)
    got = await ask("GET", gateway.url + "/v1/usage" + query, key=key)
    assert got.status == 400
    assert json.loads(got.body)["error"]["param"] == field


async def test_failed_calls_are_in_the_ledger_and_refused_ones_are_not(gateway: Running) -> None:
    key, _ = await made(gateway)
    await ask("POST", gateway.url + CHAT, {"model": "gpt-4o"}, key)
    await ask("POST", gateway.url + CHAT, ASKED, "sk-gw-wrong")
    await ask("POST", gateway.url + CHAT, {**ASKED, "model": "nothing-like-it"}, key)
    async with (
        providing(answers(b'{"error":{"message":"no"}}', 500)) as failing,
        serving({**in_front_of(failing), "ADMIN_KEY": ADMIN}) as other,
    ):
        key, _ = await made(other)
        await ask("POST", other.url + CHAT, ASKED, key)
        record = (await settled(other, 1))[0]
    assert (record["status"], record["error"], record["usage_known"]) == (500, "upstream", False)
    assert "cost_usd" not in record
    assert await settled(gateway, 0) == []


async def test_a_streams_record_is_written_before_its_end_is_sent(tmp_path: Path) -> None:
    """The spool file has the line by the time that the caller has the stream's end."""
    usage = b'{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}'
    chunk = b'data: {"model":"gpt-4o","choices":[{"index":0,"delta":{"content":"word"},"finish_reason":null}]}\n\n'
    end = (
        b'data: {"model":"gpt-4o","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
        b'data: {"model":"gpt-4o","choices":[],"usage":' + usage + b"}\n\ndata: [DONE]\n\n"
    )
    environ = {"DATA_DIR": str(tmp_path), "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}
    async with (
        providing(streams(chunk, chunk, end)) as provider,
        serving({**in_front_of(provider), **environ, "ACCESS": "open"}) as running,
    ):
        got = await ask("POST", running.url + CHAT, {**ASKED, "stream": True})
        assert got.body.endswith(b"data: [DONE]\n\n")
        lines = b"".join(p.read_bytes() for p in tmp_path.glob("spool/*/*.jsonl")).splitlines()
        ready = json.loads((await ask("GET", running.url + "/ready")).body)
    (record,) = map(json.loads, lines)
    assert (record["input_tokens"], record["output_tokens"]) == (7, 2)
    assert record["cost_pico"] == 7 * 2_500_000 + 2 * 10_000_000
    assert ready["ready"] is True


async def test_what_a_process_left_behind_is_taken_over_and_counted_once(tmp_path: Path) -> None:
    async with providing(answers(ANSWER)) as provider:
        environ = {**in_front_of(provider), "DATA_DIR": str(tmp_path), "ADMIN_KEY": ADMIN}
        async with serving(environ) as running:
            key, _ = await made(running)
            await ask("POST", running.url + CHAT, ASKED, key)
            record = (await settled(running, 1))[0]
        assert list(tmp_path.glob("spool/*")) == []
        # The same record once more, half of another, and what is none: as a crash would leave it.
        left = tmp_path / "spool" / "000000000000-1"
        left.mkdir(parents=True)
        async with serving(
            {**environ, "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x", "ACCESS": "open"}
        ) as away:
            await ask("POST", away.url + CHAT, ASKED)
            await asyncio.sleep(0.7)
        (other,) = tmp_path.glob("spool/*/*.jsonl")
        lines = other.read_bytes()
        again = lines.replace(json.loads(lines)["id"].encode(), record["id"].encode())
        (left / "000000001.jsonl").write_bytes(again + lines + b"no record\n" + lines[:50])
        async with serving(environ) as running:
            records = await settled(running, 2)
            report = await admin(running, "GET", "/admin/usage")
            metrics = (await ask("GET", running.url + "/metrics")).body
    assert len(records) == 2
    assert report["total"]["requests"] == 2
    assert report["total"]["cost_usd"] == "0.00015"
    assert b"gateway_ledger_lost_total 1" in metrics
    assert [p.name for p in tmp_path.glob("spool/*/*") if p.name != "lock"] == ["000000001.refused"]


async def test_usage_tells_what_is_left_of_the_callers_budgets(gateway: Running) -> None:
    budgets = [
        {"per": "key", "amount": "10"},
        {"per": "user", "unit": "tokens", "amount": 1000000, "period": "total"},
    ]
    key, details = await made(gateway, policy={"budgets": budgets})
    assert await call(gateway, key) == 200
    report = await usage(gateway, key)
    of_key, of_user = sorted(report["budgets"], key=lambda budget: budget["per"])
    assert (of_key["name"], of_key["period"], of_key["hard"]) == (details["id"], "month", True)
    assert (of_key["limit"], of_key["used"], of_key["remaining"]) == (
        "10",
        "0.000075",
        "9.999925",
    )
    assert of_key["resets_at"] > report["end"][:7]
    assert (of_user["unit"], of_user["used"], of_user["resets_at"]) == ("tokens", "15", None)


async def test_an_answer_from_the_cache_costs_nothing_and_tells_what_it_saved(
    database: dict[str, str],
) -> None:
    async with (
        providing(answers(ANSWER)) as provider,
        serving(
            {**in_front_of(provider), "ADMIN_KEY": ADMIN, "CACHE_TTL": "5", **database}
        ) as running,
    ):
        key, _ = await made(running)
        for _ in range(2):
            assert await call(running, key) == 200
        hit, miss = await settled(running, 2)
        total = (await usage(running, key))["total"]
    assert (miss["cache"], miss["cost_usd"], miss["input_tokens"]) == ("miss", "0.000075", 10)
    assert (hit["cache"], hit["saved_usd"], hit["input_tokens"], hit["attempts"]) == (
        "hit", "0.000075", 0, 0,
    )  # fmt: skip
    assert (total["requests"], total["cached"]) == (2, 1)
    assert (total["cost_usd"], total["saved_usd"]) == ("0.000075", "0.000075")
