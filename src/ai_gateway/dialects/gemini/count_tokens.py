"""`:countTokens` (ai.google.dev/api/tokens): a prompt's `contents`, or a whole request around them."""

import msgspec
from msgspec import Raw
from msgspec.json import Decoder, encode
from msgspec.structs import replace

from ai_gateway.dialects.dialect import BadAnswer, Counting, Peek, Rendered, RenderTarget
from ai_gateway.dialects.strict_json import decode_object, top_level_fields
from ai_gateway.model.chat import Chat

from .peek import peek, rewrite
from .render import render_request
from .requests import parse_request
from .wire import Wire, camel

_fields = Decoder(dict[str, Raw])
_WRAPPED = "generateContentRequest"


class _Counted(Wire, frozen=True):
    total_tokens: int


_decode_counted = Decoder(_Counted)


def _inner(body: bytes) -> bytes:
    """The request whose prompt is counted."""
    for name, value in _fields.decode(body).items():
        if camel(name) == _WRAPPED:
            return bytes(value)
    return body


def peek_count_tokens(body: bytes) -> Peek:
    """Raises GatewayError(invalid_request) naming the field."""
    decode_object(body, _fields)
    fields = top_level_fields(body)
    return replace(peek(_inner(body)), fields=fields)


def rewrite_count_tokens(peeked: Peek, body: bytes, target: RenderTarget) -> bytes:
    for name, value in peeked.fields.items():
        if camel(name) == _WRAPPED:
            return _wrapped(_fields.decode(value), target.model)
    return rewrite(peeked, body, target)


def _wrapped(request: dict[str, Raw], model: str) -> bytes:
    # The API wants the model named here too, though it stands in the path.
    return encode({_WRAPPED: {**request, "model": f"models/{model}"}})


def parse_count_tokens(body: bytes) -> Chat:
    return parse_request(_inner(body))


def render_count_tokens(chat: Chat, target: RenderTarget) -> Rendered:
    rendered = render_request(chat, target)
    return Rendered(_wrapped(_fields.decode(rendered.body), target.model), rendered.notes)


def parse_count_tokens_answer(body: bytes) -> int:
    """Raises BadAnswer."""
    try:
        return _decode_counted.decode(body).total_tokens
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadAnswer("the token count cannot be read") from None


def render_count_tokens_answer(tokens: int) -> bytes:
    return encode({"totalTokens": tokens})


COUNTING = Counting(
    peek=peek_count_tokens,
    rewrite=rewrite_count_tokens,
    parse_request=parse_count_tokens,
    render_request=render_count_tokens,
    parse_answer=parse_count_tokens_answer,
    render_answer=render_count_tokens_answer,
)
