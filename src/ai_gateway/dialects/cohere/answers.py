"""Whole answers of Cohere's Chat, and its errors."""

import msgspec

from ai_gateway.dialects.dialect import BadAnswer, ProviderError
from ai_gateway.dialects.raw import given_list
from ai_gateway.dialects.statuses import CREDENTIAL_REFUSED, kind_of_status, refused_credential
from ai_gateway.model.answer import Answer, StopReason
from ai_gateway.model.content import Part, Text, Thinking, ToolCall
from ai_gateway.model.usage import NO_USAGE, Usage

from .wire import WireMessage, WireUsage, decode_answer, decode_error

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_STOPS: dict[str, StopReason] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop_sequence",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR": "error",
    "TIMEOUT": "error",
}
_LONGEST_MESSAGE = 2000


def stop_from_wire(reason: str | None) -> StopReason:
    """Unknown reasons count as a plain stop: the answer is whole, only its label is new."""
    return _STOPS.get(reason or "", "stop")


def usage_from_wire(wire: WireUsage) -> Usage:
    """The units that are billed. Its `tokens` count what Cohere itself adds to a prompt and does not
    bill; so do its `cached_tokens`, which are cut to what is billed."""
    units = wire.billed_units or wire.tokens
    if units is None:
        return NO_USAGE
    given = int(units.input_tokens or 0)
    return Usage(
        input_tokens=given,
        output_tokens=int(units.output_tokens or 0),
        cache_read_tokens=min(given, int(wire.cached_tokens or 0)),
    )


def parse_answer(body: bytes) -> Answer:
    """Raises BadAnswer."""
    try:
        wire = decode_answer.decode(body)
    except UNREADABLE as error:
        raise bad_answer(error) from None
    return Answer(
        id=wire.id or "",
        model="",
        parts=tuple(_parts(wire.message)),
        stop=stop_from_wire(wire.finish_reason),
        usage=NO_USAGE if wire.usage is None else usage_from_wire(wire.usage),
    )


def bad_answer(error: Exception) -> BadAnswer:
    """msgspec names fields and types, never values, so its words are safe to log."""
    if isinstance(error, msgspec.DecodeError):
        return BadAnswer(str(error))
    return BadAnswer("not JSON in UTF-8")


def _parts(message: WireMessage) -> list[Part]:
    parts: list[Part] = []
    texts: list[Text] = []
    for content in message.content or ():
        if content.thinking:
            parts.append(Thinking(text=content.thinking))
        elif content.text:
            texts.append(Text(text=content.text))
    if texts:
        texts[-1] = Text(text=texts[-1].text, citations=given_list(message.citations))
    if message.tool_plan:
        # What the model says it is about to do: text before a call.
        parts.append(Text(text=message.tool_plan))
    parts += texts
    for number, call in enumerate(message.tool_calls or ()):
        function = call.function
        if function is None or not function.name:
            raise BadAnswer("a tool call names no function")
        parts.append(
            ToolCall(
                id=call.id or f"call_{number}",
                name=function.name,
                arguments=function.arguments or "",
            )
        )
    return parts


def parse_error(status: int, body: bytes) -> ProviderError:
    """`{"message": "...", "id": "..."}`; total: any status, any bytes."""
    if status in CREDENTIAL_REFUSED:
        return refused_credential(status)
    kind = kind_of_status(status)
    # 498 and 499 are Cohere's own: an input that its filters blocked, a caller who left.
    try:
        message = decode_error.decode(body).message
    except UNREADABLE:
        message = None
    told = (message or f"the provider answered with status {status}")[:_LONGEST_MESSAGE]
    too_long = kind == "invalid_request" and "too many tokens" in told.lower()
    return ProviderError(
        kind=kind, message=told, code="context_length_exceeded" if too_long else None
    )
