"""Cohere's Chat v2: what it is asked, what its answers, events and errors mean."""

import json
from typing import Any

import pytest

from ai_gateway.dialects.dialect import BadAnswer, RenderTarget
from ai_gateway.dialects.exchange import open_exchange
from ai_gateway.dialects.registry import PROVIDER_DIALECTS
from ai_gateway.model.errors import GatewayError

from .scenarios import STREAMS
from .speakers import cohere_stream

TARGET = RenderTarget(model="command-a-03-2025")
COHERE = PROVIDER_DIALECTS["cohere"]
PLAIN = [{"role": "user", "content": "Hi"}]


def tool(name: str, **more: object) -> dict[str, object]:
    return {"type": "function", "function": {"name": name, "parameters": {}, **more}}


def sent(**request: object) -> tuple[dict[str, Any], tuple[str, ...]]:
    body = json.dumps({"model": "command-a-03-2025", "messages": PLAIN, **request}).encode()
    rendered = open_exchange("chat", "openai_chat", body, now=0).request("cohere", TARGET)
    return json.loads(rendered.body), rendered.notes


ROWS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("the model and no stream", {}, {"model": "command-a-03-2025", "stream": False}),
    ("a stream", {"stream": True}, {"stream": True}),
    ("limits", {"max_tokens": 5, "stop": "a"}, {"max_tokens": 5, "stop_sequences": ["a"]}),
    ("sampling", {"temperature": 0.5, "top_p": 0.9, "seed": 7}, {"temperature": 0.5, "p": 0.9, "seed": 7}),
    ("top_p of all", {"top_p": 1}, {"p": 0.99}),
    ("penalties", {"frequency_penalty": 0.5, "presence_penalty": 2}, {"frequency_penalty": 0.5, "presence_penalty": 1}),
    ("no thinking", {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}),
    ("an effort", {"reasoning_effort": "low"}, {"thinking": {"type": "enabled", "token_budget": 1024}}),
    ("free JSON", {"response_format": {"type": "json_object"}}, {"response_format": {"type": "json_object"}}),
    (
        "a schema",
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}},
        {"response_format": {"type": "json_object", "json_schema": {"type": "object"}}},
    ),
    ("a tool must be called", {"tools": [tool("f")], "tool_choice": "required"}, {"tool_choice": "REQUIRED"}),
    ("none may be called", {"tools": [tool("f")], "tool_choice": "none"}, {"tool_choice": "NONE"}),
    (
        "this tool must be called",
        {"tools": [tool("f"), tool("g")], "tool_choice": {"type": "function", "function": {"name": "g"}}},
        {"tool_choice": "REQUIRED", "tools": [tool("g")]},
    ),
    ("strict tools", {"tools": [tool("f", strict=True)]}, {"strict_tools": True}),
    (
        "a picture",
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.example/a"}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.example/a"}}]}]},
    ),
    (
        "a plan, a call, its result, and a thought",
        {
            "messages": [
                {"role": "developer", "content": "Be brief"},
                *PLAIN,
                {"role": "assistant", "content": "I look", "reasoning_content": "Hm",
                 "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "c1", "content": "42"},
            ]
        },
        {
            "messages": [
                {"role": "system", "content": "Be brief"},
                *PLAIN,
                {"role": "assistant", "tool_plan": "I look", "content": [{"type": "thinking", "thinking": "Hm"}],
                 "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "c1", "content": "42"},
            ]
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_chat_becomes_cohere(row: tuple[str, dict[str, Any], dict[str, Any]]) -> None:
    _, given, expected = row
    found, _ = sent(**given)
    assert {name: found[name] for name in expected} == expected


REFUSED = [
    ({"n": 2}, "n"),
    ({"logprobs": True}, "logprobs"),
    ({"logit_bias": {"1": 1}}, "logit_bias"),
    ({"stop": ["a", "b", "c", "d", "e", "f"]}, "stop"),
    ({"frequency_penalty": -1}, "frequency_penalty"),
    ({"service_tier": "flex"}, "service_tier"),
    ({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}}]}]}, "messages"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "field"), REFUSED)
def test_what_cohere_cannot_say_is_refused_by_name(given: dict[str, Any], field: str) -> None:
    with pytest.raises(GatewayError) as refused:
        sent(**given)
    assert (refused.value.status, refused.value.field) == (400, field)


