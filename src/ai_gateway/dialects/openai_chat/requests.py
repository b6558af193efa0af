"""Chat's bytes -> Chat."""

from typing import Any

from msgspec import Raw
from msgspec.json import Decoder, encode

from ai_gateway.dialects.raw import given
from ai_gateway.dialects.strict_json import decode_object, invalid
from ai_gateway.dialects.unread import known, unread
from ai_gateway.model.chat import (
    Chat,
    OpaqueTool,
    Reasoning,
    ResponseFormat,
    Tool,
    ToolChoice,
)
from ai_gateway.model.content import (
    CacheMark,
    Document,
    Image,
    Message,
    Opaque,
    Part,
    RedactedThinking,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from ai_gateway.model.errors import GatewayError

from .wire import (
    AllowedTools,
    AnyTextPart,
    FilePart,
    FunctionCall,
    FunctionTool,
    ImagePart,
    ImageUrl,
    JsonSchema,
    PartType,
    ThinkingPart,
    ToolType,
    WireCache,
    WireFile,
    WireFunction,
    WireMessage,
    WireRequest,
    WireResponseFormat,
    WireToolCall,
    WireToolChoice,
    decode_request,
)

DIALECT = "openai_chat"

_fields = Decoder(dict[str, Raw])
_part_type = Decoder(PartType)
_text_part = Decoder(AnyTextPart)
_image_part = Decoder(ImagePart)
_file_part = Decoder(FilePart)
_thinking_part = Decoder(ThinkingPart)
_tool_type = Decoder(ToolType)
_function_tool = Decoder(FunctionTool)
_tool_call = Decoder(WireToolCall)

_KNOWN = frozenset(WireRequest.__struct_fields__)
_CACHE = known(WireCache)
_CALL = known(FunctionCall)
_READ = {
    "messages": {
        **known(WireMessage),
        "content": {
            **known(PartType, AnyTextPart, ThinkingPart),
            "image_url": known(ImageUrl),
            "file": known(WireFile),
            "cache_control": _CACHE,
        },
        "tool_calls": {**known(WireToolCall), "function": _CALL},
        "function_call": _CALL,
    },
    "tools": {**known(ToolType), "function": known(WireFunction), "cache_control": _CACHE},
    "response_format": {**known(WireResponseFormat), "json_schema": known(JsonSchema)},
}
_ROLES = {"system": "system", "developer": "developer", "user": "user", "assistant": "assistant", "tool": "tool"}  # fmt: skip


def parse_request(body: bytes) -> Chat:
    """Raises GatewayError(invalid_request) naming the field."""
    wire = decode_object(body, decode_request)
    fields = _fields.decode(body)
    extras = {k: v for k, v in fields.items() if k not in _KNOWN}
    return Chat(
        model=wire.model,
        messages=tuple(_message(m, i) for i, m in enumerate(wire.messages)),
        tools=tuple(_tool(t, i) for i, t in enumerate(wire.tools or ())),
        tool_choice=_tool_choice(wire.tool_choice),
        parallel_tool_calls=wire.parallel_tool_calls,
        max_tokens=wire.max_completion_tokens or wire.max_tokens,
        temperature=wire.temperature,
        top_p=wire.top_p,
        top_k=wire.top_k,
        stop=_stop(wire.stop),
        seed=wire.seed,
        frequency_penalty=wire.frequency_penalty,
        presence_penalty=wire.presence_penalty,
        logit_bias=wire.logit_bias,
        logprobs=wire.logprobs,
        top_logprobs=wire.top_logprobs,
        n=wire.n,
        response_format=_response_format(wire.response_format),
        reasoning=None
        if wire.reasoning_effort is None
        else Reasoning(effort=wire.reasoning_effort),
        user=wire.user,
        service_tier=wire.service_tier,
        verbosity=wire.verbosity,
        stream=bool(wire.stream),
        include_usage=wire.stream_options is not None and bool(wire.stream_options.include_usage),
        extras=extras,
        left_out=unread(fields, _READ),
    )


def _stop(stop: str | list[str] | None) -> tuple[str, ...]:
    if stop is None:
        return ()
    return (stop,) if isinstance(stop, str) else tuple(stop)


def _message(wire: WireMessage, index: int) -> Message:
    path = f"messages[{index}]"
    if wire.role == "tool":
        if wire.tool_call_id is None:
            raise invalid(f"{path}.tool_call_id", "must name the tool call this answers.")
        result = ToolResult(
            call_id=wire.tool_call_id,
            parts=tuple(_result_part(p) for p in _content(wire, path)),
        )
        return Message(role="tool", parts=(result,), name=wire.name, path=path)
    role = _ROLES.get(wire.role)
    if role is None:
        known = ", ".join(_ROLES)
        raise invalid(f"{path}.role", f"must be one of {known}.")
    parts: list[Part] = []
    thinking = wire.reasoning_content or wire.reasoning
    if thinking is not None or wire.reasoning_signature is not None:
        parts.append(Thinking(text=thinking or "", signature=wire.reasoning_signature))
    parts.extend(RedactedThinking(data=data) for data in wire.redacted_reasoning or ())
    parts.extend(_content(wire, path))
    if wire.refusal is not None:
        parts.append(Refusal(text=wire.refusal))
    parts.extend(
        _call(raw, f"{path}.tool_calls[{i}]") for i, raw in enumerate(wire.tool_calls or ())
    )
    if wire.function_call is not None:
        parts.append(_old_call(wire.function_call, path))
    audio = given(wire.audio)
    if audio is not None:
        parts.append(Opaque(dialect=DIALECT, kind="audio", raw=audio, path=f"{path}.audio"))
    return Message(role=role, parts=tuple(parts), name=wire.name, path=path)  # type: ignore[arg-type]


def _content(wire: WireMessage, path: str) -> list[Part]:
    content = wire.content
    if content is None:
        return []
    if isinstance(content, str):
        return [Text(text=content)]
    return [_part(raw, f"{path}.content[{i}]") for i, raw in enumerate(content)]


def _part(raw: Raw, path: str) -> Part:
    kind = _read(raw, _part_type, path).type
    match kind:
        case "text":
            text: AnyTextPart = _read(raw, _text_part, path)
            return Text(text=text.text or "", cache=_cache(text.cache_control))
        case "refusal":
            return Refusal(text=_read(raw, _text_part, path).refusal or "")
        case "image_url":
            return _image(_read(raw, _image_part, path), path)
        case "file":
            given_file: FilePart = _read(raw, _file_part, path)
            file = given_file.file
            if file.file_data is None:
                return Opaque(dialect=DIALECT, kind="file", raw=raw, path=f"{path}.file.file_id")
            media_type, data = split_data_url(file.file_data) or ("application/pdf", file.file_data)
            return Document(
                data=data,
                media_type=media_type,
                name=file.filename,
                cache=_cache(given_file.cache_control),
            )
        case "thinking":
            texts = _read(raw, _thinking_part, path).thinking
            return Thinking(text="".join(t.text or "" for t in texts))
        case "":
            raise invalid(f"{path}.type", "must say what the part is, such as 'text'.")
        case _:
            return Opaque(dialect=DIALECT, kind=kind, raw=raw, path=path)


def _result_part(part: Part) -> Any:
    if isinstance(part, Text | Image | Document | Opaque):
        return part
    raise invalid("messages", "a tool message holds text, images or files only.")


def _image(part: ImagePart, path: str) -> Image:
    image, cache = part.image_url, _cache(part.cache_control)
    url, detail = (image, None) if isinstance(image, str) else (image.url, image.detail)
    if url.startswith("data:"):
        split = split_data_url(url)
        if split is None:
            raise invalid(f"{path}.image_url.url", "must be a base64 data URL or an http(s) URL.")
        return Image(data=split[1], media_type=split[0], detail=detail, cache=cache)
    if not url.startswith(("https://", "http://", "gs://")):
        raise invalid(f"{path}.image_url.url", "must be a base64 data URL or an http(s) URL.")
    return Image(url=url, detail=detail, cache=cache)


def _cache(wire: WireCache | None) -> CacheMark | None:
    return None if wire is None else CacheMark(wire.ttl)


def split_data_url(url: str) -> tuple[str, str] | None:
    """`data:image/png;base64,AAAA` -> ("image/png", "AAAA") (RFC 2397); None for any other form."""
    head, comma, data = url.partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        return None
    return head[5:-7].split(";")[0] or "text/plain", data


def _call(raw: Raw, path: str) -> Part:
    wire = _read(raw, _tool_call, path)
    if wire.function is None:
        return Opaque(dialect=DIALECT, kind=wire.type or "tool_call", raw=raw, path=path)
    if not wire.id:
        raise invalid(f"{path}.id", "must be the id of the tool call.")
    if not wire.function.name:
        raise invalid(f"{path}.function.name", "must be the name of the function.")
    return ToolCall(id=wire.id, name=wire.function.name, arguments=wire.function.arguments or "")


def _old_call(call: FunctionCall, path: str) -> Part:
    return Opaque(
        dialect=DIALECT,
        kind="function_call",
        raw=Raw(encode(call)),
        path=f"{path}.function_call",
    )


def _tool(raw: Raw, index: int) -> Tool | OpaqueTool:
    path = f"tools[{index}]"
    kind = _read(raw, _tool_type, path).type
    if kind not in ("function", ""):
        return OpaqueTool(dialect=DIALECT, kind=kind, raw=raw, path=path)
    tool: FunctionTool = _read(raw, _function_tool, path)
    function = tool.function
    return Tool(
        name=function.name,
        description=function.description,
        parameters=given(function.parameters),
        strict=function.strict,
        cache=_cache(tool.cache_control),
    )


def _tool_choice(choice: str | WireToolChoice | None) -> ToolChoice | None:
    match choice:
        case None:
            return None
        case "auto" | "none" | "required":
            return ToolChoice(mode=choice)
        case "any":
            return ToolChoice(mode="required")
        case WireToolChoice(function=function) if function is not None:
            return ToolChoice(mode="tool", name=function.name)
        case WireToolChoice(
            allowed_tools=AllowedTools(mode="auto" | "required" as mode) as allowed
        ):
            return ToolChoice(mode=mode, allowed=tuple(t.function.name for t in allowed.tools))
        case _:
            raise invalid("tool_choice", "must be 'auto', 'none', 'required' or name one function.")


def _response_format(wire: WireResponseFormat | None) -> ResponseFormat | None:
    if wire is None:
        return None
    match wire.type:
        case "text" | "json_object":
            return ResponseFormat(kind=wire.type)
        case "json_schema" if (schema := wire.json_schema) is not None and given(schema.schema):
            return ResponseFormat(
                kind="json_schema",
                name=schema.name,
                description=schema.description,
                schema=schema.schema,
                strict=schema.strict,
            )
        case "json_schema":
            raise invalid("response_format.json_schema.schema", "must be a JSON Schema.")
        case _:
            raise invalid("response_format.type", "must be 'text', 'json_object' or 'json_schema'.")


def _read(raw: Raw, decoder: Decoder[Any], path: str) -> Any:
    try:
        return decode_object(bytes(raw), decoder)
    except GatewayError as error:
        field = f"{path}.{error.field}" if error.field else path
        raise GatewayError(
            error.kind, f"{field}: {error.message}", field=field, code=error.code
        ) from None
