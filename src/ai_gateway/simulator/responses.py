"""OpenAI's Responses, as the simulator speaks it."""

# pyright: basic
# Free JSON, as a client may write it, is read here; typing each shape would say nothing more.

from typing import Any

from msgspec import Struct
from msgspec.json import encode

from .answer import Asked, Said, pieces, say
from .openai import CREATED, Refused

_ENCRYPTED = "gAAAAsimulator"


class ResponsesAsked(Struct):
    asked: Asked
    stream: bool
    body: dict[str, Any]


def read_responses(body: Any, answer_tokens: int) -> ResponsesAsked:
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        raise Refused(400, "you must provide a model parameter")
    if body["model"].startswith("missing-"):
        message = f"The model `{body['model']}` does not exist or you do not have access to it."
        raise Refused(404, message, None, "model_not_found")
    given = body.get("input")
    if not given:
        raise Refused(400, "One of 'input' or 'prompt' must be provided.", "input")
    limit = body.get("max_output_tokens")
    if limit is not None and limit < 16:
        raise Refused(400, "Expected a value >= 16.", "max_output_tokens")
    wanted = (body.get("text") or {}).get("format") or {}
    choice = body.get("tool_choice") or "auto"
    reasoning = body.get("reasoning") or {}
    asked = Asked(
        model=body["model"],
        tools=[
            (t["name"], t.get("parameters") or {})
            for t in body.get("tools") or []
            if t.get("type") == "function"
        ],
        tool_choice=f"tool:{choice.get('name')}" if isinstance(choice, dict) else choice,
        parallel=body.get("parallel_tool_calls") is not False,
        schema=wanted.get("schema"),
        json_object=wanted.get("type") == "json_object",
        max_tokens=limit,
        thinking=reasoning.get("effort") not in (None, "none", "minimal"),
        answer_tokens=answer_tokens,
        prompt_characters=len(body.get("instructions") or ""),
    )
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    for item in items:
        _read_item(item, asked)
    return ResponsesAsked(asked, bool(body.get("stream")), body)


def _read_item(item: Any, asked: Asked) -> None:
    match item.get("type", "message"):
        case "function_call_output":
            text = _text(item.get("output"), asked)
            asked.tool_results = [*asked.tool_results, text]
            asked.prompt_characters += len(text)
        case "reasoning":
            if item.get("encrypted_content") != _ENCRYPTED:
                raise Refused(400, "The encrypted content could not be verified.", "input")
        case "message":
            text = _text(item.get("content"), asked)
            asked.prompt_characters += len(text)
            if item.get("role") == "user":
                asked.last_text, asked.tool_results = text, []
        case _:
            pass


def _text(content: Any, asked: Asked) -> str:
    if isinstance(content, str):
        return content
    texts: list[str] = []
    for part in content or []:
        match part.get("type"):
            case "input_text" | "output_text":
                texts.append(part["text"])
            case "input_image":
                asked.images += 1
            case "input_file":
                asked.documents += 1
            case _:
                pass
    return " ".join(texts)


def _output(said: Said, number: int) -> list[dict[str, Any]]:
    output: list[dict[str, Any]] = []
    if said.thinking:
        output.append(
            {
                "id": f"rs_simulator{number:08d}",
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": said.thinking}],
                "encrypted_content": _ENCRYPTED,
            }
        )
    if said.text or not said.calls:
        part: dict[str, Any] = {"type": "refusal", "refusal": said.text}
        if not said.refusal:
            part = {"type": "output_text", "text": said.text, "annotations": [], "logprobs": []}
        output.append(
            {
                "id": f"msg_simulator{number:08d}",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [part],
            }
        )
    for call_id, name, arguments in said.calls:
        output.append(
            {
                "id": f"fc_{call_id}",
                "type": "function_call",
                "status": "completed",
                "call_id": f"call_{call_id}",
                "name": name,
                "arguments": encode(arguments).decode(),
            }
        )
    return output


