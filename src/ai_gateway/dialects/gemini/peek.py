"""A look at a request that is relayed: checked, read for what the pipeline must know, not changed."""

from msgspec import Raw
from msgspec.json import Decoder, encode

from ai_gateway.dialects.dialect import Peek, RenderTarget
from ai_gateway.dialects.raw import given
from ai_gateway.dialects.strict_json import decode_object, invalid, top_level_fields

from .wire import camel, decode_peeked_config, read

_fields = Decoder(dict[str, Raw])
_contents = Decoder(list[Raw])


def peek(body: bytes) -> Peek:
    """Raises GatewayError(invalid_request) naming the field. The model stands in the path."""
    decode_object(body, _fields)
    fields = top_level_fields(body)
    named = {camel(name): value for name, value in fields.items()}
    if len(named) != len(fields):
        raise invalid("", "a field is given in both cases. Send it once.", code="duplicate_field")
    contents = named.get("contents")
    if contents is None or not read(contents, _contents, "contents"):
        raise invalid("contents", "must hold at least one content.")
    max_tokens = None
    config = named.get("generationConfig")
    if config is not None and given(config) is not None:
        checked = read(config, decode_peeked_config, "generationConfig")
        max_tokens = checked.max_output_tokens
        if checked.temperature is not None and not 0 <= checked.temperature <= 2:
            raise invalid("generationConfig.temperature", "must be a number from 0 to 2.")
        if checked.top_p is not None and not 0 <= checked.top_p <= 1:
            raise invalid("generationConfig.topP", "must be a number from 0 to 1.")
    return Peek(
        model="",
        stream=False,
        include_usage=True,
        max_tokens=max_tokens or None,
        user=None,
        fields=fields,
    )


def rewrite(peeked: Peek, body: bytes, target: RenderTarget) -> bytes:
    """The bytes themselves, but for a model named in the body as well as in the path."""
    if "model" not in peeked.fields:
        return body
    return encode({**peeked.fields, "model": f"models/{target.model}"})
