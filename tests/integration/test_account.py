"""What is told about calls: headers, metrics, log; and what never is."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from ai_gateway.telemetry.log import CallLine
from tests.clients.conftest import start_gateway
from tests.serving import answers, get, in_front_of, post, providing, serving, streams

CHAT = "/v1/chat/completions"
ANSWER = json.dumps(
    {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "canary-answer"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
    }
).encode()  # fmt: skip
ASKED = b'{"model":"gpt-4o","messages":[{"role":"user","content":"canary-prompt"}]}'


async def test_headers_tell_who_answered_what_it_cost_and_how_long_we_took() -> None:
    script = answers(ANSWER, headers={"x-request-id": "req-at-provider"})
    async with providing(script) as provider, serving(in_front_of(provider)) as running:
        got = await post(running.url + CHAT, ASKED, {"x-request-id": "mine-1"})
    assert got.body == ANSWER
    assert got.headers["x-request-id"] == "mine-1"
    assert got.headers["x-gateway-provider"] == "openai"
    assert got.headers["x-gateway-model"] == "gpt-4o"
    assert got.headers["x-gateway-attempts"] == "1"
    assert got.headers["x-gateway-cost-usd"] == "0.0035"
    assert 0 < float(got.headers["x-gateway-overhead-ms"]) < 100


@pytest.mark.parametrize("stream", [False, True])
async def test_a_providers_own_word_on_the_cost_counts_where_it_is_known_to_be_true(
    stream: bool,
) -> None:
    told = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100, "cost": 0.00123}
    answer = ANSWER.replace(
        b'"usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}',
        b'"usage": ' + json.dumps(told).encode(),
    )
    script = answers(answer)
    if stream:
        chunk = {
            "id": "c",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        }
        last = {**chunk, "choices": [], "usage": told}
        script = streams(
            *(b"data: %b\n\n" % json.dumps(one).encode() for one in (chunk, last)),
            b"data: [DONE]\n\n",
        )
    async with providing(script) as provider:
        environ = {
            **in_front_of(provider),
            "OPENROUTER_API_KEY": "k",
            "OPENROUTER_BASE_URL": provider.url,
            "ADMIN_KEY": "an-admin-key-for-this-test",
            "ACCESS": "open",
        }
        async with serving(environ) as running:
            costs: dict[str, str] = {}
            for model in ("openrouter/openai/gpt-4o", "openrouter/nobody/knows", "openai/gpt-4o"):
                body = {
                    "model": model,
                    "stream": stream,
                    "messages": [{"role": "user", "content": model}],
                }
                got = await post(running.url + CHAT, json.dumps(body).encode())
                assert got.status == 200, got.body
                async with asyncio.timeout(10):
                    while (
                        not (
                            rows := json.loads(
                                (
                                    await get(
                                        f"{running.url}/admin/calls?limit=1",
                                        {"authorization": f"Bearer {environ['ADMIN_KEY']}"},
                                    )
                                ).body
                            )["data"]
                        )
                        or rows[0]["requested_model"] != model
                    ):
                        await asyncio.sleep(0.05)
                costs[model] = rows[0]["cost_usd"]
    assert {name: float(cost) for name, cost in costs.items()} == {
        "openrouter/openai/gpt-4o": 0.00123, "openrouter/nobody/knows": 0.00123, "openai/gpt-4o": 0.0035,
    }  # fmt: skip


@pytest.mark.parametrize("given", ["with space", "x" * 200, "", "línea"])
async def test_a_request_id_that_is_none_is_made_anew(given: str) -> None:
    async with providing(answers(ANSWER)) as provider, serving(in_front_of(provider)) as running:
        got = await post(running.url + CHAT, ASKED, {"x-request-id": given})
    assert re.fullmatch(r"req_[0-9a-f]{24}", got.headers["x-request-id"])


async def test_the_provider_is_sent_the_callers_bytes_and_none_of_its_credentials() -> None:
    async with providing(answers(ANSWER)) as provider, serving(in_front_of(provider)) as running:
        headers = {
            "authorization": "Bearer callers-own",
            "x-api-key": "callers-own",
            "anthropic-beta": "one,two",
            "cookie": "callers-own",
        }
        await post(running.url + CHAT, ASKED, headers)
        got = provider.got[-1]
        assert got.body == ASKED
        assert got.headers["authorization"] == "Bearer sk-canary-openai"
        assert "callers-own" not in str(got.headers)
        body = b'{"model":"claude-sonnet-4-5","max_tokens":5,"messages":[{"role":"user","content":"x"}],"odd":[1.0]}'
        await post(running.url + "/v1/messages?beta=true", body, headers)
        got = provider.got[-1]
        assert got.path == "/v1/messages"
        assert got.body == body
        assert got.headers["x-api-key"] == "sk-canary-anthropic"
        assert got.headers["anthropic-beta"] == "one,two"
        assert got.headers["anthropic-version"] == "2023-06-01"


async def test_a_header_in_several_lines_is_one_list() -> None:
    body = (
        b'{"model":"claude-sonnet-4-5","max_tokens":5,"messages":[{"role":"user","content":"x"}]}'
    )
    async with providing(answers(b"{}")) as provider, serving(in_front_of(provider)) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(
            b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            b"anthropic-beta: one\r\nanthropic-beta: two\r\ncontent-length: %d\r\n\r\n%b"
            % (len(body), body)
        )
        await reader.readuntil(b"\r\n\r\n")
        writer.close()
        assert provider.got[-1].headers["anthropic-beta"] == "one, two"


async def test_metrics_have_their_documented_names_and_labels() -> None:
    async with providing(answers(ANSWER)) as provider, serving(in_front_of(provider)) as running:
        await post(running.url + CHAT, ASKED)
        await get(running.url + "/made/up/path")
        text = (await get(running.url + "/metrics")).body.decode()
    for line in (
        'http_requests_total{endpoint="/v1/chat/completions",method="POST",status="200"} 1.0',
        'http_requests_total{endpoint="other",method="GET",status="404"} 1.0',
        'http_request_duration_seconds_count{endpoint="/v1/chat/completions",method="POST"} 1\n',
        'llm_requests_total{model="gpt-4o",provider="openai",status="success"} 1.0',
        'llm_request_duration_seconds_count{model="gpt-4o",provider="openai"} 1\n',
        'llm_tokens_used_total{model="gpt-4o",provider="openai",type="input"} 1000.0',
        'llm_tokens_used_total{model="gpt-4o",provider="openai",type="output"} 100.0',
        "gateway_overhead_seconds_count 1\n",
        "gateway_in_flight 0.0",
    ):
        assert line in text
    assert "made/up" not in text


async def test_models_that_callers_make_up_do_not_fill_the_metrics() -> None:
    async with providing(answers(ANSWER)) as provider, serving(in_front_of(provider)) as running:
        for number in range(300):
            body = ASKED.replace(b"gpt-4o", b"gpt-made-up-%d" % number)
            assert (await post(running.url + CHAT, body)).status == 200
        text = (await get(running.url + "/metrics")).body
    assert b'llm_requests_total{model="other",provider="openai",status="success"}' in text
    assert len(text) < 1_000_000


async def test_health_readiness_documents_and_models() -> None:
    async with providing(answers(ANSWER)) as provider, serving(in_front_of(provider)) as running:
        health = await get(running.url + "/health")
        assert json.loads(health.body) == {"status": "healthy", "service": "ai-gateway"}
        assert json.loads((await get(running.url + "/ready")).body) == {"ready": True}
        running.gateway.readiness.draining = True
        ready = await get(running.url + "/ready")
        assert ready.status == 503
        assert json.loads(ready.body)["reasons"] == ["draining: the gateway is shutting down"]
        described = json.loads((await get(running.url + "/openapi.json")).body)
        assert described["openapi"].startswith("3.1")
        assert {CHAT, "/v1/messages", "/v1/embeddings", "/health", "/ready"} <= set(
            described["paths"]
        )
        page = await get(running.url + "/docs")
        assert page.headers["content-type"].startswith("text/html")
        assert CHAT.encode() in page.body
        models = json.loads((await get(running.url + "/v1/models")).body)
        assert "openai/gpt-4o" in {model["id"] for model in models["data"]}
        anthropic = await get(running.url + "/v1/models", {"anthropic-version": "2023-06-01"})
        assert json.loads(anthropic.body)["has_more"] is False
        unknown = await get(running.url + "/v1/models/nothing-like-it", {"x-request-id": "mine"})
        assert unknown.status == 404
        assert unknown.headers["x-request-id"] == "mine"
        assert (await get(running.url + "/v1/models/openai/gpt-4o")).status == 200


async def test_the_log_has_a_line_a_call_and_never_a_key_prompt_or_answer(tmp_path: Path) -> None:
    async with providing(answers(ANSWER)) as provider:
        gateway = start_gateway(tmp_path, LOG_LEVEL="debug", **in_front_of(provider))
        try:
            for user in ("anna", "line\\nbreak", "<script>"):
                await post(gateway.url + CHAT, ASKED, {"x-user-id": user})
            await post(gateway.url + CHAT, b'{"model":"canary-model","messages":[]}')
            await post(gateway.url + CHAT, b'{"canary-prompt')
            provider.script = answers(b'{"error":{"message":"canary-error"}}', 500)
            await post(gateway.url + CHAT, ASKED, {"cache-control": "no-store"})
            metrics = (await get(gateway.url + "/metrics")).body
        finally:
            gateway.stop()
    text = gateway.log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    calls = [line for line in lines if line["event"] == "call"]
    assert len(calls) == 6
    assert set(calls[0]) <= set(CallLine.__struct_fields__)
    first = calls[0]
    assert (first["user"], first["provider"], first["status"]) == ("anna", "openai", 200)
    assert (first["input_tokens"], first["output_tokens"], first["cost_usd"]) == (
        1000,
        100,
        "0.0035",
    )
    assert [line["error"] for line in calls if "error" in line] == ["invalid_request", "invalid_request", "upstream"]  # fmt: skip
    for canary in ("canary-prompt", "canary-answer", "canary-error", "sk-canary", "\u001b"):
        assert canary not in text
        assert canary.encode() not in metrics
