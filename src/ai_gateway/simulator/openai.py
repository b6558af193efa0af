"""OpenAI's side of the simulator: chat, embeddings, models."""

# pyright: basic
# Free JSON, as a client may write it, is read here; typing each shape would say nothing more.

import base64
import hashlib
import random
from array import array
from math import sqrt
from typing import Any

from msgspec import Struct
from msgspec.json import encode

from .answer import Asked, Said, pieces, say, tokens_in

MODELS = (
    "gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-5", "gpt-5-mini", "o3", "o4-mini",
    "text-embedding-3-small", "text-embedding-3-large", "claude-sonnet-4-5", "claude-haiku-4-5", "gemini-2.5-flash",
)  # fmt: skip
CREATED = 1_700_000_000


class Refused(Exception):
    """A request the real one would refuse."""

    def __init__(
        self, status: int, message: str, param: str | None = None, code: str | None = None
    ):
        super().__init__(message)
        self.status = status
        self.body = encode(
            {
                "error": {
                    "message": message,
                    "type": "invalid_request_error",
                    "param": param,
                    "code": code,
                }
            }
        )


class ChatAsked(Struct):
    asked: Asked
    n: int
    stream: bool
    include_usage: bool


def read_chat(body: Any, answer_tokens: int) -> ChatAsked:
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        raise Refused(400, "you must provide a model parameter")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refused(400, "Missing required parameter: 'messages'.", "messages")
    if body["model"].startswith("missing-"):
        message = f"The model `{body['model']}` does not exist or you do not have access to it."
        raise Refused(404, message, None, "model_not_found")
    wanted = body.get("response_format") or {}
    asked = Asked(
        model=body["model"],
        tools=[
            (t["function"]["name"], t["function"].get("parameters") or {})
            for t in body.get("tools") or []
            if t.get("type") == "function"
        ],
        tool_choice=_tool_choice(body.get("tool_choice")),
        parallel=body.get("parallel_tool_calls") is not False,
        schema=(wanted.get("json_schema") or {}).get("schema"),
        json_object=wanted.get("type") == "json_object",
        stop=[body["stop"]] if isinstance(body.get("stop"), str) else body.get("stop") or [],
        max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
        thinking=body.get("reasoning_effort") not in (None, "none", "minimal"),
        answer_tokens=answer_tokens,
    )
    for message in messages:
        _read_message(message, asked)
    options = body.get("stream_options") or {}
    return ChatAsked(
        asked, body.get("n") or 1, bool(body.get("stream")), bool(options.get("include_usage"))
    )


def _tool_choice(choice: Any) -> str:
    if isinstance(choice, dict):
        return f"tool:{choice.get('function', {}).get('name')}"
    return choice or "auto"


def _read_message(message: Any, asked: Asked) -> None:
    content = message.get("content")
    texts: list[str] = []
    if isinstance(content, str):
        texts.append(content)
    for part in content if isinstance(content, list) else []:
        match part.get("type"):
            case "text":
                texts.append(part.get("text") or "")
            case "image_url":
                asked.images += 1
            case "file":
                asked.documents += 1
            case _:
                pass
    text = " ".join(texts)
    asked.prompt_characters += len(text)
    match message.get("role"):
        case "tool":
            asked.tool_results = [*asked.tool_results, text]
        case "user":
            asked.last_text = text
            asked.tool_results = []
        case _:
            pass


def usage(said: Said, n: int = 1) -> dict[str, Any]:
    output = said.output_tokens * n
    return {
        "prompt_tokens": said.input_tokens,
        "completion_tokens": output,
        "total_tokens": said.input_tokens + output,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": said.thinking_tokens, "audio_tokens": 0},
    }


def _finish(said: Said) -> str:
    match said.stop:
        case "length" | "tool_calls":
            return said.stop
        case _:
            return "stop"


def _call(call: tuple[str, str, Any]) -> dict[str, Any]:
    return {
        "id": f"call_{call[0]}",
        "type": "function",
        "function": {"name": call[1], "arguments": encode(call[2]).decode()},
    }


