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
import pytest
from anthropic.types.beta import BetaRawMessageStreamEvent
from msgspec import Struct
from pydantic import TypeAdapter

from ai_gateway.dialects.registry import DIALECTS
from ai_gateway.dialects.sse import SseDecoder
from ai_gateway.model.answer import Answer, Delta, Failure, Finish, PartStart
from ai_gateway.model.content import Opaque, Refusal, Text, ToolCall
from ai_gateway.model.usage import Usage
from tests.serving import Got, Provider, in_front_of, post, providing, serving

RECORDINGS = Path(os.environ.get("RECORDINGS", Path(__file__).parents[3] / "shared/recordings"))

pytestmark = pytest.mark.skipif(
    not RECORDINGS.is_dir(), reason=f"no recordings at {RECORDINGS} (set RECORDINGS)"
)

KNOWN_LOSSES = {
    # What the other dialect has no place for; each is a fact of the dialects, not of the gateway.
    "openai/test-audio-as-binary-content-input-0": "Messages does not count audio tokens apart",
}


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
PATHS = {"openai_chat": "/v1/chat/completions", "anthropic_messages": "/v1/messages"}
OTHER = {"openai_chat": "anthropic_messages", "anthropic_messages": "openai_chat"}
MODELS = {"openai_chat": "openai/replayed", "anthropic_messages": "anthropic/replayed"}


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
SAME_STOP = {"stop_sequence": "stop", "context_window": "length", "refusal": "content_filter", "pause": "stop"}  # fmt: skip


async def _replayed(
    replay: Replay, provider: Provider, base: str, recording: Recording, caller: str, request: Any
) -> tuple[int, bytes]:
    replay.recording = recording
    request = {**request, "model": MODELS[recording.dialect]}
    answered = await post(base + PATHS[caller], json.dumps(request).encode())
    return answered.status, answered.body


async def test_same_dialect_answers_are_byte_equal() -> None:
    replay = Replay()
    wrong: list[str] = []
    async with providing(replay.script) as provider, serving(in_front_of(provider)) as running:
        for recording in ALL:
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
            if (status, body) != (recording.status, recording.body):
                wrong.append(f"{recording.name}: {status} {len(body)} bytes")
            sent = json.loads(provider.got[-1].body)
            if sent != {**request, "model": "replayed"} and "max_completion_tokens" not in request:
                wrong.append(f"{recording.name}: the request was changed")
    assert len(ALL) >= 270
    assert wrong == []


async def test_the_other_dialects_callers_get_the_same_meaning() -> None:
    replay = Replay()
    wrong: list[str] = []
    done = 0
    chunk = TypeAdapter(openai_types.ChatCompletionChunk)
    event = TypeAdapter(BetaRawMessageStreamEvent)
    async with providing(replay.script) as provider, serving(in_front_of(provider)) as running:
        for recording in ALL:
            caller = OTHER[recording.dialect]
            request: dict[str, Any] = {
                "messages": [{"role": "user", "content": "as recorded"}],
                "max_tokens": 1000,
                "stream": recording.stream,
            }
            if recording.stream and caller == "openai_chat":
                request["stream_options"] = {"include_usage": True}
            status, body = await _replayed(
                replay, provider, running.url, recording, caller, request
            )
            if recording.status != 200:
                if status < 400 or "error" not in json.loads(body):
                    wrong.append(f"{recording.name}: an error became {status}")
                done += 1
                continue
            if recording.stream:
                before = kept_of_stream(recording.dialect, recording.body)
                if isinstance(before, Failure):
                    assert b'"error"' in body
                    done += 1
                    continue
                sse = SseDecoder()
                for piece in [*sse.feed(body), *sse.end()]:
                    if piece.data != b"[DONE]":
                        (chunk if caller == "openai_chat" else event).validate_json(piece.data)
                after = kept_of_stream(caller, body)
                assert isinstance(after, Kept), recording.name
            else:
                before = kept_of(DIALECTS[recording.dialect].parse_answer(recording.body))
                if caller == "openai_chat":
                    openai_types.ChatCompletion.model_validate_json(body)
                else:
                    anthropic_types.BetaMessage.model_validate_json(body)
                after = kept_of(DIALECTS[caller].parse_answer(body))
            before.stop = SAME_STOP.get(before.stop, before.stop)
            after.stop = SAME_STOP.get(after.stop, after.stop)
            if before != after and recording.name not in KNOWN_LOSSES:
                wrong.append(f"{recording.name}: {before} became {after}")
            done += 1
    assert wrong == []
    assert done == len(ALL)


def test_every_recorded_request_is_read_and_translated_or_refused_by_name() -> None:
    from ai_gateway.dialects.dialect import RenderTarget
    from ai_gateway.model.errors import Untranslatable

    target = RenderTarget(model="replayed", adaptive_thinking=True)
    refused: list[tuple[str, str | None]] = []
    for recording in ALL:
        dialect = DIALECTS[recording.dialect]
        body = json.dumps(recording.request).encode()
        dialect.peek(body)
        chat = dialect.parse_request(body)
        assert not any(isinstance(p, Opaque) and not p.path for m in chat.messages for p in m.parts)
        try:
            DIALECTS[OTHER[recording.dialect]].render_request(chat, target)
        except Untranslatable as error:
            refused.append((recording.name, error.field))
    assert [name for name, field in refused if not field] == []
    assert len(refused) < len(ALL) / 2
