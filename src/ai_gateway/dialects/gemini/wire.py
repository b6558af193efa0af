"""Gemini's generateContent as it stands on the wire (ai.google.dev/api/generate-content).

The API takes names in either case (`systemInstruction`, `system_instruction`), and clients send
both; `read` makes them one. Only what the gateway reads is typed.
"""

import re
from contextlib import suppress
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct
from msgspec.json import Decoder, encode

from ai_gateway.dialects.raw import ABSENT
from ai_gateway.dialects.strict_json import decode_object
from ai_gateway.model.errors import GatewayError

T = TypeVar("T")


class Wire(Struct, frozen=True, kw_only=True, rename="camel"):
    pass


class WireContent(Wire, frozen=True):
    role: str | None = None
    parts: list[Raw] | None = None


class Blob(Wire, frozen=True):
    mime_type: str | None = None
    data: str = ""
    display_name: str | None = None


class FileData(Wire, frozen=True):
    mime_type: str | None = None
    file_uri: str = ""


class FunctionCall(Wire, frozen=True):
    name: str = ""
    id: str | None = None
    args: Raw = ABSENT


class FunctionResponse(Wire, frozen=True):
    name: str = ""
    id: str | None = None
    response: Raw = ABSENT
    parts: list[Raw] | None = None


class WirePart(Wire, frozen=True):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    inline_data: Raw = ABSENT
    file_data: Raw = ABSENT
    function_call: Raw = ABSENT
    function_response: Raw = ABSENT


class ThinkingConfig(Wire, frozen=True):
    include_thoughts: bool | None = None
    thinking_budget: int | None = None
    thinking_level: str | None = None


class GenerationConfig(Wire, frozen=True):
    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    max_output_tokens: int | None = None
    stop_sequences: list[str] | None = None
    response_mime_type: str | None = None
    response_schema: Raw = ABSENT
    response_json_schema: Raw = ABSENT
    candidate_count: int | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    thinking_config: Raw = ABSENT
    response_modalities: list[str] | None = None


class CallingConfig(Wire, frozen=True):
    mode: str | None = None
    allowed_function_names: list[str] | None = None


class ToolConfig(Wire, frozen=True):
    function_calling_config: Raw = ABSENT


class Declaration(Wire, frozen=True):
    name: str
    description: str | None = None
    parameters: Raw = ABSENT
    parameters_json_schema: Raw = ABSENT


class WireTool(Wire, frozen=True):
    function_declarations: list[Raw] | None = None


class WireRequest(Wire, frozen=True):
    """A request; the model and the wish to stream stand in the path."""

    contents: list[Raw]
    system_instruction: Raw = ABSENT
    generation_config: Raw = ABSENT
    tools: Raw = ABSENT
    tool_config: Raw = ABSENT


class PeekedConfig(Struct, frozen=True, kw_only=True, rename="camel"):
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None


class ModalityCount(Wire, frozen=True):
    modality: str | None = None
    token_count: int | None = None


class WireUsage(Wire, frozen=True):
    prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    prompt_tokens_details: list[ModalityCount] | None = None
    candidates_tokens_details: list[ModalityCount] | None = None


class Candidate(Wire, frozen=True):
    content: WireContent | None = None
    finish_reason: str | None = None
    index: int | None = None
    grounding_metadata: Raw = ABSENT
    citation_metadata: Raw = ABSENT


class PromptFeedback(Wire, frozen=True):
    block_reason: str | None = None


class WireErrorBody(Wire, frozen=True):
    code: int | None = None
    message: str | None = None
    status: str | None = None
    details: list[dict[str, Any]] | None = None


class WireAnswer(Wire, frozen=True):
    """A whole answer, or one event of a stream; `error` where the provider gives up in mid-stream."""

    candidates: list[Candidate] | None = None
    usage_metadata: WireUsage | None = None
    prompt_feedback: PromptFeedback | None = None
    model_version: str | None = None
    response_id: str | None = None
    error: WireErrorBody | None = None


class WireError(Wire, frozen=True):
    error: WireErrorBody


class PeekedCandidate(Wire, frozen=True):
    content: Raw = ABSENT
    finish_reason: str | None = None


class PeekedAnswer(Wire, frozen=True):
    candidates: list[PeekedCandidate] | None = None
    usage_metadata: WireUsage | None = None
    prompt_feedback: PromptFeedback | None = None
    model_version: str | None = None
    error: WireErrorBody | None = None


decode_request = Decoder(WireRequest)
decode_peeked_config = Decoder(PeekedConfig)
decode_content = Decoder(WireContent)
decode_part = Decoder(WirePart)
decode_blob = Decoder(Blob)
decode_file = Decoder(FileData)
decode_call = Decoder(FunctionCall)
decode_response = Decoder(FunctionResponse)
decode_config = Decoder(GenerationConfig)
decode_thinking = Decoder(ThinkingConfig)
decode_tool = Decoder(WireTool)
decode_declaration = Decoder(Declaration)
decode_tool_config = Decoder(ToolConfig)
decode_calling = Decoder(CallingConfig)
decode_answer = Decoder(WireAnswer)
decode_peeked_answer = Decoder(PeekedAnswer)
decode_error = Decoder(WireError)
_fields = Decoder(dict[str, Raw])
_SNAKE = re.compile(r"_([a-z0-9])")


def camel(name: str) -> str:
    """`system_instruction` -> `systemInstruction`."""
    return _SNAKE.sub(lambda match: match[1].upper(), name)


def fields_of(raw: Raw | bytes) -> dict[str, Raw]:
    """The members of an object already known to be one, by their names in camel case."""
    return {camel(name): value for name, value in _fields.decode(raw).items()}


def read(raw: Raw | bytes, decoder: Decoder[T], path: str = "") -> T:
    """Raises GatewayError naming the field within `path`."""
    data = bytes(raw)
    try:
        if b"_" in data:
            # What is no object, the decoder below says.
            with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                data = encode(fields_of(data))
        return decode_object(data, decoder)
    except GatewayError as error:
        field = ".".join(f for f in (path, error.field) if f) or None
        message = f"{path}: {error.message}" if path else error.message
        raise GatewayError(error.kind, message, field=field, code=error.code) from None
