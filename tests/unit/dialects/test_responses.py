"""What Responses says in the other dialects' words, and they in its, row by row."""

import json
from typing import Any

import pytest

from ai_gateway.dialects.dialect import BadAnswer, RenderTarget
from ai_gateway.dialects.openai_responses.encoder import ResponsesEncoder
from ai_gateway.dialects.registry import DIALECTS
from ai_gateway.model.answer import Failure, Start
from ai_gateway.model.chat import Chat
from ai_gateway.model.errors import GatewayError

CHAT, RESPONSES = DIALECTS["openai_chat"], DIALECTS["openai_responses"]
TARGET = RenderTarget(model="m")
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
TOOL = {"type": "function", "name": "f", "parameters": SCHEMA, "strict": True}
CHAT_TOOL = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}


def to_chat(**fields: Any) -> dict[str, Any]:
    body = json.dumps({"model": "x", "input": "hi", **fields}).encode()
    return json.loads(CHAT.render_request(RESPONSES.parse_request(body), TARGET).body)


def to_responses(**fields: Any) -> dict[str, Any]:
    given = {"model": "x", "messages": [{"role": "user", "content": "hi"}], **fields}
    chat = CHAT.parse_request(json.dumps(given).encode())
    return json.loads(RESPONSES.render_request(chat, TARGET).body)


RESPONSES_TO_CHAT: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("text", {}, {"messages": [{"role": "user", "content": "hi"}]}),
    (
        "instructions",
        {"instructions": "s"},
        {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}]},
    ),
    ("max_output_tokens", {"max_output_tokens": 20}, {"max_tokens": 20}),
    (
        "tools",
        {"tools": [TOOL], "tool_choice": {"type": "function", "name": "f"}},
        {
            "tools": [{"type": "function", "function": {**CHAT_TOOL["function"], "strict": True}}],  # type: ignore[dict-item]
            "tool_choice": {"type": "function", "function": {"name": "f"}},
        },
    ),
    (
        "structured output",
        {
            "text": {
                "format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}
            }
        },
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "n", "schema": SCHEMA, "strict": True},
            }
        },
    ),
    ("effort", {"reasoning": {"effort": "low"}}, {"reasoning_effort": "low"}),
    (
        "what the model said in a row is one turn",
        {
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
                {
                    "type": "message",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "so", "annotations": []}],
                },
                {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
                {"type": "function_call", "call_id": "c2", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "1"},
                {
                    "type": "function_call_output",
                    "call_id": "c2",
                    "output": [{"type": "input_text", "text": "2"}],
                },
            ]
        },
        {
            "messages": [
                {"role": "user", "content": "hi"},
                {
                    "role": "assistant",
                    "content": "so",
                    "tool_calls": [
                        {"id": i, "type": "function", "function": {"name": "f", "arguments": "{}"}}
                        for i in ("c1", "c2")
                    ],
                },
                {"role": "tool", "tool_call_id": "c1", "content": "1"},
                {"role": "tool", "tool_call_id": "c2", "content": "2"},
            ]
        },
    ),
    (
        "images and files",
        {
            "input": [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_image", "image_url": "https://x/y", "detail": "low"},
                        {
                            "type": "input_file",
                            "filename": "a.pdf",
                            "file_data": "data:application/pdf;base64,AA",
                        },
                    ],
                }
            ]
        },
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": "https://x/y", "detail": "low"}},
                        {
                            "type": "file",
                            "file": {
                                "filename": "a.pdf",
                                "file_data": "data:application/pdf;base64,AA",
                            },
                        },
                    ],
                }
            ]
        },
    ),
]


@pytest.mark.parametrize("row", RESPONSES_TO_CHAT, ids=lambda r: r[0])
def test_responses_becomes_chat(row: tuple[str, dict[str, Any], dict[str, Any]]) -> None:
    found = to_chat(**row[1])
    assert {name: found.get(name) for name in row[2]} == row[2]


