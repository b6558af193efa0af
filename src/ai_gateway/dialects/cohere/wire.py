"""Cohere's Chat v2 as it stands on the wire. Only what the gateway reads is typed."""

from msgspec import Raw, Struct
from msgspec.json import Decoder

from ai_gateway.dialects.raw import ABSENT


class WireFunction(Struct, frozen=True):
    name: str | None = None
    arguments: str | None = None


class WireCall(Struct, frozen=True):
    id: str | None = None
    function: WireFunction | None = None


class WireContent(Struct, frozen=True, kw_only=True):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None


class WireMessage(Struct, frozen=True, kw_only=True):
    content: list[WireContent] | None = None
    tool_plan: str | None = None
    tool_calls: list[WireCall] | None = None
    citations: Raw = ABSENT


class WireTokens(Struct, frozen=True):
    # Counted in whole numbers, and written as floats.
    input_tokens: float | None = None
    output_tokens: float | None = None


class WireUsage(Struct, frozen=True, kw_only=True):
    billed_units: WireTokens | None = None
    tokens: WireTokens | None = None
    cached_tokens: float | None = None


class WireAnswer(Struct, frozen=True, kw_only=True):
    message: WireMessage
    id: str | None = None
    finish_reason: str | None = None
    usage: WireUsage | None = None


class DeltaMessage(Struct, frozen=True, kw_only=True):
    content: WireContent | list[Raw] | None = None
    tool_plan: str | None = None
    tool_calls: WireCall | list[Raw] | None = None


class WireDelta(Struct, frozen=True, kw_only=True):
    message: DeltaMessage | None = None
    finish_reason: str | None = None
    usage: WireUsage | None = None
    error: str | None = None


class WireEvent(Struct, frozen=True, kw_only=True):
    type: str | None = None
    id: str | None = None
    index: int = 0
    delta: WireDelta | None = None
    message: str | None = None
    """An error that comes in place of an event."""


class WireError(Struct, frozen=True):
    message: str | None = None


decode_answer = Decoder(WireAnswer)
decode_event = Decoder(WireEvent)
decode_error = Decoder(WireError)
