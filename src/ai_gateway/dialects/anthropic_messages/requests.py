"""Messages' bytes -> Chat."""

from collections.abc import Sequence

import msgspec
from msgspec import Raw
from msgspec.json import Decoder

from ai_gateway.dialects.raw import given
from ai_gateway.dialects.strict_json import decode_object, invalid, refused_value
from ai_gateway.dialects.unread import Read, known, unread
from ai_gateway.model.chat import (
    Chat,
    OpaqueTool,
    Reasoning,
    ResponseFormat,
    Tool,
    ToolChoice,
)
from ai_gateway.model.content import Message, Part, Text
from ai_gateway.model.errors import GatewayError

from .blocks import DIALECT, cache_mark, part_from_block
from .wire import (
    DocumentBlock,
    RedactedBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    Typed,
    WireCache,
    WireMessage,
    WireMetadata,
    WireRequest,
    WireSource,
    WireThinking,
    WireTool,
    WireToolChoice,
    decode_request,
)

_fields = Decoder(dict[str, Raw])
_typed = Decoder(Typed)
_tool_decoder = Decoder(WireTool)
_KNOWN = frozenset(WireRequest.__struct_fields__)
_output_config = Decoder(dict[str, Raw])
_CACHE = known(WireCache)
_BLOCK: "dict[str, Read | None]" = {
    **known(Typed, TextBlock, DocumentBlock, ToolUseBlock, ToolResultBlock, ThinkingBlock),
    **known(RedactedBlock),
    "source": known(WireSource),
    "cache_control": _CACHE,
}
_BLOCK["content"] = {**_BLOCK}
_READ = {
    "system": _BLOCK,
    "messages": {**known(WireMessage), "content": _BLOCK},
    "tools": {**known(Typed, WireTool), "cache_control": _CACHE},
    "tool_choice": known(WireToolChoice),
    "thinking": known(WireThinking),
    "metadata": known(WireMetadata),
}


def parse_request(body: bytes) -> Chat:
    """Raises GatewayError(invalid_request) naming the field."""
    wire = decode_object(body, decode_request)
    fields = _fields.decode(body)
    choice = wire.tool_choice
    parallel = None
    if choice is not None and choice.disable_parallel_tool_use is not None:
        parallel = not choice.disable_parallel_tool_use
    return Chat(
        model=wire.model,
        messages=(*_system(wire.system), *(_message(m, i) for i, m in enumerate(wire.messages))),
        tools=tuple(_tool(t, i) for i, t in enumerate(wire.tools or ())),
        tool_choice=_tool_choice(choice),
        parallel_tool_calls=parallel,
        max_tokens=wire.max_tokens,
        temperature=wire.temperature,
        top_p=wire.top_p,
        top_k=wire.top_k,
        stop=tuple(wire.stop_sequences or ()),
        response_format=_response_format(wire),
        reasoning=_reasoning(wire),
        user=None if wire.metadata is None else wire.metadata.user_id,
        service_tier=wire.service_tier,
        stream=bool(wire.stream),
        include_usage=True,
        extras=_extras(fields),
        left_out=unread(fields, _READ),
    )


def _extras(fields: dict[str, Raw]) -> dict[str, Raw]:
    extras = {k: v for k, v in fields.items() if k not in _KNOWN}
    config = fields.get("output_config")
    if config is not None and bytes(config) != b"null":
        for name, value in _output_config.decode(config).items():
            if name not in ("effort", "format"):
                extras[f"output_config.{name}"] = value
    return extras


def _system(system: str | list[Raw] | None) -> tuple[Message, ...]:
    if not system:
        return ()
    if isinstance(system, str):
        parts: Sequence[Part] = (Text(text=system),)
    else:
        parts = [_part(raw, f"system[{i}]") for i, raw in enumerate(system)]
    return (Message(role="system", parts=tuple(parts), path="system"),)


def _message(wire: WireMessage, index: int) -> Message:
    path = f"messages[{index}]"
    if wire.role not in ("user", "assistant", "system"):
        raise invalid(f"{path}.role", "must be 'user' or 'assistant'.")
    if isinstance(wire.content, str):
        parts: tuple[Part, ...] = (Text(text=wire.content),)
    else:
        parts = tuple(_part(raw, f"{path}.content[{i}]") for i, raw in enumerate(wire.content))
    return Message(role=wire.role, parts=parts, path=path)


def _part(raw: Raw, path: str) -> Part:
    try:
        return part_from_block(raw, path)
    except msgspec.ValidationError as error:
        raise _within(path, refused_value(str(error))) from None


def _within(path: str, error: GatewayError) -> GatewayError:
    field = f"{path}.{error.field}" if error.field else path
    return GatewayError(error.kind, f"{field}: {error.message}", field=field, code=error.code)


def _tool(raw: Raw, index: int) -> Tool | OpaqueTool:
    path = f"tools[{index}]"
    try:
        kind = decode_object(bytes(raw), _typed).type
        if kind not in ("", "custom"):
            return OpaqueTool(dialect=DIALECT, kind=kind, raw=raw, path=path)
        tool = decode_object(bytes(raw), _tool_decoder)
    except GatewayError as error:
        raise _within(path, error) from None
    return Tool(
        name=tool.name,
        description=tool.description,
        parameters=given(tool.input_schema),
        strict=tool.strict,
        cache=cache_mark(tool.cache_control),
    )


def _tool_choice(choice: WireToolChoice | None) -> ToolChoice | None:
    match choice:
        case None:
            return None
        case WireToolChoice(type="auto" | "none" as mode):
            return ToolChoice(mode=mode)
        case WireToolChoice(type="any"):
            return ToolChoice(mode="required")
        case WireToolChoice(type="tool", name=str(name)):
            return ToolChoice(mode="tool", name=name)
        case _:
            raise invalid(
                "tool_choice.type", "must be 'auto', 'any', 'none', or 'tool' with a name."
            )


def _response_format(wire: WireRequest) -> ResponseFormat | None:
    config = wire.output_config
    if config is None or config.format is None:
        return None
    schema = given(config.format.schema)
    if config.format.type != "json_schema" or schema is None:
        raise invalid("output_config.format", "must be of type 'json_schema', with a schema.")
    return ResponseFormat(kind="json_schema", schema=schema)


def _reasoning(wire: WireRequest) -> Reasoning | None:
    effort = None if wire.output_config is None else wire.output_config.effort
    thinking = wire.thinking
    if thinking is None:
        return None if effort is None else Reasoning(effort=effort)
    match thinking.type:
        case "enabled" | "disabled" | "adaptive" as mode:
            return Reasoning(
                effort=effort,
                mode=mode,
                budget_tokens=thinking.budget_tokens,
                display=thinking.display,
            )
        case _:
            raise invalid("thinking.type", "must be 'enabled', 'disabled' or 'adaptive'.")
