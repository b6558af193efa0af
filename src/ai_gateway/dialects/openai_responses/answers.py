"""Whole answers of Responses."""

import msgspec
from msgspec import Raw
from msgspec.json import decode, encode

from ai_gateway.dialects.dialect import AnswerPeek, BadAnswer, Rendered
from ai_gateway.dialects.signatures import redacted_as_signature
from ai_gateway.model.answer import Answer, StopReason
from ai_gateway.model.chat import Chat, Tool
from ai_gateway.model.content import (
    Opaque,
    Part,
    RedactedThinking,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)
from ai_gateway.model.errors import GatewayError
from ai_gateway.model.usage import NO_USAGE

from .items import (
    DIALECT,
    content_part,
    encrypted_for_caller,
    function_call_item,
    kind_of,
    message_item,
    own_signature,
    reasoning_item,
    thinking_of,
)
from .render import format_to_wire, tool_choice_to_wire, tool_to_wire
from .stops import stop_from_wire, stop_to_wire
from .usage import usage_from_wire, usage_to_wire
from .wire import WireResponse, decode_answer, decode_peeked_answer

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, GatewayError)
NO_LIKE = "left out: Responses has no like of it"


def peek_answer(body: bytes) -> AnswerPeek:
    """Raises BadAnswer."""
    try:
        wire = decode_peeked_answer.decode(body)
    except UNREADABLE as error:
        raise bad_answer(error) from None
    reason = None if wire.incomplete_details is None else wire.incomplete_details.reason
    called = any(item.type == "function_call" for item in wire.output)
    return AnswerPeek(
        usage=None if wire.usage is None else usage_from_wire(wire.usage),
        stop=stop_from_wire(wire.status, reason, called=called),
        model=wire.model,
    )


def bad_answer(error: Exception) -> BadAnswer:
    """msgspec names fields and types, never values, so its words are safe to log."""
    if isinstance(error, msgspec.DecodeError):
        return BadAnswer(str(error))
    if isinstance(error, GatewayError):
        return BadAnswer(f"an output item is not as it must be: {error.field or 'unknown field'}")
    return BadAnswer("not JSON in UTF-8")


def parse_answer(body: bytes) -> Answer:
    """Raises BadAnswer."""
    try:
        wire = decode_answer.decode(body)
        parts = parts_of(wire.output)
    except UNREADABLE as error:
        raise bad_answer(error) from None
    if wire.status in ("queued", "in_progress"):
        raise BadAnswer(f"the response is still {wire.status}")
    return Answer(
        id=wire.id,
        model=wire.model,
        created=int(wire.created_at or 0),
        parts=tuple(parts),
        stop=stop_of(wire, called=any(isinstance(p, ToolCall) for p in parts)),
        usage=NO_USAGE if wire.usage is None else usage_from_wire(wire.usage),
    )


def stop_of(wire: WireResponse, *, called: bool) -> StopReason:
    reason = None if wire.incomplete_details is None else wire.incomplete_details.reason
    return stop_from_wire(wire.status, reason, called=called)


def parts_of(output: list[Raw]) -> list[Part]:
    parts: list[Part] = []
    for index, raw in enumerate(output):
        parts += item_parts(raw, f"output[{index}]")
    return parts


def item_parts(raw: Raw, path: str) -> list[Part]:
    match kind_of(raw, path):
        case "message":
            content = message_item.decode(raw).content
            if isinstance(content, str):
                return [Text(text=content)]
            return [_at_no_path(content_part(part, path)) for part in content]
        case "function_call":
            call = function_call_item.decode(raw)
            return [ToolCall(id=call.call_id, name=call.name, arguments=call.arguments)]
        case "reasoning":
            return [thinking_of(reasoning_item.decode(raw))]
        case kind:
            return [Opaque(dialect=DIALECT, kind=kind, raw=raw)]


def _at_no_path(part: Part) -> Part:
    return msgspec.structs.replace(part, path="") if isinstance(part, Opaque) else part


def render_answer(answer: Answer, chat: Chat) -> Rendered:
    notes: dict[str, None] = {}
    response_id = response_id_of(answer.id)
    output = output_of(answer.parts, response_id, notes)
    refused = any(isinstance(p, Refusal) for p in answer.parts)
    status, reason = stop_to_wire(answer.stop, refused=refused)
    body = response_object(
        chat,
        id=response_id,
        model=answer.model,
        created=answer.created,
        status=status,
        reason=reason,
        output=output,
    )
    body["usage"] = usage_to_wire(answer.usage)
    return Rendered(encode(body), tuple(notes))


