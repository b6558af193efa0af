"""Chat -> Responses bytes, for a caller of another dialect."""

from msgspec import Raw
from msgspec.json import decode, encode

from ai_gateway.dialects.dialect import Rendered, RenderTarget
from ai_gateway.dialects.efforts import effort_of
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

from .items import DIALECT, own_signature

LEAST_OUTPUT_TOKENS = 16
"""OpenAI refuses a smaller `max_output_tokens`."""
_ANY_OBJECT = Raw(b'{"type":"object","properties":{}}')
_ENCRYPTED = "reasoning.encrypted_content"
_NOT_EXPRESSIBLE: dict[str, tuple[object, ...]] = {
    # Fields Responses has no like of (or whose answer the others could not hold), and the values
    # that mean what it does anyway.
    "stop": ((),),
    "top_k": (),
    "seed": (),
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
}
_CARRIED = frozenset(
    {"metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "store"}
)
"""Extras of Chat that have the same name and meaning here."""
_HARMLESS_EXTRAS = frozenset({"betas", "cache_control", "container", "context_management"})
_SAYS_NOTHING = {"modalities": b'["text"]'}


class RequestRenderer:
    """Collects one request and the notes on it."""

    def __init__(self, chat: Chat, target: RenderTarget) -> None:
        self._chat = chat
        self._target = target
        self._notes: dict[str, None] = {}
        self._encrypted = False
        """The history holds reasoning that OpenAI itself encrypted."""

    def render(self) -> Rendered:
        chat = self._chat
        out: dict[str, object] = {"model": self._target.model}
        self._extras(out)
        out["input"] = [item for message in chat.messages for item in self._items(message)]
        if chat.max_tokens is not None:
            out["max_output_tokens"] = max(LEAST_OUTPUT_TOKENS, chat.max_tokens)
            if chat.max_tokens < LEAST_OUTPUT_TOKENS:
                self._note(f"max_tokens raised to {LEAST_OUTPUT_TOKENS}, the provider's least")
        for name in ("temperature", "top_p", "user", "service_tier"):
            value = getattr(chat, name)
            if value is not None:
                out[name] = value
        if chat.tools:
            out["tools"] = [self._tool(tool) for tool in chat.tools]
            if chat.tool_choice is not None:
                out["tool_choice"] = tool_choice_to_wire(chat.tool_choice)
            if chat.parallel_tool_calls is not None:
                out["parallel_tool_calls"] = chat.parallel_tool_calls
        text: dict[str, object] = {}
        if chat.response_format is not None:
            text["format"] = format_to_wire(chat.response_format)
        if chat.verbosity is not None:
            text["verbosity"] = chat.verbosity
        if text:
            out["text"] = text
        effort = effort_of(chat.reasoning, self._notes)
        summary = None if chat.reasoning is None else chat.reasoning.summary
        reasoning = {"effort": effort, "summary": summary}
        if effort is not None or summary is not None:
            out["reasoning"] = {name: value for name, value in reasoning.items() if value}
        # State stays with the caller, as in every other dialect, so the reasoning must too.
        out.setdefault("store", False)
        if self._encrypted or effort not in (None, "none") or summary is not None:
            out["include"] = [_ENCRYPTED]
        if chat.stream:
            out["stream"] = True
        return Rendered(encode(out), tuple(self._notes))

    def _note(self, note: str) -> None:
        self._notes[note] = None

    def _extras(self, out: dict[str, object]) -> None:
        for name, harmless in _NOT_EXPRESSIBLE.items():
            value = getattr(self._chat, name)
            if value is not None and value not in harmless:
                raise Untranslatable(
                    name, f"The chosen model's API has nothing like {name}. Leave it out."
                )
        for name, value in self._chat.extras.items():
            if bytes(value) in (b"null", _SAYS_NOTHING.get(name)):
                continue
            if name in _HARMLESS_EXTRAS:
                self._note(f"{name} left out: the provider has no like of it")
                continue
            if name not in _CARRIED:
                raise Untranslatable(
                    name, f"The chosen model's API has nothing like {name}. Leave it out."
                )
            out[name] = value

    def _items(self, message: Message) -> list[object]:
        if message.name is not None:
            self._note("message names left out: the provider has no like of them")
        if message.role == "assistant":
            return self._said(message)
        out: list[object] = []
        content: list[Part] = []
        for part in message.parts:
            self._look_at_cache(part)
            if isinstance(part, ToolResult):
                out.append(self._tool_result(part))
            else:
                content.append(part)
        if content or not out:
            role = "user" if message.role == "tool" else message.role
            out.append({"role": role, "content": self._content(content)})
        return out

    def _said(self, message: Message) -> list[object]:
        """What the model said: texts, reasoning and calls are items each, in their order."""
        out: list[object] = []
        texts: list[dict[str, object]] = []

        def close() -> None:
            if texts:
                out.append({"type": "message", "role": "assistant", "content": [*texts]})
                texts.clear()

        for part in message.parts:
            self._look_at_cache(part)
            match part:
                case Text():
                    texts.append({"type": "output_text", "text": part.text, "annotations": []})
                case Refusal():
                    texts.append({"type": "refusal", "refusal": part.text})
                case ToolCall():
                    close()
                    out.append(
                        {
                            "type": "function_call",
                            "call_id": part.id,
                            "name": part.name,
                            "arguments": part.arguments or "{}",
                        }
                    )
                case Thinking() | RedactedThinking():
                    item = self._reasoning(part)
                    if item is not None:
                        close()
                        out.append(item)
                case Opaque(dialect="openai_responses"):
                    close()
                    out.append(part.raw)
                case Opaque():
                    raise self._unknown(part)
                case _:
                    raise Untranslatable(
                        message.path or "messages", "The model's own turns hold no such part."
                    )
        close()
        return out

    def _reasoning(self, part: Thinking | RedactedThinking) -> dict[str, object] | None:
        signature = own_signature(part.signature) if isinstance(part, Thinking) else None
        if signature is None or not isinstance(part, Thinking):
            self._note("thinking left out of the history: the provider takes back only its own")
            return None
        self._encrypted = True
        item_id, encrypted = signature
        summary = [{"type": "summary_text", "text": part.text}] if part.text else []
        out: dict[str, object] = {"type": "reasoning", "summary": summary}
        if item_id is not None:
            out["id"] = item_id
        out["encrypted_content"] = encrypted
        return out

    def _tool_result(self, result: ToolResult) -> dict[str, object]:
        if result.is_error:
            self._note("tool_result.is_error carried as text: the provider has no such mark")
        parts: list[Part] = list(result.parts)
        if result.is_error:
            parts.insert(0, Text(text="Error: "))
        only_text = all(isinstance(p, Text) for p in parts)
        output: object = (
            "".join(p.text for p in parts if isinstance(p, Text))
            if only_text
            else [self._part(p) for p in parts]
        )
        return {"type": "function_call_output", "call_id": result.call_id, "output": output}

    def _content(self, parts: list[Part]) -> object:
        if len(parts) == 1 and isinstance(parts[0], Text):
            return parts[0].text
        return [self._part(part) for part in parts]

    def _part(self, part: Part) -> dict[str, object]:
        match part:
            case Text():
                return {"type": "input_text", "text": part.text}
            case Image():
                url = part.url or f"data:{part.media_type or 'image/png'};base64,{part.data}"
                return {"type": "input_image", "image_url": url, "detail": part.detail or "auto"}
            case Document():
                return self._document(part)
            case Opaque(dialect="openai_responses"):
                return decode(part.raw, type=dict[str, object])
            case Opaque():
                raise self._unknown(part)
            case _:
                raise Untranslatable("messages", "A turn of this role cannot hold such a part.")

    def _document(self, part: Document) -> dict[str, object]:
        if part.text is not None:
            self._note("a text document was sent as plain text")
            text = part.text if part.name is None else f"{part.name}\n\n{part.text}"
            return {"type": "input_text", "text": text}
        if part.url is not None:
            return {"type": "input_file", "file_url": part.url}
        media_type = part.media_type or "application/pdf"
        return {
            "type": "input_file",
            "filename": part.name or "document.pdf",
            "file_data": f"data:{media_type};base64,{part.data}",
        }

    def _unknown(self, part: Opaque) -> Untranslatable:
        return Untranslatable(
            part.path, f"The chosen model's API has nothing like {part.kind}. Leave it out."
        )

    def _look_at_cache(self, part: Part | Tool) -> None:
        if getattr(part, "cache", None) is not None:
            self._note("cache_control ignored: the provider caches by itself")

    def _tool(self, tool: Tool | OpaqueTool) -> object:
        if isinstance(tool, OpaqueTool):
            if tool.dialect == DIALECT:
                return tool.raw
            raise Untranslatable(
                tool.path, f"The chosen model's API has no tool of type {tool.kind}. Leave it out."
            )
        self._look_at_cache(tool)
        return tool_to_wire(tool)


def tool_to_wire(tool: Tool) -> dict[str, object]:
    out: dict[str, object] = {"type": "function", "name": tool.name}
    if tool.description is not None:
        out["description"] = tool.description
    out["parameters"] = tool.parameters if tool.parameters is not None else _ANY_OBJECT
    # Here, unlike in the other dialects, a tool is strict unless it says that it is not.
    out["strict"] = bool(tool.strict)
    return out


def tool_choice_to_wire(choice: ToolChoice) -> object:
    if choice.mode == "tool":
        return {"type": "function", "name": choice.name}
    if choice.allowed:
        tools = [{"type": "function", "name": name} for name in choice.allowed]
        return {"type": "allowed_tools", "mode": choice.mode, "tools": tools}
    return choice.mode


def format_to_wire(wanted: ResponseFormat) -> dict[str, object]:
    if wanted.kind != "json_schema":
        return {"type": wanted.kind}
    out: dict[str, object] = {"type": "json_schema", "name": wanted.name or "answer"}
    if wanted.description is not None:
        out["description"] = wanted.description
    out["schema"] = wanted.schema
    # Where the caller's dialect knows no laxer mode, the schema is meant to hold.
    out["strict"] = True if wanted.strict is None else wanted.strict
    return out


def render_request(chat: Chat, target: RenderTarget) -> Rendered:
    """Raises Untranslatable naming what Responses cannot express."""
    return RequestRenderer(chat, target).render()
