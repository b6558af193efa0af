"""Whole answers of generateContent."""

import msgspec
from msgspec import Raw
from msgspec.json import encode

from ai_gateway.dialects.arguments import as_object
from ai_gateway.dialects.dialect import AnswerPeek, BadAnswer, Rendered
from ai_gateway.dialects.raw import given
from ai_gateway.dialects.signatures import redacted_as_signature
from ai_gateway.model.answer import Answer, StopReason
from ai_gateway.model.chat import Chat
from ai_gateway.model.content import (
    Image,
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

from .parts import CallIds, parts_of, signature_to_wire
from .stops import stop_from_wire, stop_to_wire
from .usage import usage_from_wire, usage_to_wire
from .wire import Candidate, WireAnswer, decode_answer, decode_peeked_answer

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, GatewayError)
CALL_MARK = b'"functionCall"'


def peek_answer(body: bytes) -> AnswerPeek:
    """Raises BadAnswer."""
    try:
        wire = decode_peeked_answer.decode(body)
    except UNREADABLE as error:
        raise bad_answer(error) from None
    stop: StopReason | None = None
    if wire.candidates:
        called = CALL_MARK in bytes(wire.candidates[0].content)
        stop = stop_from_wire(wire.candidates[0].finish_reason or "STOP", called=called)
    elif wire.prompt_feedback is not None and wire.prompt_feedback.block_reason is not None:
        stop = "content_filter"
    return AnswerPeek(
        usage=None if wire.usage_metadata is None else usage_from_wire(wire.usage_metadata),
        stop=stop,
        model=wire.model_version,
    )


def bad_answer(error: Exception) -> BadAnswer:
    """msgspec names fields and types, never values, so its words are safe to log."""
    if isinstance(error, msgspec.DecodeError):
        return BadAnswer(str(error))
    if isinstance(error, GatewayError):
        return BadAnswer(f"a part is not as it must be: {error.field or 'unknown field'}")
    return BadAnswer("not JSON in UTF-8")


def parse_answer(body: bytes) -> Answer:
    """Raises BadAnswer. Of several candidates the first is read."""
    try:
        wire = decode_answer.decode(body)
        parts = _parts(wire)
    except UNREADABLE as error:
        raise bad_answer(error) from None
    called = any(isinstance(p, ToolCall) for p in parts)
    return Answer(
        id=wire.response_id or "",
        model=wire.model_version or "",
        parts=tuple(parts),
        stop=stop_of(wire, called=called),
        usage=NO_USAGE if wire.usage_metadata is None else usage_from_wire(wire.usage_metadata),
    )


def stop_of(wire: WireAnswer, *, called: bool) -> StopReason:
    if wire.candidates:
        return stop_from_wire(wire.candidates[0].finish_reason or "STOP", called=called)
    if wire.prompt_feedback is not None and wire.prompt_feedback.block_reason is not None:
        return "content_filter"
    raise BadAnswer("the answer holds no candidates")


def call_ids(response_id: str | None) -> CallIds:
    """Ids must be unlike those of the turns before."""
    return CallIds(f"call_{response_id or ''}_")


def _parts(wire: WireAnswer) -> list[Part]:
    if not wire.candidates:
        return []
    candidate = wire.candidates[0]
    content = candidate.content
    raws = [] if content is None else content.parts or []
    found = parts_of(raws, call_ids(wire.response_id), "candidates[0].content")
    parts = [p for p in map(without_path, found) if p != Text(text="")]
    return _with_citations(parts, candidate)


def without_path(part: Part) -> Part:
    return msgspec.structs.replace(part, path="") if isinstance(part, Opaque) else part


def _with_citations(parts: list[Part], candidate: Candidate) -> list[Part]:
    citations: Raw | None = given(candidate.grounding_metadata) or given(
        candidate.citation_metadata
    )
    if citations is None or bytes(citations) == b"{}":
        return parts
    for index in reversed(range(len(parts))):
        part = parts[index]
        if isinstance(part, Text):
            parts[index] = Text(text=part.text, citations=citations)
            break
    return parts


def render_answer(answer: Answer, chat: Chat) -> Rendered:
    notes: dict[str, None] = {}
    said = [
        without_cut_arguments(part, answer.stop, notes) if isinstance(part, ToolCall) else part
        for part in answer.parts
    ]
    parts = [wire for part in said if (wire := part_to_wire(part, notes)) is not None]
    body: dict[str, object] = {
        "candidates": [candidate(parts, stop_to_wire(stop_for(answer.stop, answer.parts)))],
        "usageMetadata": usage_to_wire(answer.usage),
        "modelVersion": answer.model,
        "responseId": answer.id,
    }
    return Rendered(encode(body), tuple(notes))


def candidate(parts: list[dict[str, object]], finish: str | None = None) -> dict[str, object]:
    content: dict[str, object] = {"parts": parts, "role": "model"}
    out: dict[str, object] = {"content": content, "index": 0}
    if finish is not None:
        out["finishReason"] = finish
    return out


def stop_for(stop: StopReason, parts: tuple[Part, ...]) -> StopReason:
    if stop == "stop" and any(isinstance(p, Refusal) for p in parts):
        return "refusal"
    return stop


def without_cut_arguments(call: ToolCall, stop: StopReason, notes: dict[str, None]) -> ToolCall:
    """Half an object is none: a call that the output limit cut is told without arguments."""
    if stop not in ("length", "context_window") or as_object(call.arguments) is not None:
        return call
    notes["a tool call was cut by the output limit: its arguments are left empty"] = None
    return ToolCall(id=call.id, name=call.name, arguments="")


def part_to_wire(part: Part, notes: dict[str, None]) -> dict[str, object] | None:
    match part:
        case Text():
            if part.citations is not None:
                notes["citations left out: Gemini has no like of them"] = None
            return {"text": part.text}
        case Refusal():
            return {"text": part.text}
        case Thinking():
            out: dict[str, object] = {"text": part.text, "thought": True}
            if part.signature:
                out["thoughtSignature"] = signature_to_wire(part.signature)
            return out
        case RedactedThinking():
            return thought_signature(redacted_as_signature(part.data))
        case ToolCall():
            arguments = as_object(part.arguments)
            if arguments is None:
                raise BadAnswer("a tool call's arguments are no JSON object")
            return {"functionCall": {"id": part.id, "name": part.name, "args": arguments}}
        case Image(data=str(data)):
            return {"inlineData": {"mimeType": part.media_type or "image/png", "data": data}}
        case Opaque(text=text) if text:
            return {"text": text}
        case _:
            kind = part.kind if isinstance(part, Opaque) else type(part).__name__
            notes[f"{kind} left out: Gemini has no like of it"] = None
            return None


def thought_signature(signature: str) -> dict[str, object]:
    return {"text": "", "thought": True, "thoughtSignature": signature_to_wire(signature)}
