"""What Gemini says in the other dialects' words, and they in its, row by row."""

import base64
import json
from typing import Any

import pytest

from ai_gateway.dialects.dialect import BadAnswer, RenderTarget
from ai_gateway.dialects.folding import unfold
from ai_gateway.dialects.registry import DIALECTS
from ai_gateway.dialects.statuses import CREDENTIAL_REFUSED_CODE
from ai_gateway.model.answer import Answer
from ai_gateway.model.chat import Chat
from ai_gateway.model.content import ToolCall
from ai_gateway.model.errors import GatewayError, Untranslatable

CHAT, GEMINI = DIALECTS["openai_chat"], DIALECTS["gemini"]
OLD = RenderTarget(model="gemini-2.5-flash")
NEW = RenderTarget(model="gemini-3-pro", thinking_level=True)
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
GOOGLES = {"type": "OBJECT", "properties": {"a": {"type": "STRING", "nullable": True}}}
CHAT_TOOL = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}
HI = [{"role": "user", "parts": [{"text": "hi"}]}]


def to_chat(**fields: Any) -> dict[str, Any]:
    body = json.dumps({"contents": HI, **fields}).encode()
    GEMINI.peek(body)
    return json.loads(CHAT.render_request(GEMINI.parse_request(body), OLD).body)


def to_gemini(target: RenderTarget = OLD, **fields: Any) -> dict[str, Any]:
    given = {"model": "x", "messages": [{"role": "user", "content": "hi"}], **fields}
    chat = CHAT.parse_request(json.dumps(given).encode())
    return json.loads(GEMINI.render_request(chat, target).body)