def response_id_of(given: str) -> str:
    """OpenAI's ids begin with `resp_`; another provider's is kept behind it."""
    return given if given.startswith("resp_") else f"resp_{given}"


def item_id(kind: str, response_id: str, index: int) -> str:
    return f"{kind}_{response_id.removeprefix('resp_')}_{index}"


def output_of(
    parts: tuple[Part, ...], response_id: str, notes: dict[str, None]
) -> list[dict[str, object]]:
    """Items; texts and refusals that follow each other share a message."""
    output: list[dict[str, object]] = []
    content: list[object] = []
    for part in parts:
        if isinstance(part, Text | Refusal):
            if not content:
                output.append(message_to_wire(item_id("msg", response_id, len(output)), content))
            content.append(text_to_wire(part))
            if isinstance(part, Text) and part.citations is not None:
                notes[f"citations {NO_LIKE}"] = None
            continue
        item = item_to_wire(part, response_id, len(output), notes)
        if item is not None:
            content = []
            output.append(item)
    return output


def message_to_wire(
    message_id: str, content: list[object], status: str = "completed"
) -> dict[str, object]:
    return {
        "id": message_id,
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": content,
    }


def text_to_wire(part: Text | Refusal) -> dict[str, object]:
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    return {"type": "output_text", "text": part.text, "annotations": [], "logprobs": []}


def item_to_wire(
    part: Part, response_id: str, index: int, notes: dict[str, None]
) -> dict[str, object] | None:
    match part:
        case ToolCall():
            return {
                "id": item_id("fc", response_id, index),
                "type": "function_call",
                "status": "completed",
                "call_id": part.id,
                "name": part.name,
                "arguments": part.arguments,
            }
        case Thinking():
            return reasoning_to_wire(part.text, part.signature, response_id, index)
        case RedactedThinking():
            signature = redacted_as_signature(part.data)
            return reasoning_to_wire("", signature, response_id, index)
        case Opaque(dialect="openai_responses"):
            return decode(part.raw, type=dict[str, object])
        case _:
            kind = part.kind if isinstance(part, Opaque) else type(part).__name__
            notes[f"{kind} {NO_LIKE}"] = None
            return None


def reasoning_to_wire(
    text: str, signature: str | None, response_id: str, index: int
) -> dict[str, object]:
    own = own_signature(signature)
    own_id = None if own is None else own[0]
    return {
        "id": own_id or item_id("rs", response_id, index),
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": text}] if text else [],
        "encrypted_content": encrypted_for_caller(signature) if signature else None,
    }


def response_object(
    chat: Chat,
    *,
    id: str,
    model: str,
    created: int,
    status: str,
    output: list[dict[str, object]],
    reason: str | None = None,
) -> dict[str, object]:
    """The answer around its output, repeating what was asked, as the real one does."""
    instructions = [m for m in chat.messages if m.path == "instructions"]
    reasoning = chat.reasoning
    failed = {"code": "server_error", "message": "The provider gave up on the answer."}
    return {
        "id": id,
        "object": "response",
        "created_at": created,
        "status": status,
        "background": False,
        "error": failed if status == "failed" else None,
        "incomplete_details": None if reason is None else {"reason": reason},
        "instructions": "".join(
            p.text for m in instructions for p in m.parts if isinstance(p, Text)
        )
        or None,
        "max_output_tokens": chat.max_tokens,
        "model": model,
        "output": output,
        "parallel_tool_calls": chat.parallel_tool_calls is not False,
        "previous_response_id": None,
        "reasoning": {
            "effort": None if reasoning is None else reasoning.effort,
            "summary": None if reasoning is None else reasoning.summary,
        },
        "service_tier": "default",
        "store": False,
        "temperature": 1.0 if chat.temperature is None else chat.temperature,
        "text": {
            "format": {"type": "text"}
            if chat.response_format is None
            else format_to_wire(chat.response_format)
        },
        "tool_choice": "auto"
        if chat.tool_choice is None
        else tool_choice_to_wire(chat.tool_choice),
        "tools": [tool_to_wire(t) if isinstance(t, Tool) else t.raw for t in chat.tools],
        "top_p": 1.0 if chat.top_p is None else chat.top_p,
        "truncation": "disabled",
        "usage": None,
        "user": chat.user,
        "metadata": chat.left_out.get("metadata", {}),
    }
