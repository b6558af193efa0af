"""Webhooks through the whole gateway: what happens there is told, signed, tried again, and once."""

import asyncio
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_account import ANSWER, ASKED, CHAT
from tests.serving import answers, get, in_front_of, post, providing, serving
from tests.unit.telemetry.test_webhooks import Hook, hooked

SECRET = "webhook-canary"
CONFIG = """
budgets:
  - {per: tenant, amount: 0.005, period: day, hard: false}
"""


def settings(hook: Hook, tmp_path: Path) -> dict[str, str]:
    return {
        "WEBHOOK_URL": f"http://127.0.0.1:{hook.port}/hook?token=url-canary",
        "WEBHOOK_SECRET": SECRET,
        "DATA_DIR": str(tmp_path),
    }


async def told(hook: Hook, count: int) -> list[dict[str, Any]]:
    found: list[Any] = await asyncio.to_thread(hook.wait_for, count)
    return found


def verify(hook: Hook) -> None:
    """As a receiver does."""
    for headers, body in hook.got:
        signed = f"{headers['x-gateway-timestamp']}.".encode() + body
        expected = hmac.new(SECRET.encode(), signed, "sha256").hexdigest()
        assert hmac.compare_digest(headers["x-gateway-signature"], f"sha256={expected}")
        assert json.loads(body)["id"] == headers["x-gateway-event-id"]


async def test_a_soft_budget_that_is_passed_is_told_once_and_tried_again(tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text(CONFIG)
    with hooked() as hook:
        hook.statuses = [503]
        async with (
            providing(answers(ANSWER)) as provider,
            serving(in_front_of(provider) | settings(hook, tmp_path), config) as running,
        ):
            for _ in range(5):
                assert (await post(running.url + CHAT, ASKED)).status == 200
            got = await told(hook, 2)
            page = (await get(running.url + "/metrics")).body.decode()
    assert [notice["event"] for notice in got] == ["budget_passed", "budget_passed"]
    assert got[0]["id"] == got[1]["id"]
    assert got[0]["fields"]["tenant"] == "default"
    assert got[0]["fields"]["used"] >= got[0]["fields"]["soft_limit"] > 0
    verify(hook)
    assert 'gateway_webhooks_total{outcome="sent"} 1.0' in page
    assert "canary" not in page


async def test_a_breaker_that_opens_is_told_and_one_that_closes_is_not(tmp_path: Path) -> None:
    with hooked() as hook:
        async with (
            providing(answers(b'{"error":{"message":"canary"}}', 500)) as provider,
            serving(in_front_of(provider) | settings(hook, tmp_path)) as running,
        ):
            for _ in range(25):
                await post(running.url + CHAT, ASKED)
            got = await told(hook, 1)
    (notice,) = [one for one in got if one["event"] == "breaker"]
    fields = notice["fields"]
    assert (fields["provider"], fields["model"], fields["state"]) == ("openai", "gpt-4o", "open")
    verify(hook)


async def test_an_error_budget_that_burns_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ai_gateway.telemetry.error_budget._LOOK_SECONDS", 1.0)
    with hooked() as hook:
        async with (
            providing(answers(b"{}", 500)) as provider,
            serving(in_front_of(provider) | settings(hook, tmp_path)) as running,
        ):
            for _ in range(60):
                await post(running.url + CHAT, ASKED)
            got = await told(hook, 2)
    (burning,) = [one for one in got if one["event"] == "error_budget_burning"]
    assert burning["fields"]["hour"] > 0.9
    verify(hook)


async def test_two_processes_tell_the_same_thing_under_one_id(tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text(CONFIG)
    with hooked() as hook:
        async with providing(answers(ANSWER)) as provider:
            for name in ("one", "two"):
                environ = in_front_of(provider) | settings(hook, tmp_path / name)
                async with serving(environ, config) as running:
                    for _ in range(3):
                        await post(running.url + CHAT, ASKED)
                    await told(hook, 1 if name == "one" else 2)
    assert len(hook.got) == 2
    assert len({headers["x-gateway-event-id"] for headers, _ in hook.got}) == 1


async def test_a_receiver_that_is_away_costs_calls_nothing(tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text(CONFIG)
    with hooked() as hook:
        environ = settings(hook, tmp_path)
    async with (
        providing(answers(ANSWER)) as provider,
        serving(in_front_of(provider) | environ, config) as running,
    ):
        for _ in range(10):
            assert (await post(running.url + CHAT, ASKED)).status == 200
        page = (await get(running.url + "/metrics")).body.decode()
        assert 'gateway_webhooks_total{outcome="sent"} 0.0' in page
