"""Recorded traffic of real providers, replayed through the whole gateway.

Where caller and provider speak the same dialect, what the caller gets is byte-equal. Where they do
not, text, tool calls, stop reason and usage are kept, and the official SDKs' types take the answer.
"""

import asyncio
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic.types.beta as anthropic_types
import openai.types.chat as openai_types
import openai.types.responses as openai_responses
import pytest
from anthropic.types.beta import BetaRawMessageStreamEvent
from google.genai import types as gemini_types
from msgspec import Struct, structs
from pydantic import TypeAdapter

from ai_gateway.dialects.dialect import RenderTarget
from ai_gateway.dialects.registry import DIALECTS, PROVIDER_DIALECTS
from ai_gateway.dialects.sse import SseDecoder
from ai_gateway.model.answer import Answer, Delta, Failure, Finish, PartStart
from ai_gateway.model.content import Opaque, Refusal, Text, ToolCall
from ai_gateway.model.errors import GatewayError
from ai_gateway.model.usage import Usage
from tests.serving import Got, Provider, in_front_of, post, providing, serving

RECORDINGS = Path(os.environ.get("RECORDINGS", Path(__file__).parents[3] / "shared/recordings"))

_WHERE_THERE_ARE_ANY = pytest.mark.skipif(
    not RECORDINGS.is_dir(), reason=f"no recordings at {RECORDINGS} (set RECORDINGS)"
)
pytestmark = [_WHERE_THERE_ARE_ANY, pytest.mark.apart]


class Recording(Struct):
    name: str
    dialect: str
    request: Any
    status: int
    content_type: str
    body: bytes
    stream: bool


def recordings() -> Iterator[Recording]:
    for path in sorted(RECORDINGS.glob("*/*.json")):
        exchange = json.loads(path.read_text("utf-8"))
        url: str = exchange["request"]["url"].split("?")[0]
        if url.endswith("/chat/completions"):
            dialect = "openai_chat"
        elif url.endswith("/v1/messages"):
            dialect = "anthropic_messages"
        elif url.endswith("/responses"):
            dialect = "openai_responses"
        elif url.endswith(":generateContent"):
            dialect = "gemini"
        elif url.endswith("/v2/chat"):
            dialect = "cohere"
        else:
            continue
        response = exchange["response"]
        body = response["body"]
        stream = isinstance(body, str)
        yield Recording(
            name=f"{path.parent.name}/{path.stem.rsplit('-', 1)[0]}",
            dialect=dialect,
            request=exchange["request"]["body"],
            status=response["status"],
            content_type=response["headers"].get("content-type", "application/json"),
            body=body.encode() if stream else json.dumps(body, ensure_ascii=False).encode(),
            stream=stream,
        )


ALL = list(recordings()) if RECORDINGS.is_dir() else []
SPOKEN = [recording for recording in ALL if recording.dialect in DIALECTS]
"""Those in a dialect that callers speak too."""
PATHS = {
    "openai_chat": "/v1/chat/completions",
    "openai_responses": "/v1/responses",
    "anthropic_messages": "/v1/messages",
}
REFUSED_BY_THE_GATEWAY = {
    # The request is wrong by the API's own rules, and is not sent on.
    "openai/test-openai-responses-model-http-error-0": "temperature is -1",
}
# A provider that is asked in each dialect, whatever the caller's: OpenAI in Responses only for the
# models it serves nowhere else.
MODELS = {
    "openai_chat": "openai/replayed",  # and groq, which speaks nothing else, for other callers
    "openai_responses": "openai/o3-pro-replayed",
    "anthropic_messages": "anthropic/replayed",
    "gemini": "gemini/replayed",
    "cohere": "cohere/replayed",
}


def path_of(caller: str, model: str, stream: bool) -> str:
    if caller != "gemini":
        return PATHS[caller]
    action = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return f"/v1beta/models/{model}:{action}"


class Replay:
    """The provider that answers what was recorded, streams cut at random bytes."""

    def __init__(self) -> None:
        self.recording: Recording | None = None
        self.random = random.Random(20260501)

    async def script(self, got: Got, writer: asyncio.StreamWriter) -> None:
        recording = self.recording
        assert recording is not None
        length = "" if recording.stream else f"content-length: {len(recording.body)}\r\n"
        head = (
            f"HTTP/1.1 {recording.status} Status\r\n"
            f"content-type: {recording.content_type}\r\n{length}connection: close\r\n\r\n"
        )
        writer.write(head.encode())
        at = 0
        while at < len(recording.body):
            size = self.random.randint(1, 2000) if recording.stream else len(recording.body)
            writer.write(recording.body[at : at + size])
            await writer.drain()
            at += size


class Kept(Struct):
    """What must survive any translation."""

    text: str
    calls: list[tuple[str, str, Any]]
    stop: str
    usage: Usage


def _arguments(text: str) -> Any:
    return json.loads(text) if text.strip() else {}


