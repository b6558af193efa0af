"""A look at a request that is relayed: checked, read for what the pipeline must know, not changed."""

from msgspec import UNSET, Raw
from msgspec.json import decode, encode

from ai_gateway.dialects.dialect import Peek, RenderTarget
from ai_gateway.dialects.strict_json import check_model, decode_object, invalid, top_level_fields
from ai_gateway.model.errors import Untranslatable

from .wire import PeekedRequest, decode_peek

_NULL = b"null"
_DEFAULTS: dict[str, tuple[bytes, ...]] = {
    "n": (b"1",),
    "logprobs": (b"false",),
    "store": (b"false",),
    "frequency_penalty": (b"0", b"0.0"),
    "presence_penalty": (b"0", b"0.0"),
    "logit_bias": (b"{}",),
    "stream_options": (),
}


def peek(body: bytes) -> Peek:
    """Raises GatewayError(invalid_request) naming the field."""
    request = decode_object(body, decode_peek)
    fields = top_level_fields(body)
    check_model(request.model)
    _check(request)
    options = request.stream_options
    return Peek(
        model=request.model,
        stream=bool(request.stream),
        include_usage=options is not None and bool(options.include_usage),
        max_tokens=request.max_completion_tokens or request.max_tokens,
        user=request.user,
        fields=fields,
    )


def _check(request: PeekedRequest) -> None:
    if not request.messages:
        raise invalid("messages", "must hold at least one message.", code="empty_array")
    if request.max_tokens is not None and request.max_tokens < 1:
        raise invalid("max_tokens", "must be a whole number of at least 1.")
    if request.max_completion_tokens is not None and request.max_completion_tokens < 1:
        raise invalid("max_completion_tokens", "must be a whole number of at least 1.")
    if request.temperature is not None and not 0 <= request.temperature <= 2:
        raise invalid("temperature", "must be a number from 0 to 2.")
    if request.top_p is not None and not 0 <= request.top_p <= 1:
        raise invalid("top_p", "must be a number from 0 to 1.")
    if request.n is not None and not 1 <= request.n <= 128:
        raise invalid("n", "must be a whole number from 1 to 128.")


def rewrite(peeked: Peek, body: bytes, target: RenderTarget) -> bytes:
    """The same request for `target.model`; the bytes themselves where nothing must change."""
    fields = peeked.fields
    changed: dict[str, object] = {}
    if target.model != peeked.model:
        changed["model"] = target.model
    if peeked.stream and not peeked.include_usage and target.stream_usage:
        changed["stream_options"] = _with_usage(fields.get("stream_options"))
    renamed = _max_tokens_renamed(fields, target)
    refused, others = target.refused_fields, target.renamed_fields
    refused = [name for name in refused if name in fields] if refused else ()
    others = [name for name in others if name in fields] if others else ()
    if not (changed or renamed or refused or others):
        return body
    out: dict[str, object] = {**fields, **changed}
    if renamed is not None:
        out[target.max_tokens_field] = out.pop(renamed)
    for name in refused:
        value = bytes(fields[name])
        if value != _NULL and value not in _DEFAULTS.get(name, ()):
            raise Untranslatable(name, f"The provider does not take {name}. Leave it out.")
        del out[name]
    for name in others:
        out[target.renamed_fields[name]] = out.pop(name)
    return encode(out)


def _with_usage(options: Raw | None) -> dict[str, object]:
    given = decode(options) if options is not None else None
    return {**(given or {}), "include_usage": True}


def _max_tokens_renamed(fields: dict[str, Raw], target: RenderTarget) -> str | None:
    """Providers that only know `max_tokens` are sent it under that name."""
    if target.max_tokens_field != "max_tokens":
        return None
    newer = fields.get("max_completion_tokens", UNSET)
    if newer is UNSET or "max_tokens" in fields:
        return None
    return "max_completion_tokens"