def _response(asked: ResponsesAsked, said: Said | None, number: int) -> dict[str, Any]:
    body = asked.body
    cut = said is not None and said.stop == "length"
    usage = None
    if said is not None:
        usage = {
            "input_tokens": said.input_tokens,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": said.output_tokens,
            "output_tokens_details": {"reasoning_tokens": said.thinking_tokens},
            "total_tokens": said.input_tokens + said.output_tokens,
        }
    return {
        "id": f"resp_simulator{number:08d}",
        "object": "response",
        "created_at": CREATED,
        "status": "in_progress" if said is None else "incomplete" if cut else "completed",
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "model": body["model"],
        "output": [] if said is None else _output(said, number),
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "previous_response_id": None,
        "reasoning": body.get("reasoning") or {"effort": None, "summary": None},
        "store": body.get("store") is not False,
        "temperature": 1.0,
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage,
        "metadata": body.get("metadata") or {},
    }


def responses_answer(asked: ResponsesAsked, number: int) -> tuple[bytes, Said]:
    said = say(asked.asked, number)
    return encode(_response(asked, said, number)), said


def responses_events(asked: ResponsesAsked, number: int) -> tuple[list[bytes], Said]:
    """A whole stream, an event each."""
    said = say(asked.asked, number)
    begun = _response(asked, None, number)
    told: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    whole = _response(asked, said, number)
    for index, item in enumerate(whole["output"]):
        told += _item_events(item, index)
    told.append({"type": f"response.{whole['status']}", "response": whole})
    events = [
        b"event: %b\ndata: %b\n\n" % (e["type"].encode(), encode({**e, "sequence_number": n}))
        for n, e in enumerate(told)
    ]
    return events, said


def _item_events(item: dict[str, Any], index: int) -> list[dict[str, Any]]:
    at = {"item_id": item["id"], "output_index": index}
    match item["type"]:
        case "reasoning":
            begun = {**item, "summary": []}
            inner = _summary_events(item["summary"][0], at)
        case "message":
            begun = {**item, "status": "in_progress", "content": []}
            inner = _content_events(item["content"][0], at)
        case _:
            begun = {**item, "status": "in_progress", "arguments": ""}
            inner = _call_events(item["arguments"], at)
    return [
        {"type": "response.output_item.added", "output_index": index, "item": begun},
        *inner,
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]


def _summary_events(part: dict[str, Any], at: dict[str, Any]) -> list[dict[str, Any]]:
    at = {**at, "summary_index": 0}
    kind = "response.reasoning_summary"
    return [
        {"type": f"{kind}_part.added", **at, "part": {**part, "text": ""}},
        *({"type": f"{kind}_text.delta", **at, "delta": p} for p in pieces(part["text"])),
        {"type": f"{kind}_text.done", **at, "text": part["text"]},
        {"type": f"{kind}_part.done", **at, "part": part},
    ]


def _content_events(part: dict[str, Any], at: dict[str, Any]) -> list[dict[str, Any]]:
    at = {**at, "content_index": 0}
    field = "refusal" if part["type"] == "refusal" else "text"
    kind = "response.refusal" if field == "refusal" else "response.output_text"
    more = {} if field == "refusal" else {"logprobs": []}
    return [
        {"type": "response.content_part.added", **at, "part": {**part, field: ""}},
        *({"type": f"{kind}.delta", **at, "delta": p, **more} for p in pieces(part[field])),
        {"type": f"{kind}.done", **at, field: part[field], **more},
        {"type": "response.content_part.done", **at, "part": part},
    ]


def _call_events(arguments: str, at: dict[str, Any]) -> list[dict[str, Any]]:
    kind = "response.function_call_arguments"
    cut = [arguments[i : i + 12] for i in range(0, len(arguments), 12)]
    return [
        *({"type": f"{kind}.delta", **at, "delta": piece} for piece in cut),
        {"type": f"{kind}.done", **at, "arguments": arguments},
    ]
