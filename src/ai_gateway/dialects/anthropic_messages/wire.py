"""Anthropic Messages as it stands on the wire (docs.anthropic.com/en/api/messages).

Only what the gateway reads is typed. Blocks are read in two steps, first their type, so that block
types the gateway has never heard of pass by unharmed.
"""

from msgspec import Raw, Struct
from msgspec.json import Decoder

from ai_gateway.dialects.raw import ABSENT


class Typed(Struct, frozen=True):
    """Any block, tool, or source: what it is."""

    type: str = ""


class WireCache(Struct, frozen=True):
    type: str = "ephemeral"
    ttl: str | None = None


class WireMessage(Struct, frozen=True):
    role: str
    content: str | list[Raw]


class WireToolChoice(Struct, frozen=True, kw_only=True):
    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class WireThinking(Struct, frozen=True, kw_only=True):
    type: str
    budget_tokens: int | None = None
    display: str | None = None


class WireMetadata(Struct, frozen=True):
    user_id: str | None = None


class WireFormat(Struct, frozen=True, kw_only=True):
    type: str
    schema: Raw = ABSENT


class WireOutputConfig(Struct, frozen=True, kw_only=True):
    effort: str | None = None
    format: WireFormat | None = None


class PeekedRequest(Struct, frozen=True, kw_only=True):
    model: str
    max_tokens: int
    messages: list[WireMessage]
    system: str | list[Raw] | None = None
    stream: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    tools: list[Typed] | None = None
    tool_choice: WireToolChoice | None = None
    thinking: WireThinking | None = None
    metadata: WireMetadata | None = None


class PeekedCount(Struct, frozen=True, kw_only=True):
    """`/v1/messages/count_tokens` takes the same, but nothing that only concerns the answer."""

    model: str
    messages: list[WireMessage]
    system: str | list[Raw] | None = None
    tools: list[Typed] | None = None


class WireRequest(Struct, frozen=True, kw_only=True):
    model: str
    messages: list[WireMessage]
    max_tokens: int | None = None
    system: str | list[Raw] | None = None
    stream: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    tools: list[Raw] | None = None
    tool_choice: WireToolChoice | None = None
    thinking: WireThinking | None = None
    metadata: WireMetadata | None = None
    output_config: WireOutputConfig | None = None
    service_tier: str | None = None


class TextBlock(Struct, frozen=True, kw_only=True):
    text: str
    cache_control: WireCache | None = None
    citations: Raw = ABSENT


class WireSource(Struct, frozen=True, kw_only=True):
    type: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None


class ImageBlock(Struct, frozen=True, kw_only=True):
    source: WireSource
    cache_control: WireCache | None = None


class CitationsWanted(Struct, frozen=True):
    enabled: bool | None = None


class DocumentBlock(Struct, frozen=True, kw_only=True):
    source: WireSource
    title: str | None = None
    context: str | None = None
    citations: CitationsWanted | None = None
    cache_control: WireCache | None = None


class ToolUseBlock(Struct, frozen=True, kw_only=True):
    id: str
    name: str
    input: Raw = Raw(b"{}")
    cache_control: WireCache | None = None


class ToolResultBlock(Struct, frozen=True, kw_only=True):
    tool_use_id: str
    content: str | list[Raw] | None = None
    is_error: bool | None = None
    cache_control: WireCache | None = None


class ThinkingBlock(Struct, frozen=True, kw_only=True):
    thinking: str
    signature: str | None = None


class RedactedBlock(Struct, frozen=True):
    data: str


class WireTool(Struct, frozen=True, kw_only=True):
    name: str
    description: str | None = None
    input_schema: Raw = ABSENT
    strict: bool | None = None
    cache_control: WireCache | None = None


class CacheCreation(Struct, frozen=True):
    ephemeral_5m_input_tokens: int | None = None
    ephemeral_1h_input_tokens: int | None = None


class OutputDetails(Struct, frozen=True):
    thinking_tokens: int | None = None
    reasoning_tokens: int | None = None


class WireUsage(Struct, frozen=True):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation: CacheCreation | None = None
    output_tokens_details: OutputDetails | None = None


class WireAnswer(Struct, frozen=True, kw_only=True):
    id: str
    model: str
    content: list[Raw]
    usage: WireUsage | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None


class PeekedAnswer(Struct, frozen=True, kw_only=True):
    type: str
    model: str | None = None
    usage: WireUsage | None = None
    stop_reason: str | None = None


class StartedMessage(Struct, frozen=True, kw_only=True):
    id: str = ""
    model: str = ""
    usage: WireUsage | None = None


class WireDelta(Struct, frozen=True, kw_only=True):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None


class WireErrorBody(Struct, frozen=True):
    type: str = ""
    message: str | None = None


class WireEvent(Struct, frozen=True, kw_only=True):
    """Any event of a stream."""

    type: str
    index: int = 0
    message: StartedMessage | None = None
    content_block: Raw = ABSENT
    delta: WireDelta | None = None
    usage: WireUsage | None = None
    error: WireErrorBody | None = None


class WireError(Struct, frozen=True):
    error: WireErrorBody


class CountAnswer(Struct, frozen=True):
    input_tokens: int


decode_peek = Decoder(PeekedRequest)
decode_peeked_count = Decoder(PeekedCount)
decode_request = Decoder(WireRequest)
decode_answer = Decoder(WireAnswer)
decode_peeked_answer = Decoder(PeekedAnswer)
decode_event = Decoder(WireEvent)
decode_error = Decoder(WireError)
decode_count = Decoder(CountAnswer)