def test_what_is_changed_or_left_out_is_noted() -> None:
    _, notes = sent(top_p=1, user="u", tools=[tool("f", strict=True), tool("g")])
    assert "top_p 1 sent as 0.99: the provider takes 0.01 to 0.99" in notes
    assert "user left out: the provider has no like of it" in notes
    assert "strict left out of tools: the provider takes it for all or none" in notes


CALLED = {
    "id": "a-1",
    "finish_reason": "TOOL_CALL",
    "message": {
        "role": "assistant",
        "tool_plan": "I look twice.",
        "tool_calls": [
            {"id": "f_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
            {"id": "f_2", "type": "function", "function": {"name": "f", "arguments": '{"a":2}'}},
        ],
    },
    "usage": {
        "billed_units": {"input_tokens": 19.0, "output_tokens": 6.0},
        "tokens": {"input_tokens": 524.0, "output_tokens": 60.0},
        "cached_tokens": 500.0,
    },
}


def answered(told: object, **request: object) -> dict[str, Any]:
    body = json.dumps({"model": "cohere/m", "messages": PLAIN, **request}).encode()
    exchange = open_exchange("chat", "openai_chat", body, now=7)
    return json.loads(exchange.answer("cohere", json.dumps(told).encode()).body)


def test_a_plan_is_text_before_the_calls_and_usage_is_what_is_billed() -> None:
    answer = answered(CALLED)
    message = answer["choices"][0]["message"]
    assert message["content"] == "I look twice."
    assert [c["id"] for c in message["tool_calls"]] == ["f_1", "f_2"]
    assert answer["choices"][0]["finish_reason"] == "tool_calls"
    assert (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]) == (19, 6)
    assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 19


def test_an_answer_that_names_no_model_bears_the_name_that_was_asked_for() -> None:
    assert (answered(CALLED)["model"], answered(CALLED)["created"]) == ("cohere/m", 7)


def test_who_wants_one_call_at_a_time_gets_the_first_and_is_told_so() -> None:
    calls = answered(CALLED, parallel_tool_calls=False)["choices"][0]["message"]["tool_calls"]
    assert [c["id"] for c in calls] == ["f_1"]
    _, notes = sent(tools=[tool("f")], parallel_tool_calls=False)
    assert "parallel_tool_calls: of several calls the gateway hands on the first" in notes


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("COMPLETE", "stop"),
        ("STOP_SEQUENCE", "stop"),
        ("MAX_TOKENS", "length"),
        ("TOOL_CALL", "tool_calls"),
        ("SOMETHING_NEW", "stop"),
    ],
)
def test_finish_reasons_have_their_like(reason: str, expected: str) -> None:
    told = {"message": {"content": [{"type": "text", "text": "x"}]}, "finish_reason": reason}
    assert answered(told)["choices"][0]["finish_reason"] == expected


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"message":{"tool_calls":[{}]}}', b"\xff"])
def test_what_is_no_answer_is_bad(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        COHERE.parse_answer(body)


def streamed(told: bytes) -> tuple[bytes, Any]:
    body = json.dumps({"model": "m", "messages": PLAIN, "stream": True}).encode()
    bridge = open_exchange("chat", "openai_chat", body, now=7).bridge("cohere", TARGET)
    return bridge.feed(told) + bridge.end(), bridge


def test_a_stream_without_its_end_is_not_whole() -> None:
    told = cohere_stream(STREAMS[0][1])
    _, bridge = streamed(told[: told.index(b"event: message-end")])
    assert not bridge.complete


@pytest.mark.parametrize(
    "told",
    [
        b'data: {"message":"it broke"}\n\n',
        b'data: {"type":"message-end","delta":{"finish_reason":"ERROR","error":"it broke"}}\n\n',
    ],
)
def test_an_error_in_a_stream_is_a_failure(told: bytes) -> None:
    _, bridge = streamed(b'data: {"type":"message-start","id":"a"}\n\n' + told)
    assert bridge.failure is not None
    assert (bridge.failure.message, bridge.complete) == ("it broke", False)


def test_an_error_is_read_and_a_refused_key_is_the_gateways_own() -> None:
    error = COHERE.parse_error(404, b'{"id":"1","message":"model \'x\' not found"}')
    assert (error.kind, error.message) == ("not_found", "model 'x' not found")
    assert "x" not in COHERE.parse_error(401, b'{"message":"invalid api token x"}').message[:3]
    assert COHERE.parse_error(401, b'{"message":"t"}').kind == "upstream"
    assert COHERE.parse_error(500, b"<html>").message == "the provider answered with status 500"