def chat_answer(chat: ChatAsked, number: int) -> tuple[bytes, Said]:
    said = say(chat.asked, number)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if said.calls or said.refusal else said.text,
        "refusal": said.text if said.refusal else None,
        "annotations": [],
    }
    if said.calls:
        message["tool_calls"] = [_call(call) for call in said.calls]
    choices = [
        {"index": i, "message": message, "logprobs": None, "finish_reason": _finish(said)}
        for i in range(chat.n)
    ]
    body = encode(
        {
            "id": f"chatcmpl-simulator{number:08d}",
            "object": "chat.completion",
            "created": CREATED,
            "model": chat.asked.model,
            "choices": choices,
            "usage": usage(said, chat.n),
            "service_tier": "default",
            "system_fingerprint": "simulator",
        }
    )
    return body, said


def chat_events(chat: ChatAsked, number: int) -> tuple[list[bytes], Said]:
    """A whole stream, an event each."""
    said = say(chat.asked, number)
    head = {
        "id": f"chatcmpl-simulator{number:08d}",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": chat.asked.model,
        "system_fingerprint": "simulator",
    }

    def chunk(index: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        body: dict[str, Any] = {**head, "choices": [choice]}
        if chat.include_usage:
            body["usage"] = None
        return b"data: " + encode(body) + b"\n\n"

    events: list[bytes] = []
    for i in range(chat.n):
        events.append(chunk(i, {"role": "assistant", "content": None if said.calls else ""}))
        field = "refusal" if said.refusal else "content"
        events += [chunk(i, {field: piece}) for piece in pieces(said.text)]
        for position, call in enumerate(said.calls):
            whole = _call(call)
            arguments = whole["function"]["arguments"]
            whole["function"]["arguments"] = ""
            events.append(chunk(i, {"tool_calls": [{"index": position, **whole}]}))
            for start in range(0, len(arguments), 12):
                piece = {"arguments": arguments[start : start + 12]}
                events.append(chunk(i, {"tool_calls": [{"index": position, "function": piece}]}))
        events.append(chunk(i, {}, _finish(said)))
    if chat.include_usage:
        body = {**head, "choices": [], "usage": usage(said, chat.n)}
        events.append(b"data: " + encode(body) + b"\n\n")
    events.append(b"data: [DONE]\n\n")
    return events, said


def embeddings_answer(body: Any) -> tuple[bytes, int]:
    """The answer and how many tokens it counts."""
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        raise Refused(400, "you must provide a model parameter")
    given = body.get("input")
    if isinstance(given, str) or (isinstance(given, list) and given and isinstance(given[0], int)):
        given = [given]
    if not isinstance(given, list) or not given:
        raise Refused(400, "'input' must be a non-empty string or array.", "input")
    size = body.get("dimensions") or (3072 if "large" in body["model"] else 1536)
    packed = body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": i, "embedding": _vector(entry, size, packed)}
        for i, entry in enumerate(given)
    ]
    tokens = sum(tokens_in(e) if isinstance(e, str) else len(e) for e in given)
    answer = {
        "object": "list",
        "data": data,
        "model": body["model"],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    return encode(answer), tokens


def _vector(entry: Any, size: int, packed: bool) -> Any:
    unit = unit_vector(entry, size)
    return base64.b64encode(array("f", unit).tobytes()).decode() if packed else unit


def unit_vector(entry: Any, size: int) -> list[float]:
    """It only depends on the input."""
    seed = hashlib.sha256(repr(entry).encode()).digest()
    source = random.Random(seed)
    values = [source.gauss(0, 1) for _ in range(size)]
    length = sqrt(sum(v * v for v in values))
    return [v / length for v in values]


def models() -> bytes:
    return encode({"object": "list", "data": [_model(name) for name in MODELS]})


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "simulator"}


def model(name: str) -> bytes:
    return encode(_model(name))