def kept_of(answer: Answer) -> Kept:
    return Kept(
        "".join(p.text for p in answer.parts if isinstance(p, Text | Refusal)),
        [(p.id, p.name, _arguments(p.arguments)) for p in answer.parts if isinstance(p, ToolCall)],
        answer.stop,
        answer.usage,
    )


def kept_of_stream(dialect: str, body: bytes) -> Kept | Failure:
    sse, decoder = SseDecoder(), DIALECTS[dialect].decoder()
    incoming = [*sse.feed(body), *sse.end()]
    events = [e for event in incoming for e in decoder.feed(event)] + decoder.end()
    texts: dict[int, str] = {}
    calls: dict[int, tuple[str, str]] = {}
    arguments: dict[int, str] = {}
    finish = events[-1]
    if isinstance(finish, Failure):
        return finish
    assert isinstance(finish, Finish)
    for event in events:
        match event:
            case PartStart(index=index, part=Text() | Refusal() as part):
                texts[index] = part.text
            case PartStart(index=index, part=ToolCall() as part):
                calls[index] = (part.id, part.name)
                arguments[index] = part.arguments
            case Delta(index=index, text=text):
                if index in texts:
                    texts[index] += text
                elif index in arguments:
                    arguments[index] += text
            case _:
                pass
    return Kept(
        "".join(texts[i] for i in sorted(texts)),
        [(*calls[i], _arguments(arguments[i])) for i in sorted(calls)],
        finish.stop,
        finish.usage or Usage(),
    )


# Reasons that have one name in one dialect and another in the other.
SAME_STOP = {"stop_sequence": "stop", "context_window": "length", "refusal": "content_filter", "pause": "stop", "error": "stop"}  # fmt: skip

# Kinds of tokens that a dialect does not count apart: a fact of the dialects, not of the gateway.
UNCOUNTED: dict[str, tuple[str, ...]] = {
    "openai_chat": (),
    "openai_responses": ("input_audio_tokens", "output_audio_tokens"),
    "anthropic_messages": ("input_audio_tokens", "output_audio_tokens"),
    "gemini": ("cache_write_5m_tokens", "cache_write_1h_tokens"),
}


def comparable(kept: Kept, caller: str) -> Kept:
    """What of an answer the caller's dialect has a place for."""
    usage = structs.replace(kept.usage, **dict.fromkeys(UNCOUNTED[caller], 0))
    # What a provider says an answer cost is for the ledger; no other dialect has a place for it.
    usage = structs.replace(usage, told_cost=None)
    if caller in ("openai_chat", "openai_responses"):
        written = usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
        usage = structs.replace(usage, cache_write_5m_tokens=written, cache_write_1h_tokens=0)
    return Kept(kept.text, kept.calls, SAME_STOP.get(kept.stop, kept.stop), usage)


async def _replayed(
    replay: Replay, provider: Provider, base: str, recording: Recording, caller: str, request: Any
) -> tuple[int, bytes]:
    replay.recording = recording
    model = MODELS[recording.dialect]
    if recording.dialect == "openai_chat" and caller != "openai_chat":
        model = "groq/replayed"
    if caller != "gemini":
        request = {**request, "model": model}
    path = path_of(caller, model, recording.stream)
    answered = await post(base + path, json.dumps(request).encode())
    return answered.status, answered.body


async def test_same_dialect_answers_are_byte_equal() -> None:
    replay = Replay()
    wrong: list[str] = []
    async with providing(replay.script) as provider, serving(in_front_of(provider)) as running:
        for recording in SPOKEN:
            request = recording.request
            if recording.stream and recording.dialect == "openai_chat":
                # Asked for by the recorded callers or sent by the provider all the same.
                request = {**request, "stream_options": {"include_usage": True}}
            status, body = await _replayed(
                replay, provider, running.url, recording, recording.dialect, request
            )
            fails = recording.stream and isinstance(
                kept_of_stream(recording.dialect, recording.body), Failure
            )
            if fails and status != 200:
                # The error was there before anything had been sent on: a plain error is better.
                assert "error" in json.loads(body)
                continue
            if recording.name in REFUSED_BY_THE_GATEWAY:
                assert status == recording.status == 400
                continue
            if (status, body) != (recording.status, recording.body):
                wrong.append(f"{recording.name}: {status} {len(body)} bytes")
            sent = json.loads(provider.got[-1].body)
            named = {"model": MODELS[recording.dialect].split("/")[1]}
            expected = request if recording.dialect == "gemini" else {**request, **named}
            if sent != expected and "max_completion_tokens" not in request:
                wrong.append(f"{recording.name}: the request was changed")
    assert len(SPOKEN) >= 500
    assert not wrong, "\n".join(wrong)


def asking(caller: str, recording: Recording) -> dict[str, Any]:
    """A request of any dialect that the recorded answer may answer."""
    match caller:
        case "gemini":
            return {"contents": [{"role": "user", "parts": [{"text": "as recorded"}]}]}
        case "openai_responses":
            return {"input": "as recorded", "stream": recording.stream}
        case _:
            options = {"stream_options": {"include_usage": True}}
            return {
                "messages": [{"role": "user", "content": "as recorded"}],
                "max_tokens": 1000,
                "stream": recording.stream,
                **(options if recording.stream and caller == "openai_chat" else {}),
            }


