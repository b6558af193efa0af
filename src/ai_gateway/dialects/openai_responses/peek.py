"""A look at a request that is relayed: checked, read for what the pipeline must know, not changed."""

from msgspec.json import encode

from ai_gateway.dialects.dialect import Peek, RenderTarget
from ai_gateway.dialects.strict_json import check_model, decode_object, invalid, top_level_fields
from ai_gateway.model.errors import Untranslatable

from .wire import decode_peek


def peek(body: bytes) -> Peek:
    """Raises GatewayError(invalid_request) naming the field."""
    request = decode_object(body, decode_peek)
    fields = top_level_fields(body)
    check_model(request.model)
    if request.max_output_tokens is not None and request.max_output_tokens < 1:
        raise invalid("max_output_tokens", "must be a whole number of at least 1.")
    if request.temperature is not None and not 0 <= request.temperature <= 2:
        raise invalid("temperature", "must be a number from 0 to 2.")
    if request.top_p is not None and not 0 <= request.top_p <= 1:
        raise invalid("top_p", "must be a number from 0 to 1.")
    return Peek(
        model=request.model,
        stream=bool(request.stream),
        include_usage=True,
        max_tokens=request.max_output_tokens,
        user=request.user,
        fields=fields,
    )


def rewrite(peeked: Peek, body: bytes, target: RenderTarget) -> bytes:
    """The same request for `target.model`; the bytes themselves where nothing must change."""
    refused = [name for name in target.refused_fields if name in peeked.fields]
    if target.model == peeked.model and not refused:
        return body
    out: dict[str, object] = {**peeked.fields, "model": target.model}
    for name in refused:
        if bytes(peeked.fields[name]) not in (b"null", b"false"):
            raise Untranslatable(name, f"The provider does not take {name}. Leave it out.")
        del out[name]
    return encode(out)
