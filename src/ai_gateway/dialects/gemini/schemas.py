"""Gemini's own `Schema` (an OpenAPI subset, types in capitals) -> JSON Schema.

Towards Gemini nothing is converted: it takes JSON Schema in `parametersJsonSchema` and
`responseJsonSchema` (ai.google.dev/api/caching#Schema, /gemini-api/docs/structured-output).
"""

from typing import Any, cast

from msgspec import Raw
from msgspec.json import decode, encode

_RENAMED = {
    "maxItems": int,
    "minItems": int,
    "maxLength": int,
    "minLength": int,
    "maxProperties": int,
    "minProperties": int,
}
"""Counts, which the proto's JSON form writes as strings."""
_LEFT_OUT = frozenset({"nullable", "propertyOrdering", "example", "type"})


def json_schema(raw: Raw) -> Raw:
    """The same schema as JSON Schema; one that is JSON Schema already stays as it is."""
    schema = decode(raw)
    return Raw(encode(_converted(schema))) if isinstance(schema, dict) else raw


def _converted(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    given = cast(dict[str, Any], schema)
    out: dict[str, Any] = {}
    kind = given.get("type")
    if isinstance(kind, str) and kind != "TYPE_UNSPECIFIED":
        out["type"] = kind.lower()
    elif kind is not None and not isinstance(kind, str):
        out["type"] = kind
    for name, value in given.items():
        match name:
            case "properties" | "defs" | "$defs" | "definitions" if isinstance(value, dict):
                inner = cast(dict[str, Any], value)
                out[name] = {key: _converted(each) for key, each in inner.items()}
            case "anyOf" | "any_of" | "oneOf" | "allOf" | "prefixItems" if isinstance(value, list):
                listed = cast(list[Any], value)
                out["anyOf" if name == "any_of" else name] = [_converted(each) for each in listed]
            case "items" | "additionalProperties" | "not":
                out[name] = _converted(value)
            case _ if name in _RENAMED and isinstance(value, str) and value.isdecimal():
                out[name] = _RENAMED[name](value)
            case _ if name not in _LEFT_OUT:
                out[name] = value
            case _:
                pass
    return _nullable(out) if given.get("nullable") is True else out


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    kind = schema.get("type")
    if isinstance(kind, str) and "enum" not in schema:
        return {**schema, "type": [kind, "null"]}
    return {"anyOf": [schema, {"type": "null"}]}
