"""Converse, checked against AWS's own description of it (botocore's service model)."""

import gzip
import json
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any
from zlib import crc32

import botocore
import pytest
from botocore.model import ServiceModel
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st

from ai_gateway.dialects.dialect import BadAnswer, RenderTarget
from ai_gateway.dialects.exchange import open_exchange
from ai_gateway.dialects.registry import PROVIDER_DIALECTS
from ai_gateway.model.errors import GatewayError

from .speakers import bedrock_frame as frame

TARGET = RenderTarget(model="anthropic.claude-sonnet-4-5-20250929-v1:0", max_output_tokens=8192)
PNG = "iVBORw0KGgo="


def _model() -> ServiceModel:
    (path,) = (Path(botocore.__file__).parent / "data/bedrock-runtime").glob("*/service-2.json*")
    data = path.read_bytes()
    return ServiceModel(json.loads(gzip.decompress(data) if path.suffix == ".gz" else data))


SERVICE = _model()


def rendered(**request: object) -> dict[str, Any]:
    body = json.dumps({"model": "bedrock/m", **request}).encode()
    exchange = open_exchange("chat", "openai_chat", body, now=0)
    out = json.loads(exchange.request("bedrock_converse", TARGET).body)
    shape = SERVICE.operation_model("Converse").input_shape
    report = ParamValidator().validate({"modelId": "m", **out}, shape)
    assert not report.has_errors(), report.generate_report()
    return out


def user(content: object) -> list[dict[str, object]]:
    return [{"role": "user", "content": content}]


def test_a_conversation_with_everything_is_what_aws_says_a_request_is() -> None:
    tool = {"name": "get", "description": "d", "parameters": {"type": "object", "properties": {}}}
    out = rendered(
        messages=[
            {"role": "system", "content": "be brief"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "look"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                    {
                        "type": "file",
                        "file": {
                            "filename": "a/b.pdf",
                            "file_data": "data:application/pdf;base64,JVBERi0=",
                        },
                    },
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "get", "arguments": "{}"}}
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "42"},
        ],
        tools=[{"type": "function", "function": tool}],
        tool_choice="required",
        max_tokens=100,
        temperature=0.5,
        top_p=0.9,
        stop=["END"],
    )
    assert out["system"] == [{"text": "be brief"}]
    content = out["messages"][0]["content"]
    assert content[0] == {"text": "look"}
    assert content[1] == {"image": {"format": "png", "source": {"bytes": PNG}}}
    assert content[2]["document"] == {
        "format": "pdf",
        "name": "a b pdf",
        "source": {"bytes": "JVBERi0="},
    }
    assert out["messages"][1]["content"] == [
        {"toolUse": {"toolUseId": "c1", "name": "get", "input": {}}}
    ]
    assert out["messages"][2]["content"] == [
        {"toolResult": {"toolUseId": "c1", "content": [{"text": "42"}]}}
    ]
    assert out["toolConfig"]["toolChoice"] == {"any": {}}
    assert out["inferenceConfig"] == {
        "maxTokens": 100,
        "temperature": 0.5,
        "topP": 0.9,
        "stopSequences": ["END"],
    }


def test_thinking_goes_to_the_model_in_its_own_words() -> None:
    out = rendered(messages=user("x"), reasoning_effort="low", max_tokens=5000)
    assert out["additionalModelRequestFields"] == {
        "thinking": {"type": "enabled", "budget_tokens": 1024}
    }


