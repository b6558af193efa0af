"""The table of what each dialect says in the other's words, row by row."""

import json
from typing import Any

import pytest

from ai_gateway.dialects.dialect import Rendered, RenderTarget
from ai_gateway.dialects.exchange import open_exchange
from ai_gateway.dialects.registry import DIALECTS
from ai_gateway.dialects.sse import ServerSentEvent, parse_events
from ai_gateway.model.errors import Untranslatable

CHAT, MESSAGES = DIALECTS["openai_chat"], DIALECTS["anthropic_messages"]
NEW = RenderTarget(model="m", max_output_tokens=64000, adaptive_thinking=True)
OLD = RenderTarget(model="m", max_output_tokens=8192, structured_output=False)
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}


def to_messages(target: RenderTarget = NEW, **fields: Any) -> tuple[dict[str, Any], Rendered]:
    given = {"model": "x", "messages": [{"role": "user", "content": "hi"}], **fields}
    rendered = MESSAGES.render_request(CHAT.parse_request(json.dumps(given).encode()), target)
    return json.loads(rendered.body), rendered


def to_chat(target: RenderTarget = NEW, **fields: Any) -> tuple[dict[str, Any], Rendered]:
    given = {
        "model": "x",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}],
        **fields,
    }
    rendered = CHAT.render_request(MESSAGES.parse_request(json.dumps(given).encode()), target)
    return json.loads(rendered.body), rendered


