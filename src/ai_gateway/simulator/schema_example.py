"""The smallest value that is valid to a JSON Schema, as a model would have to give."""

# pyright: basic
# Free JSON, as a client may write it, is read here; typing each shape would say nothing more.

from typing import Any

_DEEPEST = 24


def example(schema: Any, root: Any = None, depth: int = 0) -> Any:
    """Covers what tools and structured outputs use; anything else gives an empty object."""
    root = schema if root is None else root
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return {}
    if "$ref" in schema:
        return example(_resolve(schema["$ref"], root), root, depth + 1)
    for name in ("const", "default"):
        if name in schema:
            return schema[name]
    if schema.get("enum"):
        return schema["enum"][0]
    for name in ("anyOf", "oneOf"):
        if schema.get(name):
            return example(schema[name][0], root, depth + 1)
    if schema.get("allOf"):
        merged: dict[str, Any] = {}
        for part in schema["allOf"]:
            value = example(part, root, depth + 1)
            if isinstance(value, dict):
                merged.update(value)
        return merged
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((k for k in kind if k != "null"), "null")
    return _of_type(kind, schema, root, depth)


def _of_type(kind: str, schema: dict[str, Any], root: Any, depth: int) -> Any:
    match kind:
        case "object":
            properties = schema.get("properties", {})
            wanted = [*properties] or schema.get("required", [])
            return {name: example(properties.get(name, {}), root, depth + 1) for name in wanted}
        case "array":
            count = max(1, schema.get("minItems", 1))
            return [example(schema.get("items", {"type": "string"}), root, depth + 1)] * count
        case "integer":
            return int(_number(schema))
        case "number":
            return float(_number(schema))
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return "example".ljust(schema.get("minLength", 0), "x")


def _number(schema: dict[str, Any]) -> float:
    low = schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
    high = schema.get("maximum", low)
    return min(max(1, low), high) if high >= low else low


def _resolve(reference: str, root: Any) -> Any:
    node = root
    for step in reference.removeprefix("#/").split("/"):
        node = node.get(step, {}) if isinstance(node, dict) else {}
    return node
