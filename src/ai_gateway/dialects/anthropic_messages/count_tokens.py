"""`/v1/messages/count_tokens` (docs.anthropic.com/en/api/messages-count-tokens)."""

import msgspec
from msgspec import Raw
from msgspec.json import Decoder, encode

from ai_gateway.dialects.dialect import BadAnswer, Counting, Peek, Rendered, RenderTarget
from ai_gateway.dialects.strict_json import check_model, decode_object, top_level_fields
from ai_gateway.model.chat import Chat

from .peek import check_messages, rewrite
from .render import render_request
from .requests import parse_request
from .wire import decode_count, decode_peeked_count

_COUNTED = ("model", "messages", "system", "tools", "tool_choice", "thinking")
"""What of a request weighs in the prompt."""
_fields = Decoder(dict[str, Raw])


def peek_count_tokens(body: bytes) -> Peek:
    """Raises GatewayError(invalid_request) naming the field."""
    request = decode_object(body, decode_peeked_count)
    fields = top_level_fields(body)
    check_model(request.model)
    check_messages(request.messages)
    return Peek(
        model=request.model,
        stream=False,
        include_usage=False,
        max_tokens=None,
        user=None,
        fields=fields,
    )


def parse_count_tokens_answer(body: bytes) -> int:
    """Raises BadAnswer."""
    try:
        return decode_count.decode(body).input_tokens
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadAnswer("the token count cannot be read") from None


def render_count_tokens_answer(tokens: int) -> bytes:
    return encode({"input_tokens": tokens})


def render_count_tokens(chat: Chat, target: RenderTarget) -> Rendered:
    rendered = render_request(chat, target)
    fields = _fields.decode(rendered.body)
    return Rendered(encode({n: fields[n] for n in _COUNTED if n in fields}), rendered.notes)


COUNTING = Counting(
    peek=peek_count_tokens,
    rewrite=rewrite,
    parse_request=parse_request,
    render_request=render_count_tokens,
    parse_answer=parse_count_tokens_answer,
    render_answer=render_count_tokens_answer,
)