CHAT_TO_MESSAGES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("the model's own name", {}, {"model": "m"}),
    ("max_tokens defaults to the model's limit", {}, {"max_tokens": 64000}),
    ("max_tokens", {"max_tokens": 5}, {"max_tokens": 5}),
    ("max_completion_tokens", {"max_completion_tokens": 6}, {"max_tokens": 6}),
    ("one stop string", {"stop": "a"}, {"stop_sequences": ["a"]}),
    ("several stop strings", {"stop": ["a", "b"]}, {"stop_sequences": ["a", "b"]}),
    ("temperature up to 1", {"temperature": 0.7}, {"temperature": 0.7}),
    ("temperature over 1 is clamped", {"temperature": 1.5}, {"temperature": 1.0}),
    ("top_p", {"top_p": 0.5}, {"top_p": 0.5}),
    ("top_k", {"top_k": 5}, {"top_k": 5}),
    ("user", {"user": "u"}, {"metadata": {"user_id": "u"}}),
    ("stream", {"stream": True}, {"stream": True}),
    (
        "tools",
        {"tools": [TOOL]},
        {"tools": [{"name": "f", "input_schema": SCHEMA}]},
    ),
    (
        "a tool without parameters",
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]},
    ),
    (
        "tool_choice auto",
        {"tools": [TOOL], "tool_choice": "auto"},
        {"tool_choice": {"type": "auto"}},
    ),
    (
        "tool_choice none",
        {"tools": [TOOL], "tool_choice": "none"},
        {"tool_choice": {"type": "none"}},
    ),
    (
        "tool_choice required",
        {"tools": [TOOL], "tool_choice": "required"},
        {"tool_choice": {"type": "any"}},
    ),
    (
        "tool_choice of one",
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"tool_choice": {"type": "tool", "name": "f"}},
    ),
    (
        "one call at a time",
        {"tools": [TOOL], "parallel_tool_calls": False},
        {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    ),
    (
        "structured output",
        {"response_format": FORMAT},
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
    ),
    (
        "effort",
        {"reasoning_effort": "high"},
        {"output_config": {"effort": "high"}, "thinking": {"type": "adaptive"}},
    ),
    ("no effort", {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}),
    (
        "system and developer messages, in order",
        {
            "messages": [
                {"role": "system", "content": "a"},
                {"role": "developer", "content": "b"},
                {"role": "user", "content": "hi"},
            ]
        },
        {"system": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
    ),
    (
        "tool calls and their results, joined into one turn",
        {
            "messages": [
                {"role": "user", "content": "hi"},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {
                            "id": "1",
                            "type": "function",
                            "function": {"name": "f", "arguments": '{"a":"b"}'},
                        },
                        {"id": "2", "type": "function", "function": {"name": "f", "arguments": ""}},
                    ],
                },
                {"role": "tool", "tool_call_id": "1", "content": "one"},
                {"role": "tool", "tool_call_id": "2", "content": "two"},
            ]
        },
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "hi"}]},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "tool_use", "id": "1", "name": "f", "input": {"a": "b"}},
                        {"type": "tool_use", "id": "2", "name": "f", "input": {}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "1", "content": "one"},
                        {"type": "tool_result", "tool_use_id": "2", "content": "two"},
                    ],
                },
            ]
        },
    ),
    (
        "neighbours of one role are joined, empty text is dropped, a last space too",
        {
            "messages": [
                {"role": "user", "content": "a"},
                {"role": "user", "content": ""},
                {"role": "user", "content": "b"},
                {"role": "assistant", "content": "c "},
            ]
        },
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
                },
                {"role": "assistant", "content": [{"type": "text", "text": "c"}]},
            ]
        },
    ),
    ("defaults that say nothing", {"n": 1, "logprobs": False, "presence_penalty": 0}, {}),
    (
        "texts of nothing but white space are left out",
        {
            "messages": [
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": " \n"},
                {"role": "user", "content": "b"},
            ]
        },
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
                }
            ]
        },
    ),
    (
        "Anthropic's cache marks, written on parts and tools of Chat",
        {
            "messages": [
                {
                    "role": "system",
                    "content": [
                        {"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}
                    ],
                },
                {"role": "user", "content": "a"},
            ],
            "tools": [{**TOOL, "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        },
        {
            "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
            "tools": [
                {
                    "name": "f",
                    "input_schema": SCHEMA,
                    "cache_control": {"type": "ephemeral", "ttl": "1h"},
                }
            ],
        },
    ),
    (
        "ids of calls in the letters that Anthropic takes",
        {
            "messages": [
                {"role": "user", "content": "a"},
                {
                    "role": "assistant",
                    "tool_calls": [
                        {
                            "id": "functions.f:0",
                            "type": "function",
                            "function": {"name": "f", "arguments": "{}"},
                        }
                    ],
                },
                {"role": "tool", "tool_call_id": "functions.f:0", "content": "r"},
            ]
        },
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "a"}]},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "tool_use", "id": "functions_f_0", "name": "f", "input": {}}
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "functions_f_0", "content": "r"}
                    ],
                },
            ]
        },
    ),
]


@pytest.mark.parametrize("row", CHAT_TO_MESSAGES, ids=lambda r: r[0])
def test_chat_becomes_messages(row: tuple[str, dict[str, Any], dict[str, Any]]) -> None:
    found, _ = to_messages(**row[1])
    assert {name: found.get(name) for name in row[2]} == row[2]


def test_an_older_model_thinks_by_budget_and_gets_room_for_it() -> None:
    found, rendered = to_messages(OLD, reasoning_effort="medium", max_tokens=1000)
    assert found["thinking"] == {"type": "enabled", "budget_tokens": 4096}
    assert found["max_tokens"] == 5096
    assert any("max_tokens raised" in note for note in rendered.notes)


def test_an_older_model_gives_structure_by_a_forced_tool_that_is_read_back_as_text() -> None:
    found, _ = to_messages(OLD, response_format=FORMAT)
    name = found["tools"][0]["name"]
    assert found["tool_choice"] == {"type": "tool", "name": name}
    answer = {
        "id": "msg_1",
        "model": "m",
        "content": [{"type": "tool_use", "id": "t", "name": name, "input": {"a": "b"}}],
        "stop_reason": "tool_use",
    }
    parsed = MESSAGES.parse_answer(json.dumps(answer, separators=(",", ":")).encode())
    assert parsed.parts[0].text == '{"a":"b"}'  # type: ignore[union-attr]
    assert parsed.stop == "stop"


