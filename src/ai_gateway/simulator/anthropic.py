"""Anthropic's side of the simulator: messages and token counts."""

# pyright: basic
# Free JSON, as a client may write it, is read here; typing each shape would say nothing more.

import hashlib
from typing import Any

from msgspec import Struct
from msgspec.json import encode

from .answer import Asked, Said, pieces, say, tokens_in


class Refused(Exception):
    """A request the real one would refuse."""

    def __init__(self, status: int, message: str, error_type: str = "invalid_request_error"):
        super().__init__(message)
        self.status = status
        self.body = encode({"type": "error", "error": {"type": error_type, "message": message}})


class MessagesAsked(Struct):
    asked: Asked
    stream: bool


def signature(text: str) -> str:
    """Proves, to the simulator itself, that a thinking block is one of its own."""
    return "sim" + hashlib.sha256(text.encode()).hexdigest()


def read_messages(body: Any, answer_tokens: int, *, counting: bool = False) -> MessagesAsked:
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        raise Refused(400, "model: Field required")
    if not counting and not isinstance(body.get("max_tokens"), int):
        raise Refused(400, "max_tokens: Field required")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refused(400, "messages: at least one message is required")
    if messages[0].get("role") != "user":
        raise Refused(400, 'messages: first message must use the "user" role')
    if body["model"].startswith("missing-"):
        raise Refused(404, f"model: {body['model']}", "not_found_error")
    choice = body.get("tool_choice") or {}
    kind = choice.get("type", "auto")
    output_format = (body.get("output_config") or {}).get("format") or {}
    asked = Asked(
        model=body["model"],
        tools=[
            (t["name"], t["input_schema"]) for t in body.get("tools") or [] if "input_schema" in t
        ],
        tool_choice=str({"any": "required", "tool": f"tool:{choice.get('name')}"}.get(kind, kind)),
        parallel=not choice.get("disable_parallel_tool_use"),
        schema=output_format.get("schema"),
        stop=body.get("stop_sequences") or [],
        max_tokens=body.get("max_tokens"),
        thinking=(body.get("thinking") or {}).get("type") in ("enabled", "adaptive"),
        answer_tokens=answer_tokens,
    )
    system = body.get("system")
    for text in [system] if isinstance(system, str) else [b.get("text", "") for b in system or []]:
        asked.prompt_characters += len(text)
    known_calls: set[str] = set()
    for message in messages:
        _read_message(message, asked, known_calls)
    return MessagesAsked(asked, bool(body.get("stream")))


def _read_message(message: Any, asked: Asked, known_calls: set[str]) -> None:
    content = message.get("content")
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    texts: list[str] = []
    results: list[str] = []
    for block in blocks:
        match block.get("type"):
            case "text":
                if not block.get("text"):
                    raise Refused(400, "messages: text content blocks must be non-empty")
                texts.append(block["text"])
            case "image":
                asked.images += 1
            case "document":
                asked.documents += 1
            case "tool_use":
                known_calls.add(str(block.get("id")))
            case "tool_result":
                if block.get("tool_use_id") not in known_calls:
                    raise Refused(400, "messages: `tool_result` without its `tool_use` before it")
                results.append(_result_text(block.get("content")))
            case "thinking":
                if block.get("signature") != signature(block.get("thinking", "")):
                    raise Refused(400, "messages: Invalid `signature` in `thinking` block")
            case _:
                pass
    text = " ".join(texts)
    asked.prompt_characters += len(text) + sum(len(r) for r in results)
    if message.get("role") == "user":
        asked.last_text = text
        asked.tool_results = results


def _result_text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return " ".join(block.get("text", "") for block in content or [])


def _stop(said: Said) -> tuple[str, str | None]:
    match said.stop:
        case "length":
            return "max_tokens", None
        case "tool_calls":
            return "tool_use", None
        case "refusal":
            return "refusal", None
        case stop if stop.startswith("sequence:"):
            return "stop_sequence", stop.removeprefix("sequence:")
        case _:
            return "end_turn", None


def _usage(said: Said, output_tokens: int) -> dict[str, Any]:
    return {
        "input_tokens": said.input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output_tokens,
        "service_tier": "standard",
    }


def messages_answer(messages: MessagesAsked, number: int) -> tuple[bytes, Said]:
    said = say(messages.asked, number)
    content: list[dict[str, Any]] = []
    if said.thinking:
        proof = signature(said.thinking)
        content.append({"type": "thinking", "thinking": said.thinking, "signature": proof})
    if said.text:
        content.append({"type": "text", "text": said.text})
    for call_id, name, arguments in said.calls:
        content.append(
            {"type": "tool_use", "id": f"toolu_{call_id}", "name": name, "input": arguments}
        )
    reason, sequence = _stop(said)
    body = encode(
        {
            "id": f"msg_simulator{number:08d}",
            "type": "message",
            "role": "assistant",
            "model": messages.asked.model,
            "content": content,
            "stop_reason": reason,
            "stop_sequence": sequence,
            "usage": _usage(said, said.output_tokens),
        }
    )
    return body, said


def messages_events(messages: MessagesAsked, number: int) -> tuple[list[bytes], Said]:
    """A whole stream, an event each."""
    said = say(messages.asked, number)
    start = {
        "id": f"msg_simulator{number:08d}",
        "type": "message",
        "role": "assistant",
        "model": messages.asked.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _usage(said, 1),
    }
    events = [_event("message_start", {"message": start}), _event("ping", {})]
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    if said.thinking:
        deltas = [{"type": "thinking_delta", "thinking": p} for p in pieces(said.thinking)]
        deltas.append({"type": "signature_delta", "signature": signature(said.thinking)})
        blocks.append(({"type": "thinking", "thinking": "", "signature": ""}, deltas))
    if said.text:
        deltas = [{"type": "text_delta", "text": p} for p in pieces(said.text)]
        blocks.append(({"type": "text", "text": ""}, deltas))
    for call_id, name, arguments in said.calls:
        text = encode(arguments).decode()
        deltas = [
            {"type": "input_json_delta", "partial_json": text[i : i + 12]}
            for i in range(0, len(text), 12)
        ]
        block = {"type": "tool_use", "id": f"toolu_{call_id}", "name": name, "input": {}}
        blocks.append((block, deltas))
    for index, (block, deltas) in enumerate(blocks):
        events.append(_event("content_block_start", {"index": index, "content_block": block}))
        events += [_event("content_block_delta", {"index": index, "delta": d}) for d in deltas]
        events.append(_event("content_block_stop", {"index": index}))
    reason, sequence = _stop(said)
    delta = {"stop_reason": reason, "stop_sequence": sequence}
    usage = {"output_tokens": said.output_tokens}
    events.append(_event("message_delta", {"delta": delta, "usage": usage}))
    events.append(_event("message_stop", {}))
    return events, said


def _event(kind: str, rest: dict[str, Any]) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + encode({"type": kind, **rest}) + b"\n\n"


def count_answer(messages: MessagesAsked) -> bytes:
    return encode({"input_tokens": max(1, tokens_in(messages.asked.prompt_characters))})
