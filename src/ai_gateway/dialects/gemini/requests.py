"""generateContent's bytes -> Chat. The model and the wish to stream stand in the path, not here."""

from msgspec import Raw
from msgspec.json import Decoder

from ai_gateway.dialects.raw import given
from ai_gateway.dialects.strict_json import invalid
from ai_gateway.model.chat import (
    Chat,
    OpaqueTool,
    Reasoning,
    ResponseFormat,
    Tool,
    ToolChoice,
)
from ai_gateway.model.content import Message, Text

from .parts import DIALECT, CallIds, join, parts_of
from .schemas import json_schema
from .wire import (
    GenerationConfig,
    WireContent,
    decode_calling,
    decode_config,
    decode_content,
    decode_declaration,
    decode_request,
    decode_thinking,
    decode_tool,
    decode_tool_config,
    fields_of,
    read,
)

_list = Decoder(list[Raw])
_KNOWN = frozenset(
    {"contents", "systemInstruction", "generationConfig", "tools", "toolConfig", "model"}
)
_NO_WEIGHT = frozenset({"safetySettings", "labels", "generationConfig.mediaResolution"})
_KNOWN_CONFIG = frozenset(GenerationConfig.__struct_encode_fields__)
_NO = frozenset({b"null", b"false", b"0", b"{}", b"[]"})
_ONE_CANDIDATE = (None, 1)


def parse_request(body: bytes) -> Chat:
    """Raises GatewayError(invalid_request) naming the field."""
    wire = read(body, decode_request)
    given_config = given(wire.generation_config)
    config = (
        GenerationConfig()
        if given_config is None
        else read(given_config, decode_config, "generationConfig")
    )
    tools = _tools(wire.tools)
    extras, left_out = _extras(body, given_config, config)
    choice = _tool_choice(wire.tool_config, tools, extras)
    return Chat(
        model="",
        messages=(*_system(wire.system_instruction), *_messages(wire.contents)),
        tools=tools,
        tool_choice=choice,
        max_tokens=config.max_output_tokens,
        temperature=config.temperature,
        top_p=config.top_p,
        top_k=None if config.top_k is None else int(config.top_k),
        stop=tuple(config.stop_sequences or ()),
        seed=config.seed,
        frequency_penalty=config.frequency_penalty,
        presence_penalty=config.presence_penalty,
        response_format=_response_format(config),
        reasoning=_reasoning(config),
        include_usage=True,
        extras=extras,
        left_out=left_out,
    )


def _extras(
    body: bytes, config: Raw | None, known: GenerationConfig
) -> tuple[dict[str, Raw], dict[str, Raw]]:
    found = {name: raw for name, raw in fields_of(body).items() if name not in _KNOWN}
    if config is not None:
        for name, raw in fields_of(config).items():
            if name not in _KNOWN_CONFIG:
                found[f"generationConfig.{name}"] = raw
    if known.candidate_count not in _ONE_CANDIDATE:
        found["generationConfig.candidateCount"] = Raw(b"%d" % (known.candidate_count or 0))
    if known.response_modalities not in (None, [], ["TEXT"]):
        found["generationConfig.responseModalities"] = Raw(b'"others than TEXT"')
    extras: dict[str, Raw] = {}
    left_out: dict[str, Raw] = {}
    for name, raw in found.items():
        if name in _NO_WEIGHT:
            left_out[name] = raw
        elif bytes(raw) not in _NO:
            extras[name] = raw
    return extras, left_out


def _system(raw: Raw) -> tuple[Message, ...]:
    if given(raw) is None:
        return ()
    content = read(raw, decode_content, "systemInstruction")
    parts = parts_of(content.parts or [], CallIds(""), "systemInstruction")
    return (Message(role="system", parts=tuple(parts), path="systemInstruction"),)


def _messages(contents: list[Raw]) -> list[Message]:
    ids = CallIds("call_")
    messages: list[Message] = []
    for index, raw in enumerate(contents):
        path = f"contents[{index}]"
        content: WireContent = read(raw, decode_content, path)
        match content.role:
            case "user" | "function" | None:
                role = "user"
            case "model":
                role = "assistant"
            case _:
                raise invalid(f"{path}.role", "must be 'user' or 'model'.")
        parts = parts_of(content.parts or [], ids, path) or [Text(text="")]
        if role == "assistant" and messages and messages[-1].role == role:
            # A streamed answer, sent back as the contents it came in.
            before = messages.pop()
            said = list(before.parts)
            join(said, parts)
            parts, path = said, before.path
        messages.append(Message(role=role, parts=tuple(parts), path=path))
    return messages