REFUSED_FOR_MESSAGES: list[tuple[str, dict[str, Any]]] = [
    ("n", {"n": 2}),
    ("logprobs", {"logprobs": True}),
    ("top_logprobs", {"top_logprobs": 3}),
    ("logit_bias", {"logit_bias": {"5": 1}}),
    ("seed", {"seed": 0}),
    ("frequency_penalty", {"frequency_penalty": 0.5}),
    ("presence_penalty", {"presence_penalty": -0.5}),
    ("modalities", {"modalities": ["text", "audio"]}),
    ("audio", {"audio": {"voice": "x"}}),
    ("response_format", {"response_format": {"type": "json_object"}}),
    ("service_tier", {"service_tier": "flex"}),
    ("something_new", {"something_new": 1}),
    ("tools[0]", {"tools": [{"type": "web_search"}]}),
    (
        "messages[0].content[0]",
        {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]},
    ),
    (
        "messages[1]",
        {"messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]},
    ),
    ("messages", {"messages": [{"role": "assistant", "content": "a"}]}),
    ("messages", {"messages": [{"role": "user", "content": " "}]}),
    ("temperature", {"reasoning_effort": "low", "temperature": 0.5}),
    ("tool_choice", {"reasoning_effort": "low", "tools": [TOOL], "tool_choice": "required"}),
]


@pytest.mark.parametrize("row", REFUSED_FOR_MESSAGES, ids=lambda r: r[0])
def test_what_messages_cannot_say_is_refused_by_name(row: tuple[str, dict[str, Any]]) -> None:
    with pytest.raises(Untranslatable) as caught:
        to_messages(**row[1])
    assert caught.value.field == row[0]
    assert caught.value.status == 400


MESSAGES_TO_CHAT: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("max_tokens", {}, {"max_tokens": 9}),
    ("stop_sequences", {"stop_sequences": ["a"]}, {"stop": ["a"]}),
    ("metadata.user_id", {"metadata": {"user_id": "u"}}, {"user": "u"}),
    ("service_tier", {"service_tier": "standard_only"}, {"service_tier": "default"}),
    (
        "system text",
        {"system": "s"},
        {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}]},
    ),
    (
        "usage is always asked for in a stream",
        {"stream": True},
        {"stream": True, "stream_options": {"include_usage": True}},
    ),
    (
        "tools",
        {"tools": [{"name": "f", "description": "d", "input_schema": SCHEMA}]},
        {
            "tools": [
                {
                    "type": "function",
                    "function": {"name": "f", "description": "d", "parameters": SCHEMA},
                }
            ]
        },
    ),
    (
        "any tool, one at a time",
        {
            "tools": [{"name": "f", "input_schema": SCHEMA}],
            "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        },
        {"tool_choice": "required", "parallel_tool_calls": False},
    ),
    (
        "thinking by budget",
        {"thinking": {"type": "enabled", "budget_tokens": 5000}},
        {"reasoning_effort": "medium"},
    ),
    ("effort", {"output_config": {"effort": "low"}}, {"reasoning_effort": "low"}),
    (
        "structured output",
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
            }
        },
    ),
    (
        "images by data and by URL",
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "image",
                            "source": {"type": "base64", "media_type": "image/png", "data": "AA"},
                        },
                        {"type": "image", "source": {"type": "url", "url": "https://x/y"}},
                    ],
                }
            ]
        },
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
                        {"type": "image_url", "image_url": {"url": "https://x/y"}},
                    ],
                }
            ]
        },
    ),
    (
        "tool results become messages of their own, before what else the turn says",
        {
            "messages": [
                {"role": "user", "content": "hi"},
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {"a": 1}}],
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "1",
                            "content": "r",
                            "is_error": True,
                        },
                        {"type": "text", "text": "and?"},
                    ],
                },
            ]
        },
        {
            "messages": [
                {"role": "user", "content": "hi"},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {
                            "id": "1",
                            "type": "function",
                            "function": {"name": "f", "arguments": '{"a": 1}'},
                        }
                    ],
                },
                {"role": "tool", "tool_call_id": "1", "content": "Error: r"},
                {"role": "user", "content": "and?"},
            ]
        },
    ),
]


