"""The simulator as an ASGI application."""

# pyright: basic
# Free JSON, as a client may write it, is read here; typing each shape would say nothing more.

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec
from msgspec.json import decode, encode

from . import anthropic, gemini, openai, other, responses
from .answer import Said
from .options import BadOption, SimulatorOptions, with_headers

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_KEY_HEADERS = (b"authorization", b"x-api-key", b"x-goog-api-key")
_HANG_SECONDS = 3600.0
_FORMS = ("/audio/transcriptions", "/audio/translations", "/images/edits", "/images/variations")
_STATUSES: dict[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "overloaded_error",
    529: "overloaded_error",
}


class Simulator:
    def __init__(self, options: SimulatorOptions) -> None:
        self._options = options
        self._calls = 0
        self._owed_errors = 0.0
        self.stats: Counter[str] = Counter()
        self.accounts: deque[tuple[str, str, int, int]] = deque(maxlen=options.keep_calls)
        """(user, model, input tokens, output tokens) of the last calls, each as it was answered."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path: str = scope["path"].removeprefix("/v1beta").removeprefix("/v1")
        body = await _body(receive)
        try:
            options = with_headers(self._options, scope["headers"])
            await self._answer(scope, path, body, options, send)
        except BadOption as error:
            await _reply(send, 400, encode({"error": {"message": str(error)}}))
        except (openai.Refused, anthropic.Refused, gemini.Refused) as refused:
            self.stats["refused"] += 1
            await _reply(send, refused.status, refused.body)
        except (AttributeError, KeyError, TypeError, msgspec.DecodeError):
            # The shape is none a client library would send; the real ones answer 400 too.
            await _reply(send, 400, openai.Refused(400, "the request could not be read").body)

    async def _answer(
        self, scope: Scope, path: str, body: bytes, options: SimulatorOptions, send: Send
    ) -> None:
        match (scope["method"], path):
            case (
                "POST",
                "/chat/completions"
                | "/messages"
                | "/embeddings"
                | "/messages/count_tokens"
                | "/moderations"
                | "/images/generations"
                | "/rerank"
                | "/completions"
                | "/audio/speech"
                | "/audio/transcriptions"
                | "/audio/translations"
                | "/images/edits"
                | "/images/variations"
                | "/responses",
            ):
                await self._take(scope, path, body, options, send)
            case ("POST", _) if gemini.called(path) is not None:
                await self._take(scope, path, body, options, send)
            case ("GET", "/models"):
                await _reply(send, 200, openai.models())
            case ("GET", "/simulator/stats"):
                await _reply(send, 200, encode(dict(self.stats)))
            case ("GET", "/simulator/calls"):
                await _reply(send, 200, encode(list(self.accounts)))
            case ("POST", "/simulator/reset"):
                self.accounts.clear()
                self.stats.clear()
                await _reply(send, 200, b"{}")
            case ("GET", _) if path.startswith("/models/"):
                await _reply(send, 200, openai.model(path.removeprefix("/models/")))
            case _:
                await _reply(send, 404, _error_body(404, path))

    async def _take(
        self, scope: Scope, path: str, body: bytes, options: SimulatorOptions, send: Send
    ) -> None:
        if options.require_key and not _has_key(scope):
            await _reply(send, 401, _error_body(401, path))
            return
        self._calls += 1
        if not await self._fails(scope, path, options, send):
            await self._call(scope, path, body, options, send)

    async def _call(
        self, scope: Scope, path: str, body: bytes, options: SimulatorOptions, send: Send
    ) -> None:
        number = self._calls
        if path in _FORMS:
            self._count(path, Said(), 0, {})
            answer = other.images({}) if path.startswith("/images") else other.transcription(body)
            await _reply(send, 200, answer, path)
            return
        asked = decode(body)
        if options.first_token_ms:
            await asyncio.sleep(options.first_token_ms / 1000)
        named = gemini.called(path)
        if named is not None:
            await self._call_gemini(scope, path, asked, *named, options, send)
            return
        match path:
            case "/responses":
                response = responses.read_responses(asked, options.answer_tokens)
                if response.stream:
                    events, said = responses.responses_events(response, number)
                    self._count(response.asked.model, said, 1, asked)
                    await self._stream(scope, events, path, options, send)
                    return
                answer, said = responses.responses_answer(response, number)
                self._count(response.asked.model, said, 1, asked)
            case "/chat/completions":
                chat = openai.read_chat(asked, options.answer_tokens)
                if chat.stream:
                    events, said = openai.chat_events(chat, number)
                    self._count(chat.asked.model, said, chat.n, asked)
                    await self._stream(scope, events, path, options, send)
                    return
                answer, said = openai.chat_answer(chat, number)
                self._count(chat.asked.model, said, chat.n, asked)
            case "/messages":
                messages = anthropic.read_messages(asked, options.answer_tokens)
                if messages.stream:
                    events, said = anthropic.messages_events(messages, number)
                    self._count(messages.asked.model, said, 1, asked)
                    await self._stream(scope, events, path, options, send)
                    return
                answer, said = anthropic.messages_answer(messages, number)
                self._count(messages.asked.model, said, 1, asked)
            case "/embeddings":
                answer, tokens = openai.embeddings_answer(asked)
                self._count(asked["model"], Said(input_tokens=tokens), 0, asked)
            case "/completions":
                answer, given, said_tokens = other.completion(asked)
                self._count(
                    asked["model"], Said(input_tokens=given, output_tokens=said_tokens), 1, asked
                )
            case "/audio/speech":
                self._count(asked["model"], Said(), 0, asked)
                await _reply(send, 200, other.speech(asked), path, b"audio/wav")
                return
            case "/moderations":
                answer = other.moderation(asked)
                self._count(asked.get("model", "omni-moderation-latest"), Said(), 0, asked)
            case "/images/generations":
                answer = other.images(asked)
                self._count(asked.get("model", "gpt-image-1"), Said(), 0, asked)
            case "/rerank":
                answer, tokens = other.rerank(asked)
                self._count(asked["model"], Said(input_tokens=tokens), 0, asked)
            case _:
                answer = anthropic.count_answer(anthropic.read_messages(asked, 0, counting=True))
        if options.error_kind == "truncated" and self._owes_error(options):
            answer = answer[: len(answer) // 2]
        await _reply(send, 200, answer, path)

    async def _call_gemini(
        self,
        scope: Scope,
        path: str,
        asked: Any,
        model: str,
        action: str,
        options: SimulatorOptions,
        send: Send,
    ) -> None:
        match action:
            case "countTokens":
                answer = gemini.count_answer(asked, model)
            case "embedContent" | "batchEmbedContents":
                answer, tokens = gemini.embeddings_answer(asked, action)
                self._count(model, Said(input_tokens=tokens), 0, asked)
            case _:
                generate = gemini.read_generate(asked, model, options.answer_tokens)
                if action == "streamGenerateContent":
                    events, said = gemini.generate_events(generate, self._calls)
                    self._count(model, said, 1, asked)
                    await self._stream(scope, events, path, options, send)
                    return
                answer, said = gemini.generate_answer(generate, self._calls)
                self._count(model, said, 1, asked)
        if options.error_kind == "truncated" and self._owes_error(options):
            answer = answer[: len(answer) // 2]
        await _reply(send, 200, answer, path)

    def _count(self, model: str, said: Said, n: int, asked: dict[str, Any]) -> None:
        self.stats["calls"] += 1
        self.stats["input_tokens"] += said.input_tokens
        self.stats["output_tokens"] += said.output_tokens * n
        self.stats[f"calls:{model}"] += 1
        if self.accounts.maxlen:
            user = asked.get("user") or asked.get("metadata", {}).get("user_id", "")
            self.accounts.append((user, model, said.input_tokens, said.output_tokens * n))

    def _owes_error(self, options: SimulatorOptions) -> bool:
        """Evenly spread: a rate of 0.25 fails each fourth call."""
        self._owed_errors += options.error_rate
        if self._owed_errors < 1:
            return False
        self._owed_errors -= 1
        return True

    async def _fails(self, scope: Scope, path: str, options: SimulatorOptions, send: Send) -> bool:
        kind = options.error_kind
        if not options.error_rate or kind == "truncated" or not self._owes_error(options):
            return False
        self.stats["failed"] += 1
        match kind:
            case "hang":
                await asyncio.sleep(_HANG_SECONDS)
            case "reset":
                _reset(scope)
            case "html":
                await _reply(
                    send, 200, b"<html><body>maintenance</body></html>", path, b"text/html"
                )
            case _:
                status = int(kind)
                extra = (
                    []
                    if options.retry_after is None
                    else [(b"retry-after", options.retry_after.encode("latin-1"))]
                )
                await _reply(send, status, _error_body(status, path), path, extra=extra)
        return True

    async def _stream(
        self, scope: Scope, events: list[bytes], path: str, options: SimulatorOptions, send: Send
    ) -> None:
        await _start(send, 200, b"text/event-stream; charset=utf-8", path)
        if options.omit_done:
            events = events[:-1]
        pause = 1 / options.tokens_per_second if options.tokens_per_second else 0
        plain = not (
            pause or options.chunk_bytes or options.cut_after_events or options.stream_error_after
        )
        if plain:
            await send({"type": "http.response.body", "body": b"".join(events)})
            return
        for number, event in enumerate(events):
            if options.cut_after_events and number == options.cut_after_events:
                if options.cut_mid_event:
                    half = event[: len(event) // 2]
                    await send({"type": "http.response.body", "body": half, "more_body": True})
                _reset(scope)
                return
            if options.stream_error_after and number == options.stream_error_after:
                event = _stream_error(path)
                await send({"type": "http.response.body", "body": event})
                return
            size = options.chunk_bytes or len(event)
            for at in range(0, len(event), size):
                piece = event[at : at + size]
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            if pause:
                await asyncio.sleep(pause)
                if scope["simulator.transport"].is_closing():
                    # The caller left; a real provider stops too.
                    return
        await send({"type": "http.response.body", "body": b""})


def _reset(scope: Scope) -> None:
    """Drops the connection with what was promised unsent, as a failing provider would."""
    scope["simulator.transport"].abort()


async def _body(receive: Receive) -> bytes:
    pieces: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(pieces)


def _has_key(scope: Scope) -> bool:
    return any(name in _KEY_HEADERS for name, _ in scope["headers"])


def _error_body(status: int, path: str) -> bytes:
    kind = _STATUSES[status]
    message = f"The simulator was asked to answer {status}."
    if path.startswith("/messages"):
        return encode({"type": "error", "error": {"type": kind, "message": message}})
    if gemini.called(path) is not None:
        return gemini.error_body(status, message)
    return encode({"error": {"message": message, "type": kind, "param": None, "code": None}})


def _stream_error(path: str) -> bytes:
    body = _error_body(529, path)
    if path.startswith("/messages"):
        return b"event: error\ndata: " + body + b"\n\n"
    if path == "/responses":
        error = {"type": "error", "code": "overloaded_error", "message": "As asked.", "param": None}
        return b"event: error\ndata: " + encode({**error, "sequence_number": 0}) + b"\n\n"
    return b"data: " + body + b"\n\n"


async def _reply(
    send: Send,
    status: int,
    body: bytes,
    path: str = "",
    content_type: bytes = b"application/json",
    extra: list[tuple[bytes, bytes]] | None = None,
) -> None:
    await _start(
        send, status, content_type, path, [(b"content-length", b"%d" % len(body)), *(extra or ())]
    )
    await send({"type": "http.response.body", "body": body})


_OPENAI_LIMITS = [
    (b"x-ratelimit-limit-requests", b"10000"),
    (b"x-ratelimit-remaining-requests", b"9999"),
    (b"x-ratelimit-reset-requests", b"6ms"),
]
_ANTHROPIC_LIMITS = [
    (b"anthropic-ratelimit-requests-limit", b"10000"),
    (b"anthropic-ratelimit-requests-remaining", b"9999"),
    (b"anthropic-ratelimit-requests-reset", b"2030-01-01T00:00:00Z"),
]


async def _start(
    send: Send,
    status: int,
    content_type: bytes,
    path: str,
    extra: list[tuple[bytes, bytes]] | None = None,
) -> None:
    limits = _ANTHROPIC_LIMITS if path.startswith("/messages") else _OPENAI_LIMITS
    headers = [(b"content-type", content_type), (b"x-simulator", b"true"), *limits, *(extra or ())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
