"""Operations that are not conversations: checked, relayed to the letter, their usage read.

Moderations, images and reranking have one wire format each, which the providers that offer them
share (platform.openai.com/docs/api-reference; jina.ai/reranker).
"""

import msgspec
from msgspec import Raw, Struct
from msgspec.json import Decoder, encode

from ai_gateway.model.usage import Usage

from .dialect import BadAnswer
from .strict_json import check_model, decode_object, invalid, top_level_fields


class RelayedOperation(Struct, frozen=True, kw_only=True):
    required: tuple[str, ...]
    """Members without which no provider takes the request."""
    default_model: str | None = None
    """As the API's own default."""


RELAYED: dict[str, RelayedOperation] = {
    "moderations": RelayedOperation(required=("input",), default_model="omni-moderation-latest"),
    "images": RelayedOperation(required=("prompt",), default_model="gpt-image-1"),
    "rerank": RelayedOperation(required=("query", "documents")),
}


class _Request(Struct, frozen=True, kw_only=True):
    model: str | None = None
    stream: bool | None = None


class RelayedPeek(Struct, frozen=True, kw_only=True):
    model: str
    named: bool
    """The caller named it; else it is the operation's default."""
    fields: dict[str, Raw]


class _Usage(Struct, frozen=True, kw_only=True):
    input_tokens: int | None = None
    output_tokens: int | None = None
    prompt_tokens: int | None = None
    total_tokens: int | None = None


class _Answer(Struct, frozen=True, kw_only=True):
    model: str | None = None
    usage: _Usage | None = None


class RelayedAnswer(Struct, frozen=True, kw_only=True):
    model: str | None
    usage: Usage | None


_decode_request = Decoder(_Request)
_decode_answer = Decoder(_Answer)


def peek_relayed(operation: str, body: bytes) -> RelayedPeek:
    """Raises GatewayError(invalid_request) naming the field."""
    rules = RELAYED[operation]
    request = decode_object(body, _decode_request)
    fields = top_level_fields(body)
    model = request.model or rules.default_model
    if model is None:
        raise invalid("model", "must name a model.", code="missing_required_parameter")
    check_model(model)
    for member in rules.required:
        if member not in fields:
            raise invalid(member, "must be given.", code="missing_required_parameter")
    if request.stream:
        raise invalid("stream", "is not offered here. Leave it out.")
    return RelayedPeek(model=model, named=request.model is not None, fields=fields)


def rewrite_relayed(peeked: RelayedPeek, body: bytes, model: str) -> bytes:
    if peeked.named and model == peeked.model:
        return body
    return encode({**peeked.fields, "model": model})


def peek_relayed_answer(body: bytes) -> RelayedAnswer:
    """Raises BadAnswer."""
    try:
        answer = _decode_answer.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswer(f"the answer cannot be read: {type(error).__name__}") from None
    told = answer.usage
    usage = None
    if told is not None:
        # Rerankers tell only the total.
        given = told.input_tokens or told.prompt_tokens or told.total_tokens or 0
        usage = Usage(input_tokens=given, output_tokens=told.output_tokens or 0)
    return RelayedAnswer(model=answer.model, usage=usage)