def _tools(raw: Raw) -> tuple[Tool | OpaqueTool, ...]:
    value = given(raw)
    if value is None:
        return ()
    # The API takes a single tool in place of the list.
    listed = [value] if bytes(value)[:1] == b"{" else read(value, _list, "tools")
    return tuple(tool for index, each in enumerate(listed) for tool in _tool(each, index))


def _tool(raw: Raw, index: int) -> list[Tool | OpaqueTool]:
    path = f"tools[{index}]"
    found: list[Tool | OpaqueTool] = []
    wire = read(raw, decode_tool, path)
    for number, each in enumerate(wire.function_declarations or ()):
        declared = read(each, decode_declaration, f"{path}.functionDeclarations[{number}]")
        own = given(declared.parameters)
        schema = given(declared.parameters_json_schema) or (own and json_schema(own))
        found.append(
            Tool(
                name=declared.name,
                description=declared.description or None,
                parameters=schema or None,
            )
        )
    found.extend(
        OpaqueTool(dialect=DIALECT, kind=name, raw=raw, path=f"{path}.{name}")
        for name in fields_of(raw)
        if name != "functionDeclarations"
    )
    return found


def _tool_choice(
    raw: Raw, tools: tuple[Tool | OpaqueTool, ...], extras: dict[str, Raw]
) -> ToolChoice | None:
    if given(raw) is None:
        return None
    wire = read(raw, decode_tool_config, "toolConfig")
    for name, value in fields_of(raw).items():
        if name != "functionCallingConfig" and bytes(value) not in _NO:
            extras[f"toolConfig.{name}"] = value
    if given(wire.function_calling_config) is None:
        return None
    path = "toolConfig.functionCallingConfig"
    config = read(wire.function_calling_config, decode_calling, path)
    offered = {tool.name for tool in tools if isinstance(tool, Tool)}
    names = tuple(config.allowed_function_names or ())
    allowed = () if offered <= set(names) else names
    match config.mode:
        case "AUTO" | "VALIDATED" | "MODE_UNSPECIFIED" | None:
            return ToolChoice(mode="auto", allowed=allowed)
        case "ANY" if len(names) == 1:
            return ToolChoice(mode="tool", name=names[0])
        case "ANY":
            return ToolChoice(mode="required", allowed=allowed)
        case "NONE":
            return ToolChoice(mode="none")
        case _:
            raise invalid(f"{path}.mode", "must be AUTO, ANY, NONE or VALIDATED.")


def _response_format(config: GenerationConfig) -> ResponseFormat | None:
    own = given(config.response_schema)
    schema = given(config.response_json_schema) or (own and json_schema(own))
    match config.response_mime_type:
        case "application/json":
            if schema:
                return ResponseFormat(kind="json_schema", schema=schema)
            return ResponseFormat(kind="json_object")
        case None | "text/plain" | "":
            if schema:
                raise invalid(
                    "generationConfig.responseMimeType", "must be application/json with a schema."
                )
            return None
        case _:
            raise invalid(
                "generationConfig.responseMimeType",
                "the chosen model gives text/plain or application/json only.",
            )


def _reasoning(config: GenerationConfig) -> Reasoning | None:
    raw = given(config.thinking_config)
    if raw is None:
        return None
    path = "generationConfig.thinkingConfig"
    wire = read(raw, decode_thinking, path)
    summary = "auto" if wire.include_thoughts else None
    if wire.thinking_level is not None:
        return Reasoning(effort=wire.thinking_level.lower(), summary=summary)
    match wire.thinking_budget:
        case None:
            return None if summary is None else Reasoning(summary=summary)
        case 0:
            return Reasoning(mode="disabled")
        case -1:
            return Reasoning(mode="adaptive", summary=summary)
        case budget if budget > 0:
            return Reasoning(mode="enabled", budget_tokens=budget, summary=summary)
        case _:
            raise invalid(f"{path}.thinkingBudget", "must be -1, 0 or a number of tokens.")
