"""OpenAI Chat Completions as it stands on the wire (platform.openai.com/docs/api-reference/chat).

Only what the gateway reads is typed; everything else passes by. Types are as lenient as the
providers that speak this dialect: a field that some send as null is optional here.
"""

from msgspec import Raw, Struct
from msgspec.json import Decoder

from ai_gateway.dialects.raw import ABSENT


class FunctionCall(Struct, frozen=True, omit_defaults=True):
    name: str | None = None
    arguments: str | None = None


class WireToolCall(Struct, frozen=True, omit_defaults=True, kw_only=True):
    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: FunctionCall | None = None


class WireMessage(Struct, frozen=True, kw_only=True):
    role: str
    content: str | list[Raw] | None = None
    name: str | None = None
    tool_calls: list[Raw] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_signature: str | None = None
    redacted_reasoning: list[str] | None = None
    function_call: FunctionCall | None = None
    audio: Raw = ABSENT


class ImageUrl(Struct, frozen=True, omit_defaults=True):
    url: str
    detail: str | None = None


class WireFile(Struct, frozen=True, omit_defaults=True, kw_only=True):
    filename: str | None = None
    file_data: str | None = None
    file_id: str | None = None


class TextPart(Struct, frozen=True, tag_field="type", tag="text"):
    text: str


class PartType(Struct, frozen=True):
    type: str = ""


class WireCache(Struct, frozen=True):
    """Anthropic's mark, as callers of Chat write it on parts and tools (OpenRouter's convention)."""

    type: str = "ephemeral"
    ttl: str | None = None


class ImagePart(Struct, frozen=True, kw_only=True):
    # Mistral takes the URL itself in place of the object.
    image_url: ImageUrl | str
    cache_control: WireCache | None = None


class FilePart(Struct, frozen=True, kw_only=True):
    file: WireFile
    cache_control: WireCache | None = None


class AnyTextPart(Struct, frozen=True):
    text: str | None = None
    refusal: str | None = None
    cache_control: WireCache | None = None


class ThinkingPart(Struct, frozen=True):
    """Mistral's: `{"type": "thinking", "thinking": [{"type": "text", "text": ...}]}`."""

    thinking: list[AnyTextPart] = []


class WireFunction(Struct, frozen=True, omit_defaults=True, kw_only=True):
    name: str
    description: str | None = None
    parameters: Raw = ABSENT
    strict: bool | None = None


class ToolType(Struct, frozen=True):
    type: str = ""


class FunctionTool(Struct, frozen=True, kw_only=True):
    function: WireFunction
    cache_control: WireCache | None = None


class ChoiceFunction(Struct, frozen=True):
    name: str


class FunctionChoice(Struct, frozen=True):
    function: ChoiceFunction


class AllowedTools(Struct, frozen=True, kw_only=True):
    mode: str
    tools: list[FunctionChoice]


class WireToolChoice(Struct, frozen=True, kw_only=True):
    type: str | None = None
    function: ChoiceFunction | None = None
    allowed_tools: AllowedTools | None = None


class JsonSchema(Struct, frozen=True, omit_defaults=True, kw_only=True):
    name: str | None = None
    description: str | None = None
    schema: Raw = ABSENT
    strict: bool | None = None


class WireResponseFormat(Struct, frozen=True, kw_only=True):
    type: str
    json_schema: JsonSchema | None = None


class StreamOptions(Struct, frozen=True):
    include_usage: bool | None = None


class PeekedMessage(Struct, frozen=True):
    role: str
    content: str | list[Raw] | None = None


class PeekedRequest(Struct, frozen=True, kw_only=True):
    """The fields every call is checked on; the rest of the body is left as it is."""

    model: str
    messages: list[PeekedMessage]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    n: int | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    tools: list[ToolType] | None = None
    tool_choice: str | WireToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: WireResponseFormat | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: dict[str, float] | None = None
    reasoning_effort: str | None = None
    user: str | None = None


