"""What is worth showing of a request, by GenAI's conventions. Read for kept traces alone, off the loop."""

import msgspec
from msgspec import Struct

from ai_gateway.model.call import Request

Value = str | int | float | bool | list[str]

_LARGEST_BODY_READ = 1024 * 1024
_LONGEST_NAME = 64
_API_TYPES = {"openai_chat": "chat_completions", "openai_responses": "responses"}


class _Kind(Struct):
    type: str | None = None


class _Text(Struct):
    format: _Kind | None = None


class _Reasoning(Struct):
    effort: str | None = None


class _Generation(Struct, rename="camel"):
    """Gemini's."""

    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    candidate_count: int | None = None
    response_mime_type: str | None = None


class _Asked(Struct):
    """By the names that any dialect uses."""

    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    n: int | None = None
    response_format: _Kind | None = None
    text: _Text | None = None
    service_tier: str | None = None
    reasoning_effort: str | None = None
    reasoning: _Reasoning | None = None
    encoding_format: str | None = None
    dimensions: int | None = None
    generation: _Generation | None = msgspec.field(default=None, name="generationConfig")


_read = msgspec.json.Decoder(_Asked).decode


def asked_attributes(request: Request, stream: bool) -> dict[str, Value]:
    """Nothing of a body that cannot be read so, or is very long."""
    found: dict[str, Value] = {}
    if stream:
        found["gen_ai.request.stream"] = True
    if len(request.body) > _LARGEST_BODY_READ:
        return found
    try:
        asked = _read(request.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return found
    api = _API_TYPES.get(request.dialect)
    if api is not None and request.operation == "chat":
        found["openai.api.type"] = api
    if asked.generation is not None:
        _sampling(found, asked.generation, asked.generation.max_output_tokens)
        _count(found, asked.generation.candidate_count)
        if asked.generation.response_mime_type == "application/json":
            found["gen_ai.output.type"] = "json"
        return found
    most = asked.max_completion_tokens or asked.max_output_tokens or asked.max_tokens
    _sampling(found, asked, most)
    _count(found, asked.n)
    effort = asked.reasoning_effort
    if effort is None and asked.reasoning is not None:
        effort = asked.reasoning.effort
    if effort is not None:
        found["gen_ai.request.reasoning.level"] = effort[:_LONGEST_NAME]
    if asked.service_tier not in (None, "auto"):
        found["openai.request.service_tier"] = asked.service_tier[:_LONGEST_NAME]
    if asked.encoding_format is not None:
        found["gen_ai.request.encoding_formats"] = [asked.encoding_format[:_LONGEST_NAME]]
    if asked.dimensions is not None:
        found["gen_ai.embeddings.dimension.count"] = asked.dimensions
    form = asked.response_format or (None if asked.text is None else asked.text.format)
    if form is not None and form.type is not None and form.type.startswith("json"):
        found["gen_ai.output.type"] = "json"
    return found


def _sampling(found: dict[str, Value], asked: _Asked | _Generation, most: int | None) -> None:
    values = {
        "gen_ai.request.max_tokens": most,
        "gen_ai.request.temperature": asked.temperature,
        "gen_ai.request.top_p": asked.top_p,
        "gen_ai.request.top_k": asked.top_k,
        "gen_ai.request.frequency_penalty": asked.frequency_penalty,
        "gen_ai.request.presence_penalty": asked.presence_penalty,
        "gen_ai.request.seed": asked.seed,
    }
    found.update({name: value for name, value in values.items() if value is not None})


def _count(found: dict[str, Value], count: int | None) -> None:
    if count is not None and count != 1:
        found["gen_ai.request.choice.count"] = count