@pytest.mark.parametrize("row", MESSAGES_TO_CHAT, ids=lambda r: r[0])
def test_messages_becomes_chat(row: tuple[str, dict[str, Any], dict[str, Any]]) -> None:
    found, _ = to_chat(**row[1])
    assert {name: found.get(name) for name in row[2]} == row[2]


REFUSED_FOR_CHAT: list[tuple[str, dict[str, Any]]] = [
    ("top_k", {"top_k": 5}),
    ("mcp_servers", {"mcp_servers": [{}]}),
    ("output_config.task_budget", {"output_config": {"task_budget": {}}}),
    ("tools[0]", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
    (
        "messages[0].content[0]",
        {"messages": [{"role": "user", "content": [{"type": "server_tool_use", "id": "x"}]}]},
    ),
]


@pytest.mark.parametrize("row", REFUSED_FOR_CHAT, ids=lambda r: r[0])
def test_what_chat_cannot_say_is_refused_by_name(row: tuple[str, dict[str, Any]]) -> None:
    with pytest.raises(Untranslatable) as caught:
        to_chat(**row[1])
    assert caught.value.field == row[0]


def test_what_tools_show_follows_the_last_of_their_results_as_the_users() -> None:
    def use(name: str) -> dict[str, Any]:
        return {"type": "tool_use", "id": name, "name": "f", "input": {}}

    def result(name: str, *content: dict[str, Any]) -> dict[str, Any]:
        return {"type": "tool_result", "tool_use_id": name, "content": list(content)}

    source = {"type": "base64", "media_type": "image/png", "data": "AA"}
    picture = {"type": "image", "source": source}
    found, rendered = to_chat(
        messages=[
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [use("1"), use("2")]},
            {
                "role": "user",
                "content": [
                    result("1", {"type": "text", "text": "a"}, picture),
                    result("2", {"type": "text", "text": "b"}),
                    {"type": "text", "text": "and?"},
                ],
            },
        ]
    )
    first, second, shown = found["messages"][2:]
    assert (first["role"], first["content"]) == ("tool", "a")
    assert (second["role"], second["content"]) == ("tool", "b")
    assert shown == {
        "role": "user",
        "content": [
            {"type": "text", "text": "Shown by the tool call 1:"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
            {"type": "text", "text": "and?"},
        ],
    }
    assert any("what tools showed" in note for note in rendered.notes)


FOREIGN: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "anthropic_messages",
        {
            "max_tokens": 9,
            "context_management": {"edits": []},
            "messages": [
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "h", "signature": "openai_responses#rs_1:abc"},
                    {"type": "text", "text": "so"}]},
                {"role": "user", "content": "go on"},
            ],
        },
        {"context_management": {"edits": []}, "model": "m"},
    ),
    (
        "openai_responses",
        {
            "store": True,
            "prompt_cache_key": "k",
            "input": [
                {"type": "reasoning", "summary": [], "encrypted_content": "anthropic_messages#abc"},
                {"role": "user", "content": "hi"},
            ],
        },
        {"store": True, "prompt_cache_key": "k", "model": "m"},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "given", "expected"), FOREIGN)
def test_what_only_a_dialect_knows_stays_where_anothers_reasoning_is_left_out(
    dialect: str, given: dict[str, Any], expected: dict[str, Any]
) -> None:
    body = json.dumps({"model": "asked", **given}).encode()
    rendered = open_exchange("chat", dialect, body, now=0).request(dialect, NEW)
    found = json.loads(rendered.body)
    assert {name: found[name] for name in expected} == expected
    assert b"#" not in rendered.body
    assert not any(name in note for note in rendered.notes for name in expected)


