"""Responses' bytes -> Chat."""

from msgspec import Raw
from msgspec.json import Decoder

from ai_gateway.dialects.raw import given
from ai_gateway.dialects.strict_json import decode_object, invalid
from ai_gateway.model.chat import (
    Chat,
    OpaqueTool,
    Reasoning,
    ResponseFormat,
    Tool,
    ToolChoice,
)
from ai_gateway.model.content import (
    Document,
    Image,
    Message,
    Opaque,
    Part,
    Text,
    ToolCall,
    ToolResult,
)
from ai_gateway.model.errors import Untranslatable

from .items import (
    DIALECT,
    content_part,
    function_call_item,
    function_output_item,
    kind_of,
    message_item,
    read,
    reasoning_item,
    thinking_of,
)
from .wire import (
    FunctionCallItem,
    FunctionOutputItem,
    FunctionTool,
    MessageItem,
    Typed,
    WireReasoning,
    WireRequest,
    WireText,
    WireToolChoice,
    decode_request,
)

_fields = Decoder(dict[str, Raw])
_strings = Decoder(list[str])
_function_tool = Decoder(FunctionTool)
_typed = Decoder(Typed)
_KNOWN = frozenset(WireRequest.__struct_fields__)
_MEANT_FOR_STATE = {
    "previous_response_id": "Send the conversation so far as input items instead.",
    "conversation": "Send the conversation so far as input items instead.",
    "background": "Leave it out, and read the answer as it comes.",
}
_NO_WEIGHT = frozenset(
    {
        "metadata",
        "store",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
        "safety_identifier",
        "stream_options",
        "max_tool_calls",
        "truncation",
    }
)
"""Fields that change nothing in the answer, or only how the provider keeps it."""
_SAYS_NOTHING: dict[str, bytes] = {
    # Values that mean what happens anyway.
    "store": b"false",
    "background": b"false",
    "top_logprobs": b"0",
    "truncation": b'"disabled"',
}
_INCLUDED_LOGPROBS = "message.output_text.logprobs"


def parse_request(body: bytes) -> Chat:
    """Raises GatewayError(invalid_request) naming the field."""
    wire = decode_object(body, decode_request)
    extras, left_out = _extras(_fields.decode(body), wire)
    return Chat(
        model=wire.model,
        messages=(*_instructions(wire.instructions), *_messages(wire.input)),
        tools=tuple(_tool(t, i) for i, t in enumerate(wire.tools or ())),
        tool_choice=_tool_choice(wire.tool_choice),
        parallel_tool_calls=wire.parallel_tool_calls,
        max_tokens=wire.max_output_tokens,
        temperature=wire.temperature,
        top_p=wire.top_p,
        response_format=_response_format(wire.text),
        verbosity=None if wire.text is None else wire.text.verbosity,
        reasoning=_reasoning(wire.reasoning),
        user=wire.user,
        service_tier=wire.service_tier,
        stream=bool(wire.stream),
        include_usage=True,
        extras=extras,
        left_out=left_out,
    )


def _extras(fields: dict[str, Raw], wire: WireRequest) -> tuple[dict[str, Raw], dict[str, Raw]]:
    extras: dict[str, Raw] = {}
    left_out: dict[str, Raw] = {}
    for name, value in fields.items():
        if name in _KNOWN or bytes(value) in (b"null", _SAYS_NOTHING.get(name)):
            continue
        if name in _NO_WEIGHT:
            left_out[name] = value
        elif name == "include":
            wanted = decode_object(bytes(value), _strings)
            (extras if _INCLUDED_LOGPROBS in wanted else left_out)[name] = value
        elif name in _MEANT_FOR_STATE:
            raise Untranslatable(
                name,
                f"{name}: nothing is kept for the chosen model. {_MEANT_FOR_STATE[name]}",
            )
        else:
            extras[name] = value
    return extras, left_out


def _instructions(instructions: str | None) -> tuple[Message, ...]:
    if not instructions:
        return ()
    return (Message(role="system", parts=(Text(text=instructions),), path="instructions"),)


def _messages(given_input: str | list[Raw] | None) -> list[Message]:
    """Items in their order; what the model said in one turn (texts, reasoning, calls) is one message."""
    if given_input is None:
        return []
    if isinstance(given_input, str):
        return [Message(role="user", parts=(Text(text=given_input),), path="input")]
    messages: list[Message] = []
    said: list[Part] = []
    said_from = ""
    for index, raw in enumerate(given_input):
        path = f"input[{index}]"
        turn, parts = _item(raw, path)
        if turn is None:
            said_from = said_from if said else path
            said += parts
            continue
        if said:
            messages.append(Message(role="assistant", parts=tuple(said), path=said_from))
            said = []
        messages.append(turn)
    if said:
        messages.append(Message(role="assistant", parts=tuple(said), path=said_from))
    return messages


