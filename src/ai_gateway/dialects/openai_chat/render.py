"""Chat -> Chat Completions bytes, for a caller of another dialect."""

from msgspec import Raw
from msgspec.json import decode, encode

from ai_gateway.dialects.dialect import Rendered, RenderTarget
from ai_gateway.dialects.efforts import effort_of
from ai_gateway.dialects.inexpressible import note_verbosity
from ai_gateway.dialects.shown_by_tools import with_shown_apart
from ai_gateway.model.chat import Chat, OpaqueTool, ResponseFormat, Tool, ToolChoice
from ai_gateway.model.content import (
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
from ai_gateway.model.errors import Untranslatable

from .requests import DIALECT

_ANY_OBJECT = Raw(b'{"type":"object","properties":{}}')
_HARMLESS_EXTRAS = frozenset({"betas", "cache_control", "container", "context_management"})
_HARMLESS = frozenset({"user", "stream_options"})
"""Fields that change nothing in the answer."""
_SERVICE_TIERS = {"standard_only": "default"}

CACHE_NOTE = "cache_control ignored: the provider caches by itself"
THINKING_NOTE = "thinking left out of the history: the provider does not take it back"


class _Notes:
    def __init__(self) -> None:
        self.found: dict[str, None] = {}

    def add(self, note: str) -> None:
        self.found[note] = None


def render_request(chat: Chat, target: RenderTarget) -> Rendered:
    """Raises Untranslatable naming what Chat Completions cannot express."""
    notes = _Notes()
    _refuse_inexpressible(chat, notes)
    messages: list[dict[str, object]] = []
    for message in with_shown_apart(chat.messages, notes.add):
        messages += _message(message, target, notes)
    out: dict[str, object] = {"model": target.model, "messages": messages}
    if chat.max_tokens is not None:
        out[target.max_tokens_field] = chat.max_tokens
    for name in (
        "temperature",
        "top_p",
        "seed",
        "frequency_penalty",
        "presence_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "n",
        "user",
    ):
        value = getattr(chat, name)
        if value is not None:
            out[name] = value
    if chat.stop:
        out["stop"] = list(chat.stop)
    if chat.tools:
        out["tools"] = [_tool(tool, notes) for tool in chat.tools]
        if chat.tool_choice is not None:
            out["tool_choice"] = _tool_choice(chat.tool_choice)
        if chat.parallel_tool_calls is not None:
            out["parallel_tool_calls"] = chat.parallel_tool_calls
    if chat.response_format is not None:
        out["response_format"] = _response_format(chat.response_format)
    effort = effort_of(chat.reasoning, notes.found)
    if effort is not None:
        out["reasoning_effort"] = effort
    if chat.service_tier is not None:
        out["service_tier"] = _SERVICE_TIERS.get(chat.service_tier, chat.service_tier)
    if chat.verbosity is not None:
        if target.developer_role:
            out["verbosity"] = chat.verbosity
        else:
            # A newer field of OpenAI's, which its followers may refuse.
            note_verbosity(chat, notes.add)
    if chat.stream:
        out["stream"] = True
        if target.stream_usage:
            out["stream_options"] = {"include_usage": True}
    for name in sorted(target.refused_fields & out.keys()):
        if name not in _HARMLESS:
            raise Untranslatable(name, f"The provider does not take {name}. Leave it out.")
        del out[name]
        notes.add(f"{name} left out: the provider does not take it")
    for name, theirs in target.renamed_fields.items():
        if name in out:
            out[theirs] = out.pop(name)
    return Rendered(encode(out), tuple(notes.found))


def _refuse_inexpressible(chat: Chat, notes: _Notes) -> None:
    if chat.top_k is not None:
        raise Untranslatable("top_k", "The chosen model's API has no top_k. Leave it out.")
    for name, value in chat.extras.items():
        if bytes(value) == b"null":
            continue
        if name not in _HARMLESS_EXTRAS:
            raise Untranslatable(
                name, f"The chosen model's API has nothing like {name}. Leave it out."
            )
        notes.add(f"{name} left out: the provider has no like of it")


def _message(message: Message, target: RenderTarget, notes: _Notes) -> list[dict[str, object]]:
    """One neutral turn is one message, but for tool results, which are each their own."""
    out: list[dict[str, object]] = []
    parts: list[Part] = []
    for part in message.parts:
        if getattr(part, "cache", None) is not None:
            notes.add(CACHE_NOTE)
        if isinstance(part, ToolResult):
            out.append(_tool_message(part, notes))
        else:
            parts.append(part)
    if message.role == "tool":
        return out
    if message.role == "assistant":
        out.append(_assistant(parts, notes))
        return out
    if parts or not out:
        role = message.role
        if role == "developer" and not target.developer_role:
            role = "system"
        rendered: dict[str, object] = {"role": role, "content": _content(parts, notes)}
        if message.name is not None:
            rendered["name"] = message.name
        out.append(rendered)
    return out


def _assistant(parts: list[Part], notes: _Notes) -> dict[str, object]:
    out: dict[str, object] = {"role": "assistant", "content": None}
    content: list[Part] = []
    calls: list[dict[str, object]] = []
    for part in parts:
        match part:
            case ToolCall():
                calls.append(
                    {
                        "id": part.id,
                        "type": "function",
                        "function": {"name": part.name, "arguments": part.arguments or "{}"},
                    }
                )
            case Thinking() | RedactedThinking():
                notes.add(THINKING_NOTE)
            case Refusal():
                out["refusal"] = part.text
            case _:
                content.append(part)
    if content:
        out["content"] = _content(content, notes)
    elif not calls and "refusal" not in out:
        out["content"] = ""
    if calls:
        out["tool_calls"] = calls
    return out


def _tool_message(result: ToolResult, notes: _Notes) -> dict[str, object]:
    if result.cache is not None:
        notes.add(CACHE_NOTE)
    if result.is_error:
        notes.add("tool_result.is_error carried as text: the provider has no such mark")
    text = "".join(p.text for p in result.parts if isinstance(p, Text))
    if result.is_error:
        text = f"Error: {text}"
    return {"role": "tool", "tool_call_id": result.call_id, "content": text}


def _content(parts: list[Part], notes: _Notes) -> str | list[dict[str, object]]:
    if len(parts) == 1 and isinstance(parts[0], Text):
        return parts[0].text
    return [_part(part, notes) for part in parts]


def _part(part: Part, notes: _Notes) -> dict[str, object]:
    match part:
        case Text():
            return {"type": "text", "text": part.text}
        case Image():
            url = part.url or f"data:{part.media_type or 'image/png'};base64,{part.data}"
            image: dict[str, object] = {"url": url}
            if part.detail is not None:
                image["detail"] = part.detail
            return {"type": "image_url", "image_url": image}
        case Document(data=str(data)):
            media_type = part.media_type or "application/pdf"
            file = {
                "filename": part.name or "document.pdf",
                "file_data": f"data:{media_type};base64,{data}",
            }
            return {"type": "file", "file": file}
        case Document(text=str(text)):
            notes.add("a text document was sent as plain text")
            return {"type": "text", "text": text if part.name is None else f"{part.name}\n\n{text}"}
        case Document():
            raise Untranslatable(
                "messages",
                "The chosen model's API takes no documents by URL. Send the data itself.",
            )
        case Opaque(dialect="openai_chat"):
            return decode(part.raw, type=dict[str, object])
        case Opaque():
            raise Untranslatable(
                part.path, f"The chosen model's API has nothing like {part.kind}. Leave it out."
            )
        case _:
            raise Untranslatable("messages", "A turn of this role cannot hold such a part.")


def _tool(tool: Tool | OpaqueTool, notes: _Notes) -> object:
    if isinstance(tool, OpaqueTool):
        if tool.dialect == DIALECT:
            return tool.raw
        raise Untranslatable(
            tool.path, f"The chosen model's API has no tool of type {tool.kind}. Leave it out."
        )
    if tool.cache is not None:
        notes.add(CACHE_NOTE)
    function: dict[str, object] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = tool.parameters if tool.parameters is not None else _ANY_OBJECT
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _tool_choice(choice: ToolChoice) -> object:
    if choice.mode == "tool":
        return {"type": "function", "function": {"name": choice.name}}
    if choice.allowed:
        tools = [{"type": "function", "function": {"name": name}} for name in choice.allowed]
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": tools}}
    return choice.mode


def _response_format(wanted: ResponseFormat) -> dict[str, object]:
    if wanted.kind != "json_schema":
        return {"type": wanted.kind}
    schema: dict[str, object] = {"name": wanted.name or "answer"}
    if wanted.description is not None:
        schema["description"] = wanted.description
    schema["schema"] = wanted.schema
    # Where the caller's dialect knows no laxer mode, the schema is meant to hold.
    schema["strict"] = True if wanted.strict is None else wanted.strict
    return {"type": "json_schema", "json_schema": schema}
