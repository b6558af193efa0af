"""Traces end to end: real calls, and OTLP receivers that decode the protocol's own messages."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from ai_gateway.telemetry.spans import ATTRIBUTES
from tests.clients.conftest import start_gateway
from tests.integration.test_account import ANSWER, ASKED, CHAT
from tests.otlp import ReceivedSpan, Receiver, receiving_grpc, receiving_http
from tests.serving import answers, get, in_front_of, post, providing, serving, streams

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = {"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01", "tracestate": "vendor=abc"}
SERVER, CLIENT, INTERNAL = 2, 3, 1
PIECES = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt-4o","choices":[{"index":0,"delta":{"role":"assistant","content":"canary-answer"}}]}\n\n',
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt-4o","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
    b"data: [DONE]\n\n",
)


def http_settings(receiver: Receiver) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}


def by_name(spans: list[ReceivedSpan]) -> dict[str, ReceivedSpan]:
    return {span.name: span for span in spans}


async def received(receiver: Receiver, count: int) -> list[ReceivedSpan]:
    return await asyncio.to_thread(receiver.wait_for, count)


async def test_a_call_arrives_as_a_trace_that_joins_its_callers() -> None:
    with receiving_http() as receiver:
        environ = {"OTEL_EXPORTER_OTLP_HEADERS": "x-team=blue", "OTEL_SERVICE_NAME": "mine"}
        async with (
            providing(answers(ANSWER, headers={"x-request-id": "up-1"})) as provider,
            serving(in_front_of(provider) | http_settings(receiver) | environ) as running,
        ):
            before = time.time_ns()
            got = await post(
                running.url + CHAT, ASKED, {**PARENT, "x-request-id": "mine-1", "x-user-id": "anna"}
            )
            spans = by_name(await received(receiver, 2))
            assert "traceparent" not in provider.got[0].headers
    server, attempt = spans[f"POST {CHAT}"], spans["chat gpt-4o"]
    assert (server.trace_id, server.parent_id) == (TRACE_ID, "b7ad6b7169203331")
    assert (server.kind, attempt.kind) == (SERVER, CLIENT)
    assert (attempt.trace_id, attempt.parent_id) == (TRACE_ID, server.span_id)
    assert server.state == "vendor=abc"
    assert server.attributes["gateway.request_id"] == got.headers["x-request-id"] == "mine-1"
    assert server.attributes["user.id"] == "anna"
    assert server.attributes["http.response.status_code"] == 200
    assert attempt.attributes["gen_ai.provider.name"] == "openai"
    assert attempt.attributes["gen_ai.response.model"] == "gpt-4o-2024-08-06"
    assert attempt.attributes["gen_ai.usage.input_tokens"] == 1000
    assert attempt.attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert attempt.attributes["gateway.upstream_request_id"] == "up-1"
    assert before <= server.start <= attempt.start <= attempt.end <= server.end <= time.time_ns()
    assert server.resource["service.name"] == "mine"
    assert receiver.headers[0]["x-team"] == "blue"
    declared = {attribute.name for attribute in ATTRIBUTES}
    assert {name for span in spans.values() for name in span.attributes} <= declared


async def test_the_same_over_grpc() -> None:
    with receiving_grpc() as receiver:
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_HEADERS": "x-team=blue",
        }
        async with (
            providing(answers(ANSWER)) as provider,
            serving(in_front_of(provider) | environ) as running,
        ):
            await post(running.url + CHAT, ASKED, PARENT)
            spans = by_name(await received(receiver, 2))
    assert spans["chat gpt-4o"].parent_id == spans[f"POST {CHAT}"].span_id
    assert receiver.headers[0]["x-team"] == "blue"


async def test_a_stream_shows_its_first_token() -> None:
    with receiving_http() as receiver:
        async with (
            providing(streams(*PIECES, pause=0.05)) as provider,
            serving(in_front_of(provider) | http_settings(receiver)) as running,
        ):
            await post(running.url + CHAT, ASKED[:-1] + b',"stream":true,"temperature":0.5}')
            spans = by_name(await received(receiver, 3))
    attempt, stream = spans["chat gpt-4o"], spans["stream"]
    assert stream.parent_id == attempt.span_id
    assert stream.kind == INTERNAL
    assert stream.end - stream.start >= 0.08e9
    assert attempt.attributes["gen_ai.request.stream"] is True
    assert attempt.attributes["gen_ai.request.temperature"] == 0.5
    assert attempt.attributes["gen_ai.response.time_to_first_chunk"] > 0


async def test_a_provider_of_ones_own_is_told_the_trace() -> None:
    with receiving_http() as receiver:
        environ = http_settings(receiver) | {"TRACE_PROPAGATE_TO": "openai"}
        async with (
            providing(answers(ANSWER)) as provider,
            serving(in_front_of(provider) | environ) as running,
        ):
            await post(running.url + CHAT, ASKED, PARENT)
            spans = by_name(await received(receiver, 2))
            sent = provider.got[0].headers
    assert sent["traceparent"] == f"00-{TRACE_ID}-{spans['chat gpt-4o'].span_id}-01"
    assert sent["tracestate"] == "vendor=abc"


async def test_unsampled_calls_are_kept_only_when_they_fail() -> None:
    with receiving_http() as receiver:
        environ = http_settings(receiver) | {"OTEL_TRACES_SAMPLER": "always_off"}
        async with (
            providing(answers(ANSWER)) as provider,
            serving(in_front_of(provider) | environ) as running,
        ):
            await post(running.url + CHAT, ASKED)
            await post(running.url + CHAT, b'{"model":"gpt-4o"}')
            provider.script = answers(b'{"error":{"message":"canary-error"}}', 500)
            await post(running.url + CHAT, ASKED)
            spans = await received(receiver, 2)
            await asyncio.sleep(0.05)
    assert {span.trace_id for span in spans} == {spans[0].trace_id}
    server = by_name(spans)[f"POST {CHAT}"]
    assert server.attributes["http.response.status_code"] == 500
    assert server.status == 2


async def test_no_prompt_answer_or_key_is_in_a_trace() -> None:
    with receiving_http() as receiver:
        async with (
            providing(answers(ANSWER)) as provider,
            serving(in_front_of(provider) | http_settings(receiver)) as running,
        ):
            headers = {"authorization": "Bearer sk-canary-caller", "cookie": "canary-cookie"}
            await post(running.url + CHAT, ASKED, headers)
            await post(running.url + CHAT, ASKED[:-1] + b',"stop":"canary-stop"}', headers)
            provider.script = answers(b'{"error":{"message":"canary-error sk-canary-openai"}}', 500)
            await post(running.url + CHAT, ASKED, headers)
            await received(receiver, 6)
    assert receiver.raw
    assert b"canary" not in b"".join(receiver.raw)


async def test_exemplars_lead_from_a_metric_to_its_trace() -> None:
    with receiving_http() as receiver:
        async with (
            providing(answers(ANSWER)) as provider,
            serving(in_front_of(provider) | http_settings(receiver)) as running,
        ):
            await post(running.url + CHAT, ASKED, PARENT)
            page = await get(
                running.url + "/metrics", {"accept": "application/openmetrics-text; version=1.0.0"}
            )
    assert f'# {{trace_id="{TRACE_ID}"}}'.encode() in page.body


async def metric(url: str, name: str) -> float:
    text = (await get(url + "/metrics")).body.decode()
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(name))


async def test_a_collector_that_hangs_is_not_noticed_by_calls_nor_holds_up_the_end() -> None:
    with receiving_http() as receiver:
        receiver.hang.set()
        async with (
            providing(answers(ANSWER)) as provider,
            serving(in_front_of(provider) | http_settings(receiver)) as running,
        ):
            started = time.perf_counter()
            for _ in range(20):
                assert (await post(running.url + CHAT, ASKED)).status == 200
            assert time.perf_counter() - started < 5
            closing = time.perf_counter()
        assert time.perf_counter() - closing < 8


async def test_a_collector_that_is_absent_or_refuses_is_counted() -> None:
    with receiving_http() as receiver:
        receiver.status = 400
        async with (
            providing(answers(ANSWER)) as provider,
            serving(in_front_of(provider) | http_settings(receiver)) as running,
        ):
            assert (await post(running.url + CHAT, ASKED)).status == 200
            name = 'gateway_traces_dropped_total{reason="failed"}'
            deadline = time.monotonic() + 8
            while await metric(running.url, name) < 1 and time.monotonic() < deadline:
                await asyncio.sleep(0.02)
            assert await metric(running.url, name) == 1
            assert await metric(running.url, "gateway_traces_exported_total") == 0


async def test_a_call_can_be_followed_through_log_trace_and_headers(tmp_path: Path) -> None:
    with receiving_http() as receiver:
        async with providing(answers(ANSWER, headers={"x-request-id": "up-1"})) as provider:
            gateway = start_gateway(tmp_path, **in_front_of(provider), **http_settings(receiver))
            try:
                got = await post(gateway.url + CHAT, ASKED, {"x-request-id": "story-1"})
            finally:
                gateway.stop()
    line = next(line for line in gateway.lines() if line["event"] == "call")
    server = by_name(receiver.spans)[f"POST {CHAT}"]
    assert line["request_id"] == server.attributes["gateway.request_id"] == "story-1"
    assert got.headers["x-request-id"] == "story-1"
    assert line["trace_id"] == server.trace_id
    assert line["upstream_request_id"] == "up-1"
    assert got.headers["x-gateway-cost-usd"] == line["cost_usd"] == "0.0035"


def test_without_an_endpoint_the_sdk_is_not_imported(tmp_path: Path) -> None:
    gateway = start_gateway(tmp_path)
    try:
        maps = Path(f"/proc/{gateway.process.pid}/maps")
        if not maps.exists():
            pytest.skip("/proc is not on this machine")
        assert "grpc" not in maps.read_text()
        assert "upb" not in maps.read_text()
    finally:
        gateway.stop()
    assert json.loads(gateway.log.read_text().splitlines()[0])["event"] == "serving"