UNFINISHED = 5
"""Recorded Responses that were still queued."""


def everywhere(provider: Provider) -> dict[str, str]:
    more = {f"{name}_API_KEY": f"canary-{name}" for name in ("GROQ", "COHERE")}
    urls = {f"{name}_BASE_URL": provider.url for name in ("GROQ", "COHERE")}
    return {**in_front_of(provider), **more, **urls}


WHOLE: dict[str, Any] = {
    "openai_chat": openai_types.ChatCompletion,
    "openai_responses": openai_responses.Response,
    "anthropic_messages": anthropic_types.BetaMessage,
    "gemini": gemini_types.GenerateContentResponse,
}
EVENTS: dict[str, Any] = {
    "openai_chat": TypeAdapter(openai_types.ChatCompletionChunk),
    "openai_responses": TypeAdapter(openai_responses.ResponseStreamEvent),
    "anthropic_messages": TypeAdapter(BetaRawMessageStreamEvent),
    "gemini": TypeAdapter(gemini_types.GenerateContentResponse),
}


@pytest.mark.parametrize("caller", DIALECTS)
async def test_callers_of_every_other_dialect_get_the_same_meaning(caller: str) -> None:
    replay = Replay()
    wrong: list[str] = []
    done = unfinished = 0
    others = [recording for recording in ALL if recording.dialect != caller]
    async with providing(replay.script) as provider, serving(everywhere(provider)) as running:
        for recording in others:
            request = asking(caller, recording)
            status, body = await _replayed(
                replay, provider, running.url, recording, caller, request
            )
            done += 1
            if recording.status != 200:
                if status < 400 or "error" not in json.loads(body):
                    wrong.append(f"{recording.name}: an error became {status}")
                continue
            if recording.stream:
                before = kept_of_stream(recording.dialect, recording.body)
                if isinstance(before, Failure):
                    assert b'"error"' in body
                    continue
                sse = SseDecoder()
                for piece in [*sse.feed(body), *sse.end()]:
                    if piece.data != b"[DONE]":
                        EVENTS[caller].validate_json(piece.data)
                after = kept_of_stream(caller, body)
                assert isinstance(after, Kept), recording.name
            else:
                if b'"status": "queued"' in recording.body:
                    # An answer in the background: only Responses can ask for it, or fetch it later.
                    unfinished += 1
                    assert status == 502
                    continue
                before = kept_of(PROVIDER_DIALECTS[recording.dialect].parse_answer(recording.body))
                if status != 200:
                    wrong.append(f"{recording.name}: {status} {body[:200]!r}")
                    continue
                WHOLE[caller].model_validate_json(body)
                after = kept_of(DIALECTS[caller].parse_answer(body))
            if comparable(before, caller) != comparable(after, caller):
                wrong.append(f"{recording.name}: {before} became {after}")
    assert not wrong, "\n".join(wrong)
    assert done == len(others) >= 340
    assert unfinished <= UNFINISHED


@pytest.mark.parametrize(
    "recording", [r for r in ALL if r.dialect == "cohere"], ids=lambda r: r.name
)
def test_cohere_is_asked_as_its_own_clients_ask_it(recording: Recording) -> None:
    def in_chats_words(message: Any) -> Any:
        if isinstance(message["content"], str):
            return message
        found = {content["type"]: content[content["type"]] for content in message["content"]}
        return {
            "role": "assistant",
            "content": found["text"],
            "reasoning_content": found["thinking"],
        }

    recorded = recording.request
    request = {**recorded, "messages": [in_chats_words(m) for m in recorded["messages"]]}
    chat = DIALECTS["openai_chat"].parse_request(json.dumps(request).encode())
    target = RenderTarget(model=recorded["model"])
    rendered = PROVIDER_DIALECTS["cohere"].render_request(chat, target)
    assert json.loads(rendered.body) == recorded
    assert rendered.notes == ()


@pytest.mark.parametrize("provider", [*DIALECTS, "cohere", "bedrock_converse"])
def test_every_recorded_request_is_translated_or_refused_by_name(provider: str) -> None:
    target = RenderTarget(model="replayed", adaptive_thinking=True)
    refused: list[tuple[str, str | None]] = []
    others = [recording for recording in SPOKEN if recording.dialect != provider]
    for recording in others:
        dialect = DIALECTS[recording.dialect]
        body = json.dumps(recording.request).encode()
        try:
            dialect.peek(body)
            chat = dialect.parse_request(body)
            assert not any(
                isinstance(p, Opaque) and not p.path for m in chat.messages for p in m.parts
            )
            PROVIDER_DIALECTS[provider].render_request(chat, target)
        except GatewayError as error:
            refused.append((recording.name, error.field))
    assert [name for name, field in refused if not field] == []
    assert len(refused) < len(others) / 2