REFUSED = [
    ({"messages": user([{"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}])},
     "by URL"),
    ({"messages": user("x"), "n": 2}, "nothing like n"),
    ({"messages": user("x"), "seed": 1}, "nothing like seed"),
]  # fmt: skip


@pytest.mark.parametrize(("request_", "why"), REFUSED)
def test_what_converse_cannot_express_is_refused_by_name(request_: Any, why: str) -> None:
    with pytest.raises(GatewayError, match=why):
        rendered(**request_)


ANSWER = {
    "output": {
        "message": {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}},
                {"text": "hello"},
                {"toolUse": {"toolUseId": "t1", "name": "get", "input": {"a": 1}}},
            ],
        }
    },
    "stopReason": "tool_use",
    "usage": {
        "inputTokens": 10,
        "outputTokens": 5,
        "totalTokens": 25,
        "cacheReadInputTokens": 7,
        "cacheWriteInputTokens": 3,
    },
    "metrics": {"latencyMs": 1},
}


def converted() -> dict[str, Any]:
    body = json.dumps({"model": "bedrock/m", "messages": user("x")}).encode()
    exchange = open_exchange("chat", "openai_chat", body, now=7)
    return json.loads(exchange.answer("bedrock_converse", json.dumps(ANSWER).encode()).body)


def test_an_answer_keeps_its_text_tools_thinking_stop_and_usage() -> None:
    answer = converted()
    message = answer["choices"][0]["message"]
    assert message["content"] == "hello"
    assert message["reasoning_content"] == "hm"
    assert message["tool_calls"][0]["function"] == {"name": "get", "arguments": '{"a":1}'}
    assert answer["choices"][0]["finish_reason"] == "tool_calls"
    assert answer["usage"]["prompt_tokens"] == 20
    assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 7


def test_hour_long_cache_writes_are_told_apart_for_they_cost_more() -> None:
    details = [{"ttl": "5m", "inputTokens": 1}, {"ttl": "1h", "inputTokens": 2}]
    told = {**ANSWER, "usage": {**ANSWER["usage"], "cacheDetails": details}}
    usage = PROVIDER_DIALECTS["bedrock_converse"].parse_answer(json.dumps(told).encode()).usage
    assert (usage.cache_write_5m_tokens, usage.cache_write_1h_tokens) == (1, 2)


def test_a_mark_for_the_prompt_cache_keeps_its_time() -> None:
    mark = {"type": "ephemeral", "ttl": "1h"}
    out = rendered(messages=user([{"type": "text", "text": "x", "cache_control": mark}]))
    assert out["messages"][0]["content"][1] == {"cachePoint": {"type": "default", "ttl": "1h"}}


def test_a_mark_inside_a_tools_result_is_set_behind_it() -> None:
    text = {"type": "text", "text": "42", "cache_control": {"type": "ephemeral"}}
    asked = {
        "model": "m",
        "max_tokens": 9,
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [text]}]},
        ],
    }  # fmt: skip
    exchange = open_exchange("chat", "anthropic_messages", json.dumps(asked).encode(), now=0)
    out = json.loads(exchange.request("bedrock_converse", TARGET).body)
    result, point = out["messages"][2]["content"]
    assert result["toolResult"]["content"] == [{"text": "42"}]
    assert point == {"cachePoint": {"type": "default"}}
    report = ParamValidator().validate(
        {"modelId": "m", **out}, SERVICE.operation_model("Converse").input_shape
    )
    assert not report.has_errors(), report.generate_report()


def test_documents_of_one_name_get_names_of_their_own() -> None:
    data = "data:application/pdf;base64,JVBERi0="
    files = [{"type": "file", "file": {"filename": "a  b", "file_data": data}}] * 2
    content = rendered(messages=user([{"type": "text", "text": "x"}, *files]))["messages"][0]
    assert [c["document"]["name"] for c in content["content"][1:]] == ["a b", "a b 2"]


def test_a_model_that_failed_is_not_the_callers_fault() -> None:
    error = PROVIDER_DIALECTS["bedrock_converse"].parse_error(424, b'{"message":"it failed"}')
    assert (error.kind, error.message) == ("upstream", "it failed")


