"""A look at a request that is relayed: checked, read for what the pipeline must know, not changed."""

from msgspec.json import encode

from ai_gateway.dialects.dialect import Peek, RenderTarget
from ai_gateway.dialects.strict_json import check_model, decode_object, invalid, top_level_fields

from .wire import WireMessage, decode_peek


def peek(body: bytes) -> Peek:
    """Raises GatewayError(invalid_request) naming the field."""
    request = decode_object(body, decode_peek)
    fields = top_level_fields(body)
    check_model(request.model)
    check_messages(request.messages)
    if request.max_tokens < 1:
        raise invalid("max_tokens", "must be a whole number of at least 1.")
    if request.temperature is not None and not 0 <= request.temperature <= 1:
        raise invalid("temperature", "must be a number from 0 to 1.")
    if request.top_p is not None and not 0 <= request.top_p <= 1:
        raise invalid("top_p", "must be a number from 0 to 1.")
    if request.top_k is not None and request.top_k < 0:
        raise invalid("top_k", "must be a whole number of at least 0.")
    return Peek(
        model=request.model,
        stream=bool(request.stream),
        include_usage=True,
        max_tokens=request.max_tokens,
        user=None if request.metadata is None else request.metadata.user_id,
        fields=fields,
    )


def check_messages(messages: list[WireMessage]) -> None:
    if not messages:
        raise invalid("messages", "must hold at least one message.")


def rewrite(peeked: Peek, body: bytes, target: RenderTarget) -> bytes:
    """The same request for `target.model`; the bytes themselves where that is its name already."""
    if target.body_version:
        fields = {name: value for name, value in peeked.fields.items() if name != "model"}
        return encode({"anthropic_version": target.body_version, **fields})
    if target.model == peeked.model:
        return body
    return encode({**peeked.fields, "model": target.model})
