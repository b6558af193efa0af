"""The admin API in OpenAPI's words, from its table."""

from collections.abc import Sequence
from typing import Any

import msgspec

from .route import AdminRoute

_TEMPLATE = "#/components/schemas/{name}"
_SECURITY: list[dict[str, list[str]]] = [{"admin_key": []}]
_ERRORS = {
    "400": "The request is wrong; the error names the field.",
    "401": "No key, or none that is valid.",
    "403": "The key's role may not do this.",
    "404": "There is no such thing, or not for this key.",
    "503": "The database cannot be reached.",
}


def describe(table: Sequence[AdminRoute]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(paths, schemas) of OpenAPI 3.1."""
    types = [t for route in table for t in (route.gives, route.takes, route.query) if t is not None]
    schemas, components = msgspec.json.schema_components(types, ref_template=_TEMPLATE)
    of = dict(zip((id(t) for t in types), schemas, strict=True))
    paths: dict[str, Any] = {}
    for route in table:
        operation: dict[str, Any] = {
            "summary": route.summary,
            "tags": [route.tag],
            "security": _SECURITY,
            "description": f"For the roles {', '.join(sorted(route.roles))}.",
            "parameters": [*_path_parameters(route), *_query_parameters(route)],
            "responses": {
                **{status: {"description": text} for status, text in _ERRORS.items()},
                **_answer(route, of),
            },
        }
        if route.takes is not None:
            operation["requestBody"] = {
                "required": True,
                "content": {"application/json": {"schema": of[id(route.takes)]}},
            }
        paths.setdefault(route.path.replace(":path}", "}"), {})[route.method.lower()] = operation
    queries = {route.query.__name__ for route in table}
    return paths, {name: schema for name, schema in components.items() if name not in queries}


def _answer(route: AdminRoute, of: dict[int, Any]) -> dict[str, Any]:
    if route.gives is None:
        return {"204": {"description": "Done."}}
    content = {"application/json": {"schema": of[id(route.gives)]}}
    return {str(route.status): {"description": "Done.", "content": content}}


def _path_parameters(route: AdminRoute) -> list[dict[str, Any]]:
    names = [part[1:-1].removesuffix(":path") for part in route.path.split("/") if part[:1] == "{"]
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in names
    ]


def _query_parameters(route: AdminRoute) -> list[dict[str, Any]]:
    _, components = msgspec.json.schema_components([route.query], ref_template=_TEMPLATE)
    schema = components.get(route.query.__name__, {})
    required = schema.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": inner}
        for name, inner in schema.get("properties", {}).items()
    ]