def _item(raw: Raw, path: str) -> tuple[Message | None, list[Part]]:
    """A turn of its own, or parts of what the model said."""
    match kind_of(raw, path):
        case "message":
            item: MessageItem = read(raw, message_item, path)
            return _message(item, path)
        case "function_call":
            call: FunctionCallItem = read(raw, function_call_item, path)
            return None, [ToolCall(id=call.call_id, name=call.name, arguments=call.arguments)]
        case "function_call_output":
            output: FunctionOutputItem = read(raw, function_output_item, path)
            parts = _content(output.output, f"{path}.output")
            kept = tuple(p for p in parts if isinstance(p, Text | Image | Document | Opaque))
            result = ToolResult(call_id=output.call_id, parts=kept)
            return Message(role="tool", parts=(result,), path=path), []
        case "reasoning":
            return None, [thinking_of(read(raw, reasoning_item, path))]
        case "":
            raise invalid(f"{path}.type", "must say what the item is, such as 'message'.")
        case kind:
            return None, [Opaque(dialect=DIALECT, kind=kind, raw=raw, path=path)]


def _message(item: MessageItem, path: str) -> tuple[Message | None, list[Part]]:
    parts = _content(item.content, f"{path}.content")
    match item.role:
        case "assistant":
            return None, parts
        case "user" | "system" | "developer" as role:
            return Message(role=role, parts=tuple(parts), path=path), []
        case _:
            raise invalid(f"{path}.role", "must be user, assistant, system or developer.")


def _content(content: str | list[Raw], path: str) -> list[Part]:
    if isinstance(content, str):
        return [Text(text=content)]
    return [content_part(raw, f"{path}[{i}]") for i, raw in enumerate(content)]


def _tool(raw: Raw, index: int) -> Tool | OpaqueTool:
    path = f"tools[{index}]"
    kind = read(raw, _typed, path).type or "function"
    if kind != "function":
        return OpaqueTool(dialect=DIALECT, kind=kind, raw=raw, path=path)
    tool: FunctionTool = read(raw, _function_tool, path)
    return Tool(
        name=tool.name,
        description=tool.description,
        parameters=given(tool.parameters),
        strict=tool.strict,
    )


def _tool_choice(choice: str | WireToolChoice | None) -> ToolChoice | None:
    match choice:
        case None:
            return None
        case "auto" | "none" | "required":
            return ToolChoice(mode=choice)
        case WireToolChoice(type="function", name=str(name)):
            return ToolChoice(mode="tool", name=name)
        case WireToolChoice(type="allowed_tools", mode="auto" | "required" as mode, tools=list()):
            names: list[str] = []
            for i, raw in enumerate(choice.tools or ()):
                path = f"tool_choice.tools[{i}]"
                if kind_of(raw, path) != "function":
                    raise Untranslatable(path, "The chosen model's API knows functions only.")
                names.append(read(raw, _function_tool, path).name)
            return ToolChoice(mode=mode, allowed=tuple(names))
        case WireToolChoice():
            raise Untranslatable(
                "tool_choice",
                f"The chosen model's API has no tool choice of type {choice.type[:64]!r}.",
            )
        case _:
            raise invalid("tool_choice", "must be 'auto', 'none', 'required' or name one tool.")


def _response_format(text: WireText | None) -> ResponseFormat | None:
    wanted = None if text is None else text.format
    if wanted is None:
        return None
    match wanted.type:
        case "text" | "json_object":
            return ResponseFormat(kind=wanted.type)
        case "json_schema" if (schema := given(wanted.schema)) is not None:
            return ResponseFormat(
                kind="json_schema",
                name=wanted.name,
                description=wanted.description,
                schema=schema,
                strict=wanted.strict,
            )
        case "json_schema":
            raise invalid("text.format.schema", "must be a JSON Schema.")
        case _:
            raise invalid("text.format.type", "must be 'text', 'json_object' or 'json_schema'.")


def _reasoning(wire: WireReasoning | None) -> Reasoning | None:
    if wire is None or (wire.effort is None and wire.summary is None):
        return None
    return Reasoning(effort=wire.effort, summary=wire.summary)
