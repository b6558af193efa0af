"""OpenAI Responses as it stands on the wire (platform.openai.com/docs/api-reference/responses).

Only what the gateway reads is typed. Items are read in two steps, first their type, so that items
the gateway has never heard of pass by unharmed.
"""

from msgspec import Raw, Struct
from msgspec.json import Decoder

from ai_gateway.dialects.raw import ABSENT


class Typed(Struct, frozen=True):
    """Any item, content part or tool: what it is. A message may leave its type out."""

    type: str | None = None
    role: str | None = None


class WireToolChoice(Struct, frozen=True, kw_only=True):
    type: str
    name: str | None = None
    mode: str | None = None
    tools: list[Raw] | None = None


class WireFormat(Struct, frozen=True, kw_only=True):
    type: str
    name: str | None = None
    description: str | None = None
    schema: Raw = ABSENT
    strict: bool | None = None


class WireText(Struct, frozen=True, kw_only=True):
    format: WireFormat | None = None
    verbosity: str | None = None


class WireReasoning(Struct, frozen=True, kw_only=True):
    effort: str | None = None
    summary: str | None = None


class PeekedRequest(Struct, frozen=True, kw_only=True):
    """The fields every call is checked on; the rest of the body is left as it is."""

    model: str
    input: str | list[Typed] | None = None
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    tools: list[Typed] | None = None
    tool_choice: str | WireToolChoice | None = None
    parallel_tool_calls: bool | None = None
    text: WireText | None = None
    reasoning: WireReasoning | None = None
    user: str | None = None
    store: bool | None = None
    background: bool | None = None
    previous_response_id: str | None = None


class WireRequest(Struct, frozen=True, kw_only=True):
    """A whole request, for translation."""

    model: str
    input: str | list[Raw] | None = None
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    tools: list[Raw] | None = None
    tool_choice: str | WireToolChoice | None = None
    parallel_tool_calls: bool | None = None
    text: WireText | None = None
    reasoning: WireReasoning | None = None
    user: str | None = None
    service_tier: str | None = None


class MessageItem(Struct, frozen=True, kw_only=True):
    role: str
    content: str | list[Raw]


class FunctionCallItem(Struct, frozen=True, kw_only=True):
    call_id: str
    name: str
    arguments: str = ""


class FunctionOutputItem(Struct, frozen=True, kw_only=True):
    call_id: str
    output: str | list[Raw]


class SummaryPart(Struct, frozen=True):
    text: str = ""


class ReasoningItem(Struct, frozen=True, kw_only=True):
    id: str | None = None
    summary: list[SummaryPart] | None = None
    content: list[SummaryPart] | None = None
    encrypted_content: str | None = None


class TextPart(Struct, frozen=True, kw_only=True):
    text: str
    annotations: Raw = ABSENT


class RefusalPart(Struct, frozen=True):
    refusal: str


class ImagePart(Struct, frozen=True, kw_only=True):
    image_url: str | None = None
    file_id: str | None = None
    detail: str | None = None


class FilePart(Struct, frozen=True, kw_only=True):
    filename: str | None = None
    file_data: str | None = None
    file_id: str | None = None
    file_url: str | None = None


class FunctionTool(Struct, frozen=True, kw_only=True):
    name: str
    description: str | None = None
    parameters: Raw = ABSENT
    strict: bool | None = None


class InputDetails(Struct, frozen=True):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class OutputDetails(Struct, frozen=True):
    reasoning_tokens: int | None = None


class WireUsage(Struct, frozen=True, kw_only=True):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None


class IncompleteDetails(Struct, frozen=True):
    reason: str | None = None


class WireErrorBody(Struct, frozen=True, kw_only=True):
    code: str | int | None = None
    message: str | None = None


class WireResponse(Struct, frozen=True, kw_only=True):
    """A whole answer, also as the events of a stream carry it."""

    id: str = ""
    model: str = ""
    created_at: float | None = None
    status: str | None = None
    output: list[Raw] = []
    usage: WireUsage | None = None
    incomplete_details: IncompleteDetails | None = None
    error: WireErrorBody | None = None


class PeekedResponse(Struct, frozen=True, kw_only=True):
    object: str
    model: str | None = None
    status: str | None = None
    usage: WireUsage | None = None
    incomplete_details: IncompleteDetails | None = None
    output: list[Typed] = []


class WireEvent(Struct, frozen=True, kw_only=True):
    """Any event of a stream."""

    type: str
    output_index: int = 0
    content_index: int = 0
    response: WireResponse | None = None
    item: Raw = ABSENT
    part: Raw = ABSENT
    delta: str | Raw = ""
    text: str | None = None
    refusal: str | None = None
    arguments: str | None = None
    summary_index: int | None = None
    code: str | None = None
    message: str | None = None
    error: WireErrorBody | None = None
    sequence_number: int | None = None


class PeekedEvent(Struct, frozen=True, kw_only=True):
    type: str
    response: PeekedResponse | None = None
    code: str | None = None
    message: str | None = None
    error: WireErrorBody | None = None
    sequence_number: int | None = None


decode_peek = Decoder(PeekedRequest)
decode_request = Decoder(WireRequest)
decode_answer = Decoder(WireResponse)
decode_peeked_answer = Decoder(PeekedResponse)
decode_event = Decoder(WireEvent)
decode_peeked_event = Decoder(PeekedEvent)