class WireRequest(Struct, frozen=True, kw_only=True):
    """A whole request, for translation."""

    model: str
    messages: list[WireMessage]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    n: int | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    tools: list[Raw] | None = None
    tool_choice: str | WireToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: WireResponseFormat | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: dict[str, float] | None = None
    reasoning_effort: str | None = None
    user: str | None = None
    service_tier: str | None = None
    verbosity: str | None = None


class PromptDetails(Struct, frozen=True):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    audio_tokens: int | None = None


class CompletionDetails(Struct, frozen=True):
    reasoning_tokens: int | None = None
    audio_tokens: int | None = None


class WireUsage(Struct, frozen=True):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_cache_hit_tokens: int | None = None
    """DeepSeek's name for cached tokens."""
    cost: Raw = ABSENT
    """OpenRouter's, in US dollars: what it charges itself. Others may mean other things by the name."""
    is_byok: Raw = ABSENT
    """Whether the model's own price, in `cost_details`, is charged to a key of one's own there.
    openrouter.ai/docs/use-cases/usage-accounting"""
    cost_details: Raw = ABSENT


class ReasoningDetail(Struct, frozen=True):
    """OpenRouter's `reasoning_details`."""

    type: str = ""
    text: str | None = None
    summary: str | None = None
    signature: str | None = None


class AnsweredMessage(Struct, frozen=True, kw_only=True):
    content: str | list[Raw] | None = None
    refusal: str | None = None
    tool_calls: list[WireToolCall] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_signature: str | None = None
    redacted_reasoning: list[str] | None = None
    reasoning_details: list[ReasoningDetail] | None = None
    annotations: Raw = ABSENT
    audio: Raw = ABSENT
    function_call: FunctionCall | None = None


class Choice(Struct, frozen=True, kw_only=True):
    index: int = 0
    message: AnsweredMessage
    finish_reason: str | None = None


class WireAnswer(Struct, frozen=True, kw_only=True):
    choices: list[Choice]
    id: str | None = None
    model: str | None = None
    created: float | None = None
    usage: WireUsage | None = None


class PeekedChoice(Struct, frozen=True):
    finish_reason: str | None = None


class PeekedAnswer(Struct, frozen=True, kw_only=True):
    choices: list[PeekedChoice]
    model: str | None = None
    usage: WireUsage | None = None


class AnyChoices(Struct, frozen=True):
    choices: list[Raw]


class GroqExtra(Struct, frozen=True):
    usage: WireUsage | None = None


class WireErrorBody(Struct, frozen=True, kw_only=True):
    message: str | None = None
    type: str | None = None
    param: str | None = None
    code: str | int | None = None


class ChunkChoice(Struct, frozen=True, kw_only=True):
    index: int = 0
    delta: AnsweredMessage | None = None
    finish_reason: str | None = None


class WireChunk(Struct, frozen=True, kw_only=True):
    """One event of a stream; `error` where the provider gives up under status 200."""

    choices: list[ChunkChoice] = []
    id: str | None = None
    model: str | None = None
    created: float | None = None
    usage: WireUsage | None = None
    x_groq: GroqExtra | None = None
    error: WireErrorBody | str | None = None


class PeekedChunk(Struct, frozen=True, kw_only=True):
    choices: list[PeekedChoice] = []
    usage: WireUsage | None = None
    x_groq: GroqExtra | None = None
    error: WireErrorBody | str | None = None


class WireError(Struct, frozen=True, kw_only=True):
    """OpenAI's `error` object; Mistral's `object: error` with `message`, or its `detail` list."""

    error: WireErrorBody | str | None = None
    message: str | None = None
    detail: Raw = ABSENT
    type: str | None = None
    code: str | int | None = None


decode_peek = Decoder(PeekedRequest)
decode_request = Decoder(WireRequest)
decode_answer = Decoder(WireAnswer)
decode_peeked_answer = Decoder(PeekedAnswer)
decode_chunk = Decoder(WireChunk)
decode_peeked_chunk = Decoder(PeekedChunk)
decode_error = Decoder(WireError)