CHAT_TO_RESPONSES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("a text, kept nowhere", {}, {"input": [{"role": "user", "content": "hi"}], "store": False}),
    (
        "a tool that is not strict says so",
        {"tools": [CHAT_TOOL], "tool_choice": "required"},
        {"tools": [{**TOOL, "strict": False}], "tool_choice": "required"},
    ),
    (
        "only some tools",
        {
            "tools": [CHAT_TOOL],
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "auto",
                    "tools": [{"type": "function", "function": {"name": "f"}}],
                },
            },
        },
        {
            "tool_choice": {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "function", "name": "f"}],
            }
        },
    ),
    ("a limit below the provider's least", {"max_tokens": 5}, {"max_output_tokens": 16}),
    (
        "effort, whose reasoning must come back encrypted",
        {"reasoning_effort": "high"},
        {"reasoning": {"effort": "high"}, "include": ["reasoning.encrypted_content"]},
    ),
    (
        "reasoning that OpenAI itself encrypted, under its own id",
        {
            "messages": [
                {"role": "user", "content": "hi"},
                {
                    "role": "assistant",
                    "content": "so",
                    "reasoning_content": "hm",
                    "reasoning_signature": "openai_responses#rs_1:gAAA",
                },
            ]
        },
        {
            "input": [
                {"role": "user", "content": "hi"},
                {
                    "type": "reasoning",
                    "summary": [{"type": "summary_text", "text": "hm"}],
                    "id": "rs_1",
                    "encrypted_content": "gAAA",
                },
                {
                    "type": "message",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "so", "annotations": []}],
                },
            ],
            "include": ["reasoning.encrypted_content"],
        },
    ),
    ("metadata", {"metadata": {"a": "b"}}, {"metadata": {"a": "b"}}),
]


@pytest.mark.parametrize("row", CHAT_TO_RESPONSES, ids=lambda r: r[0])
def test_chat_becomes_responses(row: tuple[str, dict[str, Any], dict[str, Any]]) -> None:
    found = to_responses(**row[1])
    assert {name: found.get(name) for name in row[2]} == row[2]


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("previous_response_id", {"previous_response_id": "resp_1"}),
    ("conversation", {"conversation": "conv_1"}),
    ("background", {"background": True}),
    ("prompt", {"prompt": {"id": "p"}}),
    ("tools[0]", {"tools": [{"type": "web_search"}]}),
    ("tool_choice", {"tools": [TOOL], "tool_choice": {"type": "web_search"}}),
    ("include", {"include": ["message.output_text.logprobs"]}),
    ("input[0]", {"input": [{"type": "item_reference", "id": "x"}]}),
    (
        "input[0].content[0].file_id",
        {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
    ),
    ("input[0].role", {"input": [{"role": "nobody", "content": "x"}]}),
    ("input[0].call_id", {"input": [{"type": "function_call", "name": "f"}]}),
]


@pytest.mark.parametrize("row", REFUSED, ids=lambda r: r[0])
def test_what_only_responses_can_say_is_refused_by_name(row: tuple[str, dict[str, Any]]) -> None:
    with pytest.raises(GatewayError) as caught:
        to_chat(**row[1])
    assert caught.value.field == row[0]
    assert caught.value.status == 400


def test_an_answer_that_is_not_finished_is_no_answer() -> None:
    body = {"id": "resp_1", "object": "response", "status": "queued", "model": "m", "output": []}
    with pytest.raises(BadAnswer):
        RESPONSES.parse_answer(json.dumps(body).encode())


def test_an_error_inside_a_stream_goes_on_with_the_numbers() -> None:
    encoder = ResponsesEncoder(Chat(model="m", messages=()))
    encoder.feed(Start(id="a", model="m"))
    event = encoder.feed(Failure(kind="overloaded", message="Too much.")).decode()
    name, data = event.strip().split("\n")
    assert name == "event: error"
    assert json.loads(data.removeprefix("data: ")) == {
        "type": "error",
        "code": "overloaded_error",
        "message": "Too much.",
        "param": None,
        "sequence_number": 2,
    }
