"""Whole answers of Chat Completions."""

import msgspec
from msgspec import Raw
from msgspec.json import Decoder, encode

from ai_gateway.dialects.dialect import AnswerPeek, BadAnswer, Rendered
from ai_gateway.dialects.raw import given, given_list
from ai_gateway.model.answer import Answer
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

from .requests import DIALECT
from .stops import stop_from_wire, stop_to_wire
from .usage import usage_from_wire, usage_to_wire
from .wire import (
    AnsweredMessage,
    AnyChoices,
    AnyTextPart,
    PartType,
    ThinkingPart,
    decode_answer,
    decode_peeked_answer,
)

_choices = Decoder(AnyChoices)
_part_type = Decoder(PartType)
_text_part = Decoder(AnyTextPart)
_thinking_part = Decoder(ThinkingPart)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def peek_answer(body: bytes) -> AnswerPeek:
    """Raises BadAnswer. What is an answer, but for a field of another type than OpenAI's, is one
    without an account: the caller, whom it goes to as it is, may know it better."""
    try:
        wire = decode_peeked_answer.decode(body)
    except msgspec.ValidationError as error:
        if _has_choices(body):
            return AnswerPeek(usage=None, stop=None, model=None)
        raise bad_answer(error) from None
    except _UNREADABLE as error:
        raise bad_answer(error) from None
    reason = wire.choices[0].finish_reason if wire.choices else None
    return AnswerPeek(
        usage=None if wire.usage is None else usage_from_wire(wire.usage),
        stop=None if reason is None else stop_from_wire(reason),
        model=wire.model,
    )


def _has_choices(body: bytes) -> bool:
    try:
        return bool(_choices.decode(body).choices)
    except _UNREADABLE:
        return False


def parse_answer(body: bytes) -> Answer:
    """Raises BadAnswer. Of several choices the first is read."""
    try:
        wire = decode_answer.decode(body)
        if not wire.choices:
            raise BadAnswer("the answer holds no choices")
        choice = wire.choices[0]
        parts = parts_of(choice.message)
    except _UNREADABLE as error:
        raise bad_answer(error) from None
    stop = stop_from_wire(choice.finish_reason or "stop")
    if stop == "stop" and any(isinstance(p, ToolCall) for p in parts):
        # OpenAI says `stop` where the call was forced by tool_choice.
        stop = "tool_calls"
    return Answer(
        id=wire.id or "",
        model=wire.model or "",
        created=int(wire.created or 0),
        parts=tuple(parts),
        stop=stop,
        usage=NO_USAGE if wire.usage is None else usage_from_wire(wire.usage),
    )


def bad_answer(error: Exception) -> BadAnswer:
    """msgspec names fields and types, never values, so its words are safe to log."""
    if isinstance(error, msgspec.DecodeError):
        return BadAnswer(str(error))
    return BadAnswer("not JSON in UTF-8")


def parts_of(message: AnsweredMessage) -> list[Part]:
    parts: list[Part] = []
    thinking = message.reasoning_content or message.reasoning
    signature = _signature(message)
    if thinking or signature is not None:
        parts.append(Thinking(text=thinking or "", signature=signature))
    parts += [RedactedThinking(data=data) for data in message.redacted_reasoning or ()]
    if isinstance(message.content, str):
        if message.content:
            parts.append(Text(text=message.content, citations=given_list(message.annotations)))
    else:
        parts += [content_part(raw) for raw in message.content or ()]
    if message.refusal:
        parts.append(Refusal(text=message.refusal))
    for number, call in enumerate(message.tool_calls or ()):
        function = call.function
        if function is None:
            parts.append(
                Opaque(dialect=DIALECT, kind=call.type or "tool_call", raw=Raw(encode(call)))
            )
        else:
            parts.append(
                ToolCall(
                    # Some of OpenAI's followers give none.
                    id=call.id or f"call_{number}",
                    name=function.name or "",
                    arguments=function.arguments or "",
                )
            )
    if message.function_call is not None and message.function_call.name:
        call = message.function_call
        parts.append(ToolCall(id="call_0", name=call.name or "", arguments=call.arguments or ""))
    audio = given(message.audio)
    if audio is not None:
        parts.append(Opaque(dialect=DIALECT, kind="audio", raw=audio))
    return parts


def content_part(raw: Raw) -> Part:
    """A part of a content list (Mistral's reasoning models answer in such)."""
    match _part_type.decode(raw).type:
        case "text":
            return Text(text=_text_part.decode(raw).text or "")
        case "refusal":
            return Refusal(text=_text_part.decode(raw).refusal or "")
        case "thinking":
            return Thinking(text="".join(t.text or "" for t in _thinking_part.decode(raw).thinking))
        case kind:
            return Opaque(dialect=DIALECT, kind=kind, raw=raw)


def _signature(message: AnsweredMessage) -> str | None:
    if message.reasoning_signature is not None:
        return message.reasoning_signature
    for detail in message.reasoning_details or ():
        if detail.signature is not None:
            return detail.signature
    return None


def render_answer(answer: Answer, chat: Chat) -> Rendered:
    notes: dict[str, None] = {}
    message: dict[str, object] = {"role": "assistant", "content": None, "refusal": None}
    text: list[str] = []
    thinking: list[str] = []
    redacted: list[str] = []
    calls: list[dict[str, object]] = []
    for part in answer.parts:
        match part:
            case Text():
                text.append(part.text)
                if part.citations is not None:
                    notes["citations left out: Chat has no like of them"] = None
            case Thinking():
                thinking.append(part.text)
                if part.signature:
                    if "reasoning_signature" in message:
                        notes["only the last thinking signature is kept"] = None
                    message["reasoning_signature"] = part.signature
            case RedactedThinking():
                redacted.append(part.data)
            case Refusal():
                message["refusal"] = part.text
            case ToolCall():
                calls.append(
                    {
                        "id": part.id,
                        "type": "function",
                        "function": {"name": part.name, "arguments": part.arguments},
                    }
                )
            case Opaque():
                if part.text:
                    text.append(part.text)
                else:
                    notes[f"{part.kind} left out: Chat has no like of it"] = None
            case _:
                notes["a part was left out: Chat has no like of it"] = None
    if text or not (calls or message["refusal"]):
        message["content"] = "".join(text)
    if thinking:
        message["reasoning_content"] = "".join(thinking)
    if redacted:
        message["redacted_reasoning"] = redacted
    if calls:
        message["tool_calls"] = calls
    body = encode(
        {
            "id": answer.id,
            "object": "chat.completion",
            "created": answer.created,
            "model": answer.model,
            "choices": [
                {
                    "index": 0,
                    "message": message,
                    "logprobs": None,
                    "finish_reason": stop_to_wire(answer.stop),
                }
            ],
            "usage": usage_to_wire(answer.usage),
        }
    )
    return Rendered(body, tuple(notes))
