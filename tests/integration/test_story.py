"""A call's story by one request id: headers, log, trace, ledger and audit tell of the same call."""

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.clients.conftest import start_gateway
from tests.integration.test_account import ANSWER, ASKED, CHAT
from tests.integration.test_traces import TRACE_ID, by_name
from tests.otlp import receiving_http
from tests.serving import answers, ask, in_front_of, post, providing

ADMIN = "admin-canary"
REQUEST = "story-1"


async def one(url: str, path: str) -> dict[str, Any]:
    """The only record there, once it is."""
    for _ in range(100):
        data = json.loads((await ask("GET", url + path, key=ADMIN)).body)["data"]
        if data:
            (found,) = data
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"{path} shows nothing")


async def test_one_request_id_leads_through_headers_log_trace_ledger_and_audit(
    tmp_path: Path,
) -> None:
    with receiving_http() as receiver:
        environ = {
            "ADMIN_KEY": ADMIN,
            "ACCESS": "open",
            "AUDIT": "full",
            "DATA_DIR": str(tmp_path / "data"),
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        }
        async with providing(answers(ANSWER, headers={"x-request-id": "up-1"})) as provider:
            gateway = start_gateway(tmp_path, **in_front_of(provider), **environ)
            try:
                headers = {
                    "x-request-id": REQUEST,
                    "x-user-id": "anna",
                    "traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01",
                }
                got = await post(gateway.url + CHAT, ASKED, headers)
                call_id = got.headers["x-gateway-call-id"]
                audit = await one(gateway.url, f"/admin/audit?request_id={REQUEST}")
                calls = await one(gateway.url, "/admin/calls?limit=10")
                spans = by_name(await asyncio.to_thread(receiver.wait_for, 2))
            finally:
                gateway.stop()
    (log,) = [line for line in gateway.lines() if line.get("request_id") == REQUEST]
    server, attempt = spans[f"POST {CHAT}"], spans["chat gpt-4o"]
    story: dict[str, list[object]] = {
        "request id": [got.headers["x-request-id"], log["request_id"], server.attributes["gateway.request_id"],
                       calls["request_id"], audit["request_id"]],
        "call id": [call_id, log["call_id"], server.attributes["gateway.call_id"], calls["id"], audit["id"]],
        "trace id": [TRACE_ID, log["trace_id"], server.trace_id, attempt.trace_id, audit["trace_id"]],
        "user": ["anna", log["user"], server.attributes["user.id"], calls["user"], audit["user"]],
        "provider": [got.headers["x-gateway-provider"], log["provider"], attempt.attributes["gateway.provider"],
                     calls["provider"], audit["provider"]],
        "provider's id": ["up-1", log["upstream_request_id"], attempt.attributes["gateway.upstream_request_id"]],
        "cost": [got.headers["x-gateway-cost-usd"], log["cost_usd"], str(server.attributes["gateway.cost_usd"]),
                 calls["cost_usd"], f"{audit['cost_pico'] / 1e12:.4f}"],
        "tokens": [1000, log["input_tokens"], attempt.attributes["gen_ai.usage.input_tokens"],
                   calls["input_tokens"], audit["input_tokens"]],
    }  # fmt: skip
    assert {name: set(told) for name, told in story.items() if len(set(told)) != 1} == {}
    assert audit["request"] == ASKED.decode()
