"""JSON-RPC messages of MCP (modelcontextprotocol.io/specification, "Base protocol", "Tools"): which tool a
call means, and lists of tools without those that may not be seen. Everything else passes to the letter."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec
from msgspec import Raw, Struct
from msgspec.json import Decoder, encode

from ai_gateway.dialects.sse import parse_events
from ai_gateway.model.errors import GatewayError

_INVALID_PARAMS = -32602

MayUse = Callable[[str], bool]
"""Whether the caller may see and call a tool, by its name."""


class _Params(Struct, frozen=True):
    name: str | None = None


class _Head(Struct, frozen=True):
    method: str | None = None
    id: str | int | float | None = None
    params: Raw = Raw(b"null")


class Asked(Struct, frozen=True, kw_only=True):
    """What one POST asks."""

    methods: tuple[str, ...]
    tools: tuple[str, ...]
    """Those it calls."""
    id: str | int | float | None
    """Of its first request; None where it holds but notifications and answers."""


_decode_head = Decoder(_Head)
_decode_many = Decoder(list[_Head])
_decode_params = Decoder(_Params)
_decode_members = Decoder(dict[str, Raw])
_decode_bodies = Decoder(list[dict[str, Raw]])
_READ = ("method", "params", "name")


def read_request(body: bytes) -> Asked:
    """Raises GatewayError(invalid_request)."""
    try:
        many = (
            _decode_many.decode(body) if body.lstrip()[:1] == b"[" else [_decode_head.decode(body)]
        )
        for members in (
            _decode_bodies.decode(body)
            if body.lstrip()[:1] == b"["
            else [_decode_members.decode(body)]
        ):
            _check_spelling(members)
        tools = [
            _decode_params.decode(one.params).name or ""
            for one in many
            if one.method == "tools/call"
        ]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise GatewayError(
            "invalid_request", "The body must be a JSON-RPC message.", code="invalid_json"
        ) from None
    for one in many:
        if one.method == "tools/call" and bytes(one.params)[:1] == b"{":
            _check_spelling(_decode_members.decode(one.params))
    ids = [one.id for one in many if one.method is not None and one.id is not None]
    return Asked(
        methods=tuple(one.method for one in many if one.method is not None),
        tools=tuple(tools),
        id=ids[0] if ids else None,
    )


def _check_spelling(members: Mapping[str, Raw]) -> None:
    """Some servers (Go's encoding/json) read `Name` as `name`: what is checked here must be what they
    read. Raises GatewayError(invalid_request)."""
    for name in members:
        if name not in _READ and name.casefold() in _READ:
            raise GatewayError(
                "invalid_request",
                f"The member {name!a} must be in lower case.",
                code="invalid_json",
            )


def refusal(id: str | int | float | None, tool: str) -> bytes:
    """What an unknown tool is answered with: one that may not be called is not there."""
    error = {"code": _INVALID_PARAMS, "message": f"Unknown tool: {tool[:100]}"}
    return encode({"jsonrpc": "2.0", "id": id, "error": error})


def with_only(body: bytes, may_use: MayUse) -> bytes:
    """A JSON answer, its list of tools without those that may not be seen."""
    try:
        tree = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body
    changed = False
    for message in cast(list[Any], tree) if isinstance(tree, list) else [tree]:
        changed |= _filter(message, may_use)
    return encode(tree) if changed else body


def events_with_only(data: bytes, may_use: MayUse) -> bytes:
    """The same of a stream's whole events."""
    out: list[bytes] = []
    for block in data.replace(b"\r\n", b"\n").split(b"\n\n"):
        if not block.strip():
            continue
        (event,) = parse_events(block + b"\n\n") or (None,)
        if event is None or b'"tools"' not in event.data:
            out.append(block + b"\n\n")
            continue
        lines = [line for line in block.split(b"\n") if not line.startswith(b"data")]
        out.append(b"\n".join([*lines, b"data: " + with_only(event.data, may_use)]) + b"\n\n")
    return b"".join(out)


def _filter(message: Any, may_use: MayUse) -> bool:
    """Takes tools out in place; whether any was."""
    if not isinstance(message, dict):
        return False
    result = cast(dict[str, Any], message).get("result")
    if not isinstance(result, dict):
        return False
    members = cast(dict[str, Any], result)
    tools = members.get("tools")
    if not isinstance(tools, list):
        return False
    listed = cast(list[Any], tools)
    kept = [tool for tool in listed if may_use(_name(tool))]
    members["tools"] = kept
    return len(kept) != len(listed)


def _name(tool: Any) -> str:
    return str(cast(dict[str, Any], tool).get("name")) if isinstance(tool, dict) else ""