@pytest.mark.parametrize("provider", ["openai_chat", "openai_responses", "gemini", "cohere", "bedrock_converse"])  # fmt: skip
def test_what_only_claude_manages_is_left_out_for_every_other_provider_and_said(
    provider: str,
) -> None:
    given = {
        "model": "asked",
        "max_tokens": 9,
        "context_management": {"edits": []},
        "messages": [{"role": "user", "content": "hi"}],
    }
    exchange = open_exchange("chat", "anthropic_messages", json.dumps(given).encode(), now=0)
    rendered = exchange.request(provider, NEW)
    assert b"context_management" not in rendered.body
    assert "context_management left out: the provider has no like of it" in rendered.notes


def test_thinking_in_a_history_is_noted_where_it_cannot_be_sent() -> None:
    history = [
        {"role": "user", "content": "a"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "t", "signature": "s"},
                {"type": "text", "text": "b"},
            ],
        },
        {"role": "user", "content": "c"},
    ]
    found, rendered = to_chat(messages=history)
    assert "thinking" not in json.dumps(found)
    assert any("thinking" in note for note in rendered.notes)


def test_what_a_provider_refuses_is_noted_where_harmless_and_renamed_where_it_has_a_name() -> None:
    mistral = RenderTarget(
        model="m", refused_fields=frozenset({"user"}), renamed_fields={"max_tokens": "most"}
    )
    found, rendered = to_chat(mistral, metadata={"user_id": "u"})
    assert "user" not in found
    assert "user left out: the provider does not take it" in rendered.notes
    assert (found.get("max_tokens"), found["most"]) == (None, 9)
    with pytest.raises(Untranslatable) as caught:
        to_chat(RenderTarget(model="m", refused_fields=frozenset({"top_p"})), top_p=0.5)
    assert caught.value.field == "top_p"


def test_fields_that_nobody_reads_are_named_by_their_path() -> None:
    chat = {
        "model": "m",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a", "odd": 1}], "weight": 0},
            {"role": "assistant", "content": "b", "annotations": [], "audio": None},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}, "odd": {}}}],
    }
    found = CHAT.parse_request(json.dumps(chat).encode()).left_out
    assert set(found) == {"messages[].content[].odd", "messages[].weight"}
    messages = {
        "model": "m",
        "max_tokens": 1,
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "x", "content": [
                        {"type": "text", "text": "a", "odd": 1}
                    ]},
                    {"type": "image", "source": {"type": "url", "url": "http://x", "odd": "y"}},
                ],
            },
        ],
        "tools": [{"name": "f", "input_schema": {"any": "thing"}, "defer_loading": True}],
    }  # fmt: skip
    found = MESSAGES.parse_request(json.dumps(messages).encode()).left_out
    assert set(found) == {
        "messages[].content[].content[].odd",
        "messages[].content[].source.odd",
        "tools[].defer_loading",
    }


def test_what_only_anthropic_manages_is_left_out_and_noted() -> None:
    found, rendered = to_chat(context_management={"edits": []})
    assert "context_management" not in found
    assert rendered.notes == ("context_management left out: the provider has no like of it",)


def test_a_call_cut_by_the_output_limit_is_told_not_failed() -> None:
    call = {"id": "1", "function": {"name": "f", "arguments": '{"a": "b'}}
    choice = {"message": {"content": "x", "tool_calls": [call]}, "finish_reason": "length"}
    answer = CHAT.parse_answer(json.dumps({"id": "c", "model": "m", "choices": [choice]}).encode())
    chat = MESSAGES.parse_request(b'{"model":"m","messages":[]}')
    rendered = MESSAGES.render_answer(answer, chat)
    found = json.loads(rendered.body)
    assert found["stop_reason"] == "max_tokens"
    assert found["content"][1] == {"type": "tool_use", "id": "1", "name": "f", "input": {}}
    assert rendered.notes == ("a tool call was cut by the output limit: its input is left empty",)


