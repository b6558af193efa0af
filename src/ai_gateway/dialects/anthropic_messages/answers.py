"""Whole answers of Messages."""

import msgspec
from msgspec import Raw
from msgspec.json import encode

from ai_gateway.dialects.dialect import AnswerPeek, BadAnswer, Rendered
from ai_gateway.dialects.signatures import bare
from ai_gateway.model.answer import Answer, StopReason
from ai_gateway.model.chat import Chat
from ai_gateway.model.content import (
    Opaque,
    Part,
    RedactedThinking,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)
from ai_gateway.model.usage import NO_USAGE

from .blocks import DIALECT, STRUCTURED_ANSWER, part_from_block
from .stops import stop_from_wire, stop_to_wire
from .usage import usage_from_wire, usage_to_wire
from .wire import decode_answer, decode_peeked_answer

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def peek_answer(body: bytes) -> AnswerPeek:
    """Raises BadAnswer."""
    try:
        wire = decode_peeked_answer.decode(body)
    except UNREADABLE as error:
        raise bad_answer(error) from None
    return AnswerPeek(
        usage=None if wire.usage is None else usage_from_wire(wire.usage),
        stop=None if wire.stop_reason is None else stop_from_wire(wire.stop_reason),
        model=wire.model,
    )


def bad_answer(error: Exception) -> BadAnswer:
    """msgspec names fields and types, never values, so its words are safe to log."""
    if isinstance(error, msgspec.DecodeError):
        return BadAnswer(str(error))
    return BadAnswer("not JSON in UTF-8")


def parse_answer(body: bytes) -> Answer:
    """Raises BadAnswer."""
    try:
        wire = decode_answer.decode(body)
        parts = [part_from_block(raw) for raw in wire.content]
    except UNREADABLE as error:
        raise bad_answer(error) from None
    stop = stop_from_wire(wire.stop_reason or "end_turn")
    if any(isinstance(p, ToolCall) and p.name == STRUCTURED_ANSWER for p in parts):
        parts = [_structured(p) for p in parts]
        stop = "stop" if stop == "tool_calls" else stop
    return Answer(
        id=wire.id,
        model=wire.model,
        parts=tuple(parts),
        stop=stop,
        stop_sequence=wire.stop_sequence,
        usage=NO_USAGE if wire.usage is None else usage_from_wire(wire.usage),
    )


def _structured(part: Part) -> Part:
    """The forced tool's input is the answer the caller asked for."""
    if isinstance(part, ToolCall) and part.name == STRUCTURED_ANSWER:
        return Text(text=part.arguments)
    return part


def render_answer(answer: Answer, chat: Chat) -> Rendered:
    notes: dict[str, None] = {}
    content: list[dict[str, object]] = []
    cut = answer.stop in ("length", "context_window")
    for part in answer.parts:
        if cut and isinstance(part, ToolCall) and not _is_object(part.arguments):
            notes["a tool call was cut by the output limit: its input is left empty"] = None
            part = ToolCall(id=part.id, name=part.name, arguments="")
        block = block_of(part, notes)
        if block is not None:
            content.append(block)
    body = encode(
        {
            "id": message_id(answer.id),
            "type": "message",
            "role": "assistant",
            "model": answer.model,
            "content": content,
            "stop_reason": stop_to_wire(stop_of(answer.stop, answer.parts)),
            "stop_sequence": answer.stop_sequence,
            "usage": usage_to_wire(answer.usage),
        }
    )
    return Rendered(body, tuple(notes))


def message_id(given: str) -> str:
    """Anthropic's ids begin with `msg_`; another provider's is kept behind it."""
    return given if given.startswith("msg_") else f"msg_{given}"


def stop_of(stop: StopReason, parts: tuple[Part, ...]) -> StopReason:
    if stop == "stop" and any(isinstance(p, Refusal) for p in parts):
        return "refusal"
    return stop


def block_of(part: Part, notes: dict[str, None]) -> dict[str, object] | None:
    match part:
        case Text():
            if part.citations is not None:
                notes["annotations left out: Messages has no like of them"] = None
            return {"type": "text", "text": part.text}
        case ToolCall():
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": tool_input(part)}
        case Thinking():
            signature = bare(part.signature, DIALECT) if part.signature else ""
            return {"type": "thinking", "thinking": part.text, "signature": signature}
        case RedactedThinking():
            return {"type": "redacted_thinking", "data": part.data}
        case Refusal():
            return {"type": "text", "text": part.text}
        case Opaque(dialect="anthropic_messages"):
            return msgspec.json.decode(part.raw, type=dict[str, object])
        case _:
            kind = part.kind if isinstance(part, Opaque) else type(part).__name__
            notes[f"{kind} left out: Messages has no like of it"] = None
            return None


def tool_input(part: ToolCall) -> Raw:
    """The arguments as an object. Raises BadAnswer where the model wrote something else."""
    if not part.arguments.strip():
        return Raw(b"{}")
    if not _is_object(part.arguments):
        raise BadAnswer("a tool call's arguments are no JSON object")
    return Raw(part.arguments.encode())


def _is_object(text: str) -> bool:
    try:
        msgspec.json.decode(text, type=dict[str, Raw])
    except UNREADABLE:
        return False
    return True