GEMINI_TO_CHAT: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("text", {}, {"messages": [{"role": "user", "content": "hi"}]}),
    (
        "system_instruction, in either case",
        {"system_instruction": {"parts": [{"text": "s"}]}},
        {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}]},
    ),
    (
        "sampling",
        {"generationConfig": {"max_output_tokens": 5, "topP": 0.5, "stopSequences": ["x"]}},
        {"max_tokens": 5, "top_p": 0.5, "stop": ["x"]},
    ),
    (
        "Google's own schema",
        {"tools": [{"functionDeclarations": [{"name": "f", "parameters": GOOGLES}]}]},
        {
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "f",
                        "parameters": {
                            "type": "object",
                            "properties": {"a": {"type": ["string", "null"]}},
                        },
                    },
                }
            ]
        },
    ),
    (
        "a single tool in place of the list, its names in the other case",
        {"tools": {"function_declarations": [{"name": "f", "parameters_json_schema": SCHEMA}]}},
        {"tools": [CHAT_TOOL]},
    ),
    (
        "ANY of all is required",
        {
            "tools": [{"functionDeclarations": [{"name": "f"}, {"name": "g"}]}],
            "toolConfig": {
                "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["g", "f"]}
            },
        },
        {"tool_choice": "required"},
    ),
    (
        "structured output",
        {"generationConfig": {"responseMimeType": "application/json", "responseSchema": {"type": "OBJECT"}}},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
            }
        },
    ),
    (
        "free JSON",
        {"generationConfig": {"responseMimeType": "application/json"}},
        {"response_format": {"type": "json_object"}},
    ),
    ("a level", {"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW"}}}, {"reasoning_effort": "low"}),
    (
        "a budget",
        {"generationConfig": {"thinking_config": {"thinking_budget": 5000}}},
        {"reasoning_effort": "medium"},
    ),
    (
        "calls and results without ids find each other",
        {
            "contents": [
                *HI,
                {
                    "role": "model",
                    "parts": [
                        {"functionCall": {"name": "f", "args": {"a": 1}}},
                        {"functionCall": {"name": "f"}},
                    ],
                },
                {
                    "role": "user",
                    "parts": [
                        {"functionResponse": {"name": "f", "response": {"output": "1"}}},
                        {"functionResponse": {"name": "f", "response": {"b": 2}}},
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
                            "id": "call_0",
                            "type": "function",
                            "function": {"name": "f", "arguments": '{"a": 1}'},
                        },
                        {
                            "id": "call_1",
                            "type": "function",
                            "function": {"name": "f", "arguments": "{}"},
                        },
                    ],
                },
                {"role": "tool", "tool_call_id": "call_0", "content": "1"},
                {"role": "tool", "tool_call_id": "call_1", "content": '{"b": 2}'},
            ]
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize("row", GEMINI_TO_CHAT, ids=lambda r: r[0])
def test_gemini_becomes_chat(row: tuple[str, dict[str, Any], dict[str, Any]]) -> None:
    found = to_chat(**row[1])
    assert {name: found.get(name) for name in row[2]} == row[2]


CALLED = [
    {"role": "user", "content": "hi"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "42"},
]
CHAT_TO_GEMINI: list[tuple[str, RenderTarget, dict[str, Any], dict[str, Any]]] = [
    ("a text", OLD, {}, {"contents": HI}),
    ("effort as a budget", OLD, {"reasoning_effort": "low"},
     {"generationConfig": {"thinkingConfig": {"includeThoughts": True, "thinkingBudget": 1024}}}),
    ("effort as a level", NEW, {"reasoning_effort": "low"},
     {"generationConfig": {"thinkingConfig": {"includeThoughts": True, "thinkingLevel": "LOW"}}}),
    ("no thinking", OLD, {"reasoning_effort": "none"},
     {"generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}}),
    ("tools in JSON Schema", OLD, {"tools": [CHAT_TOOL], "tool_choice": "required"},
     {"tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": SCHEMA}]}],
      "toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}),
    ("this tool", OLD,
     {"tools": [CHAT_TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}},
     {"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}}}),
    ("a result names its function", OLD, {"messages": CALLED},
     {"contents": [*HI,
        {"role": "model", "parts": [{"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}}]},
        {"role": "user", "parts": [
            {"functionResponse": {"id": "c1", "name": "f", "response": {"output": "42"}}}]}]}),
    ("a picture at a URL, with what it is by its name", OLD,
     {"messages": [{"role": "user", "content": [
         {"type": "image_url", "image_url": {"url": "https://x/y.webp?z"}}]}]},
     {"contents": [{"role": "user", "parts": [
         {"fileData": {"mimeType": "image/webp", "fileUri": "https://x/y.webp?z"}}]}]}),
]  # fmt: skip


@pytest.mark.parametrize("row", CHAT_TO_GEMINI, ids=lambda r: r[0])
def test_chat_becomes_gemini(
    row: tuple[str, RenderTarget, dict[str, Any], dict[str, Any]],
) -> None:
    found = to_gemini(row[1], **row[2])
    assert {name: found.get(name) for name in row[3]} == row[3]


def test_a_call_another_model_made_gets_googles_stand_in_signature() -> None:
    part = to_gemini(NEW, messages=CALLED)["contents"][1]["parts"][0]
    signature = base64.b64decode(part["thoughtSignature"])
    assert signature == b"context_engineering_is_the_way_to_go"
    # A caller who sends it back has sent no reasoning.
    body = json.dumps({"contents": [{"role": "model", "parts": [part]}]}).encode()
    assert len(GEMINI.parse_request(body).messages[0].parts) == 1


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("generationConfig.candidateCount", {"generationConfig": {"candidateCount": 2}}),
    ("generationConfig.responseLogprobs", {"generationConfig": {"responseLogprobs": True}}),
    (
        "generationConfig.responseModalities",
        {"generationConfig": {"responseModalities": ["IMAGE"]}},
    ),
    (
        "generationConfig.responseMimeType",
        {"generationConfig": {"responseMimeType": "text/x.enum"}},
    ),
    ("cachedContent", {"cachedContent": "cachedContents/x"}),
    ("tools[0].googleSearch", {"tools": [{"google_search": {}}]}),
    ("toolConfig.retrievalConfig", {"toolConfig": {"retrievalConfig": {"languageCode": "de"}}}),
    (
        "contents[0].parts[0].inlineData",
        {"contents": [{"parts": [{"inlineData": {"mimeType": "audio/mp3", "data": "AA"}}]}]},
    ),
    (
        "contents[0].parts[0].fileData",
        {"contents": [{"parts": [{"fileData": {"fileUri": "gs://bucket/a.pdf"}}]}]},
    ),
    ("contents[0].role", {"contents": [{"role": "system", "parts": [{"text": "x"}]}]}),
    (
        "contents[0].parts[0].functionResponse",
        {"contents": [{"parts": [{"functionResponse": {"name": "f", "response": {}}}]}]},
    ),
]


@pytest.mark.parametrize("row", REFUSED, ids=lambda r: r[0])
def test_what_only_gemini_can_say_is_refused_by_name(row: tuple[str, dict[str, Any]]) -> None:
    with pytest.raises(GatewayError) as caught:
        to_chat(**row[1])
    assert caught.value.field == row[0]
    assert caught.value.status == 400


BAD: list[tuple[str, bytes]] = [
    ("contents", b"{}"),
    ("contents", b'{"contents":[]}'),
    ("contents", b'{"contents":{}}'),
    ("contents", b'{"contents":[{}],"contents":[{}]}'),
    ("generationConfig.topP", b'{"contents":[{}],"generationConfig":{"topP":2}}'),
    ("generationConfig.temperature", b'{"contents":[{}],"generation_config":{"temperature":-1}}'),
]


@pytest.mark.parametrize(("field", "body"), BAD)
def test_bad_requests_name_the_field(field: str, body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        GEMINI.peek(body)
    assert caught.value.field == field


def test_a_field_in_both_cases_is_refused() -> None:
    with pytest.raises(GatewayError) as caught:
        GEMINI.peek(b'{"contents":[{}],"systemInstruction":{},"system_instruction":{}}')
    assert caught.value.code == "duplicate_field"


def test_a_result_that_answers_no_call_is_refused() -> None:
    with pytest.raises(Untranslatable):
        to_gemini(messages=[{"role": "user", "content": "hi"}, CALLED[2]])


STOPS = [
    ("STOP", "stop"),
    ("MAX_TOKENS", "length"),
    ("SAFETY", "content_filter"),
    ("RECITATION", "content_filter"),
    ("BLOCKLIST", "content_filter"),
    ("PROHIBITED_CONTENT", "content_filter"),
    ("SPII", "content_filter"),
    ("MALFORMED_FUNCTION_CALL", "error"),
    ("SOMETHING_NEW", "stop"),
]


@pytest.mark.parametrize(("reason", "expected"), STOPS)
def test_finish_reasons_have_their_like(reason: str, expected: str) -> None:
    answer = {"candidates": [{"content": {"parts": []}, "finishReason": reason}]}
    assert GEMINI.parse_answer(json.dumps(answer).encode()).stop == expected


def test_a_blocked_prompt_is_a_filtered_answer_and_nothing_is_no_answer() -> None:
    blocked = b'{"promptFeedback":{"blockReason":"SAFETY"}}'
    assert GEMINI.parse_answer(blocked).stop == "content_filter"
    assert GEMINI.peek_answer(blocked).stop == "content_filter"
    with pytest.raises(BadAnswer):
        GEMINI.parse_answer(b"{}")


def test_usage_adds_thoughts_and_what_tools_put_in() -> None:
    usage = {
        "promptTokenCount": 10,
        "toolUsePromptTokenCount": 5,
        "cachedContentTokenCount": 4,
        "candidatesTokenCount": 7,
        "thoughtsTokenCount": 3,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 2}],
    }
    body = json.dumps({"candidates": [{}], "usageMetadata": usage}).encode()
    found = GEMINI.parse_answer(body).usage
    assert (found.input_tokens, found.output_tokens) == (15, 10)
    assert (found.cache_read_tokens, found.reasoning_tokens, found.input_audio_tokens) == (4, 3, 2)


def test_an_unknown_key_is_the_gateways_fault_whatever_google_calls_it() -> None:
    error = {
        "code": 400,
        "message": "API key not valid. Please pass a valid API key.",
        "status": "INVALID_ARGUMENT",
        "details": [{"reason": "API_KEY_INVALID"}],
    }
    found = GEMINI.parse_error(400, json.dumps({"error": error}).encode())
    assert found.code == CREDENTIAL_REFUSED_CODE
    assert found.kind == "upstream"
    assert "API key" not in found.message


def test_a_stream_ends_with_its_connection_once_a_reason_was_given() -> None:
    decoder = GEMINI.decoder()
    watcher = GEMINI.watch(False)
    event = b'data: {"candidates":[{"content":{"parts":[{"text":"a"}]}}]}\r\n\r\n'
    assert watcher.feed(event) == event
    assert not watcher.complete
    assert decoder.end() == []


def test_a_finish_reason_with_every_event_ends_the_account_at_the_last_only() -> None:
    def told(number: int) -> bytes:
        body = {
            "candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": number},
        }
        return b"data: " + json.dumps(body).encode() + b"\r\n\r\n"

    watcher = GEMINI.watch(False)
    sent = b""
    for number in range(1, 4):
        piece = watcher.feed(told(number))
        # What is handed on is not yet the end; but if nothing more comes, the answer is whole.
        assert watcher.complete == (not piece)
        sent += piece
    sent += watcher.end()
    assert sent == told(1) + told(2) + told(3)
    assert watcher.complete
    assert watcher.usage is not None
    assert watcher.usage.output_tokens == 3


@pytest.mark.parametrize("stop", ["length", "tool_calls"])
def test_a_call_cut_by_the_output_limit_is_told_without_arguments(stop: Any) -> None:
    call = ToolCall(id="c", name="f", arguments='{"a": "b')
    answer = Answer(id="r", model="m", parts=(call,), stop=stop)
    events = list(unfold(answer))
    encoder = GEMINI.encoder(Chat(model="m", messages=()))
    if stop == "tool_calls":
        with pytest.raises(BadAnswer):
            GEMINI.render_answer(answer, Chat(model="m", messages=()))
        with pytest.raises(BadAnswer):
            _ = [encoder.feed(event) for event in events]
        return
    rendered = GEMINI.render_answer(answer, Chat(model="m", messages=()))
    for told in (rendered.body, b"".join(encoder.feed(event) for event in events)):
        assert b'"functionCall":{"id":"c","name":"f","args":{}}' in told
        assert b'"finishReason":"MAX_TOKENS"' in told
    assert rendered.notes == tuple(encoder.notes)
    assert "cut by the output limit" in rendered.notes[0]


def test_half_an_event_behind_a_finish_reason_is_a_cut() -> None:
    watcher = GEMINI.watch(False)
    whole = b'data: {"candidates":[{"finishReason":"STOP"}]}\n\n'
    assert watcher.feed(whole + b'data: {"cand') == b""
    assert watcher.end() == whole
    assert not watcher.complete


@pytest.mark.parametrize(
    ("delay", "expected"), [("34s", 34.0), ("0.5s", 0.5), ("soon", None), (5, None), (None, None)]
)
def test_when_to_try_again_is_read_from_the_errors_details(
    delay: object, expected: float | None
) -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}]
    error = {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED", "details": details}
    found = GEMINI.parse_error(429, json.dumps({"error": error}).encode())
    assert (found.kind, found.retry_after) == ("rate_limited", expected)