def test_what_aws_tools_show_in_a_stream_is_passed_over() -> None:
    told = (
        ("messageStart", {"role": "assistant"}),
        (
            "contentBlockStart",
            {"contentBlockIndex": 0, "start": {"toolResult": {"toolUseId": "t"}}},
        ),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"toolResult": [{"text": "x"}]}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": "hello"}}),
        ("contentBlockStop", {"contentBlockIndex": 1}),
        ("messageStop", {"stopReason": "end_turn"}),
    )
    events, bridge = streamed(*(frame("event", name, data) for name, data in told))
    assert "".join(c["delta"].get("content") or "" for e in events for c in e["choices"]) == "hello"
    assert bridge.complete


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"output":{"message":{"content":[1]}}}', b"\xff"]
)
def test_what_is_no_answer_is_bad(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        PROVIDER_DIALECTS["bedrock_converse"].parse_answer(body)


STREAM = b"".join(
    frame("event", name, data)
    for name, data in [
        ("messageStart", {"role": "assistant"}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "h"}}}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"signature": "s"}}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": "hel"}}),
        ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": "lo"}}),
        ("contentBlockStop", {"contentBlockIndex": 1}),
        ("contentBlockStart", {"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "t", "name": "get"}}}),
        ("contentBlockDelta", {"contentBlockIndex": 2, "delta": {"toolUse": {"input": '{"a"'}}}),
        ("contentBlockDelta", {"contentBlockIndex": 2, "delta": {"toolUse": {"input": ":1}"}}}),
        ("contentBlockStop", {"contentBlockIndex": 2}),
        ("messageStop", {"stopReason": "tool_use"}),
        ("metadata", {"usage": {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}}),
    ]
)  # fmt: skip


def streamed(*pieces: bytes) -> tuple[list[Any], Any]:
    body = json.dumps({"model": "m", "messages": user("x"), "stream": True}).encode()
    exchange = open_exchange("chat", "openai_chat", body, now=7)
    bridge = exchange.bridge("bedrock_converse", TARGET)
    out = b"".join(bridge.feed(piece) for piece in pieces) + bridge.end()
    events = [json.loads(x[6:]) for x in out.decode().split("\n\n") if x.startswith("data: {")]
    return events, bridge


@given(st.sets(st.integers(1, len(STREAM) - 1), max_size=40))
def test_a_stream_means_the_same_however_it_is_cut(cuts: set[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[a:b] for a, b in pairwise(edges)]
    events, bridge = streamed(*pieces)
    deltas = [c["delta"] for e in events for c in e["choices"]]
    assert "".join(d.get("content") or "" for d in deltas) == "hello"
    assert "".join(d.get("reasoning_content") or "" for d in deltas) == "h"
    calls = [t for d in deltas for t in d.get("tool_calls") or []]
    assert "".join(t["function"].get("arguments") or "" for t in calls) == '{"a":1}'
    assert (bridge.complete, bridge.stop) == (True, "tool_calls")
    assert bridge.usage is not None
    assert (bridge.usage.input_tokens, bridge.usage.output_tokens) == (3, 4)


def test_a_stream_cut_short_is_not_whole() -> None:
    _, bridge = streamed(STREAM[: len(STREAM) // 2])
    assert not bridge.complete


def test_an_exception_in_a_stream_is_a_failure() -> None:
    start = frame("event", "messageStart", {"role": "assistant"})
    _, bridge = streamed(start, frame("exception", "throttlingException", {"message": "slow down"}))
    assert bridge.failure is not None
    assert (bridge.failure.kind, bridge.failure.message) == ("rate_limited", "slow down")


def test_a_frame_with_a_wrong_checksum_is_bad() -> None:
    broken = bytearray(STREAM)
    broken[30] ^= 1
    with pytest.raises(BadAnswer):
        streamed(bytes(broken))


def test_an_error_told_in_headers_alone_is_a_failure_in_its_own_words() -> None:
    def header(name: str, value: str) -> bytes:
        key, text = name.encode(), value.encode()
        return bytes([len(key)]) + key + b"\x07" + struct.pack(">H", len(text)) + text

    headers = (
        header(":message-type", "error")
        + header(":error-code", "InternalError")
        + header(":error-message", "the service is unwell")
    )
    prelude = struct.pack(">II", 16 + len(headers), len(headers))
    message = prelude + struct.pack(">I", crc32(prelude)) + headers
    events, _ = streamed(message + struct.pack(">I", crc32(message)))
    error = events[-1]["error"]
    assert (error["message"], error["code"]) == ("the service is unwell", "InternalError")
