"""`/v1/messages/count_tokens` (docs.anthropic.com/en/api/messages-count-tokens)."""

import msgspec
from msgspec.json import encode

from ai_gateway.dialects.dialect import BadAnswer, Peek
from ai_gateway.dialects.strict_json import check_model, decode_object, top_level_fields

from .peek import check_messages
from .wire import decode_count, decode_peeked_count


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