def test_calls_that_a_provider_all_numbers_0_are_told_apart_by_their_ids() -> None:
    decoder, encoder = (
        CHAT.decoder(),
        MESSAGES.encoder(CHAT.parse_request(b'{"model":"m","messages":[]}')),
    )
    out = b""
    for call_id in ("a", "b"):
        call = {"index": 0, "id": call_id, "function": {"name": "f", "arguments": "{}"}}
        chunk = {"id": "c", "model": "m", "choices": [{"delta": {"tool_calls": [call]}}]}
        for event in decoder.feed(ServerSentEvent("message", json.dumps(chunk).encode())):
            out += encoder.feed(event)
    for event in decoder.feed(ServerSentEvent("message", b"[DONE]")):
        out += encoder.feed(event)
    starts = [e for e in parse_events(out) if e.event == "content_block_start"]
    assert [json.loads(e.data)["content_block"]["id"] for e in starts] == ["a", "b"]
    assert out.count(b'"partial_json":"{}"') == 2
    assert [
        json.loads(e.data)["index"] for e in parse_events(out) if e.event == "content_block_stop"
    ] == [0, 1]


STOPS = [
    ("end_turn", "stop"),
    ("stop_sequence", "stop"),
    ("max_tokens", "length"),
    ("model_context_window_exceeded", "length"),
    ("tool_use", "tool_calls"),
    ("refusal", "content_filter"),
    ("pause_turn", "stop"),
]


@pytest.mark.parametrize(("reason", "expected"), STOPS)
def test_anthropics_stop_reasons_have_their_like(reason: str, expected: str) -> None:
    body = json.dumps({"id": "msg_1", "model": "m", "content": [], "stop_reason": reason}).encode()
    rendered = CHAT.render_answer(
        MESSAGES.parse_answer(body), CHAT.parse_request(b'{"model":"m","messages":[]}')
    )
    assert json.loads(rendered.body)["choices"][0]["finish_reason"] == expected


def test_anthropics_usage_is_added_up_and_taken_apart_again() -> None:
    wire = {
        "input_tokens": 10,
        "cache_read_input_tokens": 20,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 25, "ephemeral_1h_input_tokens": 5},
        "output_tokens": 7,
    }
    answer = {"id": "msg_1", "model": "m", "content": [], "stop_reason": "end_turn", "usage": wire}
    parsed = MESSAGES.parse_answer(json.dumps(answer).encode())
    chat = CHAT.parse_request(b'{"model":"m","messages":[]}')
    as_chat = json.loads(CHAT.render_answer(parsed, chat).body)["usage"]
    assert as_chat["prompt_tokens"] == 60
    assert as_chat["prompt_tokens_details"]["cached_tokens"] == 20
    assert as_chat["total_tokens"] == 67
    again = json.loads(MESSAGES.render_answer(parsed, chat).body)["usage"]
    assert {name: again[name] for name in wire} == wire


def test_a_forced_call_that_openai_calls_a_stop_is_a_tool_use() -> None:
    answer = {
        "id": "c",
        "model": "m",
        "choices": [
            {
                "message": {
                    "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]
                },
                "finish_reason": "stop",
            }
        ],
    }
    assert CHAT.parse_answer(json.dumps(answer).encode()).stop == "tool_calls"


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda d: d.name)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"error":"x"}',
        b"\xff",
        b'{"error":{"message":null}}',
        b'{"detail":[{"loc":["body"]}]}',
    ],
)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429, 500, 503, 529])
def test_any_error_body_is_read(dialect: Any, body: bytes, status: int) -> None:
    error = dialect.parse_error(status, body)
    assert error.message
    if status in (401, 403):
        assert error.kind == "upstream"
