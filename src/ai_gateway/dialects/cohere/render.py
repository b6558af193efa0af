"""Chat -> Cohere's Chat v2 bytes, for a caller of any dialect."""

from msgspec.json import encode

from ai_gateway.dialects.dialect import Rendered, RenderTarget
from ai_gateway.dialects.first_call import NOTE as FIRST_CALL_NOTE
from ai_gateway.dialects.inexpressible import HARMLESS_EXTRAS, refuse_inexpressible
from ai_gateway.dialects.shown_by_tools import with_shown_apart
from ai_gateway.model.chat import Chat, OpaqueTool, Reasoning, Tool
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

_NOT_EXPRESSIBLE: dict[str, tuple[object, ...]] = {
    # What Cohere has no like of, or whose answer the callers' dialects could not be given.
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
}
_MOST_STOPS = 5
_MOST_K = 500
_LEAST_P, _MOST_P = 0.01, 0.99
_NO_ARGUMENTS: dict[str, object] = {"type": "object", "properties": {}}
_BUDGETS = {
    "minimal": 512,
    "low": 1024,
    "medium": 8192,
    "high": 24576,
    "xhigh": 24576,
    "max": 24576,
}
"""Cohere takes a budget of tokens where others take a word; these are the ones Gemini's stand for."""
_FOREIGN = "thinking left out of the history: the provider takes only its own"


def render_request(chat: Chat, target: RenderTarget) -> Rendered:
    """Raises Untranslatable naming what Cohere cannot express."""
    return RequestRenderer(chat, target).render()


class RequestRenderer:
    """Collects one request and the notes on it."""

    def __init__(self, chat: Chat, target: RenderTarget) -> None:
        self._chat = chat
        self._target = target
        self._notes: dict[str, None] = {}

    def render(self) -> Rendered:
        chat = self._chat
        refuse_inexpressible(chat, _NOT_EXPRESSIBLE, HARMLESS_EXTRAS, self._note)
        out: dict[str, object] = {
            "model": self._target.model,
            "messages": [
                rendered
                for message in with_shown_apart(chat.messages, self._note)
                for rendered in self._message(message)
            ],
            "stream": chat.stream,
        }
        self._tools(out)
        self._sampling(out)
        thinking = self._thinking(chat.reasoning)
        if thinking is not None:
            out["thinking"] = thinking
        wanted = chat.response_format
        if wanted is not None and wanted.kind != "text":
            format_: dict[str, object] = {"type": "json_object"}
            if wanted.schema is not None:
                format_["json_schema"] = wanted.schema
            if wanted.name is not None or wanted.description is not None:
                self._note("the name of the JSON schema was left out: the API takes none")
            out["response_format"] = format_
        if chat.user is not None:
            self._note("user left out: the provider has no like of it")
        if chat.service_tier not in (None, "auto", "default", "standard_only"):
            raise Untranslatable("service_tier", "The chosen model's API takes only auto.")
        return Rendered(encode(out), tuple(self._notes))

    def _note(self, note: str) -> None:
        self._notes[note] = None

    def _message(self, message: Message) -> list[dict[str, object]]:
        """One neutral turn is one message, but for tool results, which are each their own."""
        if message.name is not None:
            self._note("message names left out: the provider has no like of them")
        results = [self._result(p) for p in message.parts if isinstance(p, ToolResult)]
        parts: list[Part] = [p for p in message.parts if not isinstance(p, ToolResult)]
        for part in parts:
            self._look_at_cache(part)
        match message.role:
            case "tool":
                return results
            case "assistant":
                return [*results, self._said(parts, message)]
            case "user":
                role = "user"
            case _:
                role = "system"
                if not all(isinstance(part, Text) for part in parts):
                    raise Untranslatable(
                        message.path or "messages",
                        "The chosen model takes only text in system messages.",
                    )
        if results and not parts:
            return results
        return [*results, {"role": role, "content": self._contents(parts)}]

    def _look_at_cache(self, part: Part | Tool) -> None:
        if getattr(part, "cache", None) is not None:
            self._note("cache_control ignored: the provider caches by itself")

    def _contents(self, parts: list[Part]) -> str | list[dict[str, object]]:
        if len(parts) == 1 and isinstance(parts[0], Text):
            return parts[0].text
        return [self._content(part) for part in parts]

    def _content(self, part: Part) -> dict[str, object]:
        match part:
            case Text():
                return {"type": "text", "text": part.text}
            case Image():
                url = part.url or f"data:{part.media_type or 'image/png'};base64,{part.data}"
                image: dict[str, object] = (
                    {"url": url} if part.detail is None else {"url": url, "detail": part.detail}
                )
                return {"type": "image_url", "image_url": image}
            case Document(text=str(text)):
                self._note("a text document was sent as plain text")
                named = text if part.name is None else f"{part.name}\n\n{text}"
                return {"type": "text", "text": named}
            case Document():
                raise Untranslatable(
                    "messages", "The chosen model reads no files. Send their text instead."
                )
            case Opaque():
                raise Untranslatable(
                    part.path, f"The chosen model's API has nothing like {part.kind}. Leave it out."
                )
            case _:
                raise Untranslatable("messages", "A turn of this role cannot hold such a part.")

    def _said(self, parts: list[Part], message: Message) -> dict[str, object]:
        """What the model said: text before a call is its plan."""
        out: dict[str, object] = {"role": "assistant"}
        content: list[dict[str, object]] = []
        texts: list[str] = []
        calls: list[dict[str, object]] = []
        for part in parts:
            match part:
                case Thinking(signature=None | ""):
                    # Cohere signs nothing: what bears no signature may be its own.
                    content.append({"type": "thinking", "thinking": part.text})
                case Thinking() | RedactedThinking():
                    self._note(_FOREIGN)
                case Text() | Refusal():
                    texts.append(part.text)
                case ToolCall():
                    function = {"name": part.name, "arguments": part.arguments or "{}"}
                    calls.append({"id": part.id, "type": "function", "function": function})
                case Opaque():
                    raise Untranslatable(
                        part.path,
                        f"The chosen model's API has nothing like {part.kind}. Leave it out.",
                    )
                case _:
                    raise Untranslatable(
                        message.path or "messages", "The model's own turns hold no such part."
                    )
        if calls:
            out["tool_calls"] = calls
            if texts:
                out["tool_plan"] = "".join(texts)
        elif texts and not content:
            out["content"] = "".join(texts)
        else:
            content.extend({"type": "text", "text": text} for text in texts)
        if content:
            out["content"] = content
        elif not calls:
            out.setdefault("content", "")
        return out

    def _result(self, result: ToolResult) -> dict[str, object]:
        self._look_at_cache(result)
        text = "".join(p.text for p in result.parts if isinstance(p, Text))
        if result.is_error:
            self._note("tool_result.is_error carried as text: the provider has no such mark")
            text = f"Error: {text}"
        return {"role": "tool", "tool_call_id": result.call_id, "content": text}

    def _tools(self, out: dict[str, object]) -> None:
        """Of a choice Cohere knows `REQUIRED` and `NONE`; where only some tools may be called, no
        others are offered."""
        choice = self._chat.tool_choice
        allowed: tuple[str, ...] = ()
        if choice is not None:
            allowed = (choice.name or "",) if choice.mode == "tool" else choice.allowed
        offered: list[Tool] = []
        for tool in self._chat.tools:
            if isinstance(tool, OpaqueTool):
                raise Untranslatable(
                    tool.path,
                    f"The chosen model's API has no tool of type {tool.kind}. Leave it out.",
                )
            self._look_at_cache(tool)
            if not allowed or tool.name in allowed:
                offered.append(tool)
        if not offered:
            return
        if len(offered) < len(self._chat.tools):
            self._note(
                "only the tools that may be called are sent: the provider takes no choice of one"
            )
        out["tools"] = [_tool(tool) for tool in offered]
        if self._chat.parallel_tool_calls is False:
            self._note(FIRST_CALL_NOTE)
        strict = [tool.strict is True for tool in offered]
        if all(strict):
            out["strict_tools"] = True
        elif any(strict):
            self._note("strict left out of tools: the provider takes it for all or none")
        if choice is not None and choice.mode != "auto":
            out["tool_choice"] = "NONE" if choice.mode == "none" else "REQUIRED"

    def _sampling(self, out: dict[str, object]) -> None:
        chat = self._chat
        if len(chat.stop) > _MOST_STOPS:
            raise Untranslatable("stop", f"The chosen model takes {_MOST_STOPS} stop strings.")
        given: dict[str, object | None] = {
            "max_tokens": chat.max_tokens,
            "stop_sequences": list(chat.stop) or None,
            "temperature": chat.temperature,
            "seed": chat.seed,
            "frequency_penalty": self._penalty("frequency_penalty", chat.frequency_penalty),
            "presence_penalty": self._penalty("presence_penalty", chat.presence_penalty),
            "k": self._within("top_k", chat.top_k, 0, _MOST_K),
            "p": self._within("top_p", chat.top_p, _LEAST_P, _MOST_P),
        }
        out |= {name: value for name, value in given.items() if value is not None}

    def _penalty(self, name: str, value: float | None) -> float | None:
        if value is not None and value < 0:
            raise Untranslatable(name, f"The chosen model takes {name} from 0 to 1.")
        return self._within(name, value, 0, 1)

    def _within(self, name: str, value: float | None, least: float, most: float) -> float | None:
        if value is None or least <= value <= most:
            return value
        held = min(max(value, least), most)
        self._note(f"{name} {value:g} sent as {held:g}: the provider takes {least:g} to {most:g}")
        return held

    def _thinking(self, reasoning: Reasoning | None) -> dict[str, object] | None:
        if reasoning is None:
            return None
        if reasoning.effort == "none" or reasoning.mode == "disabled":
            return {"type": "disabled"}
        budget = reasoning.budget_tokens
        if budget is None and reasoning.effort is not None:
            if reasoning.effort in ("xhigh", "max"):
                self._note(f"reasoning effort {reasoning.effort} sent as high")
            budget = _BUDGETS.get(reasoning.effort)
            if budget is None:
                raise Untranslatable("reasoning", "The chosen model knows no such effort.")
        return (
            {"type": "enabled"} if budget is None else {"type": "enabled", "token_budget": budget}
        )


def _tool(tool: Tool) -> dict[str, object]:
    function: dict[str, object] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = _NO_ARGUMENTS if tool.parameters is None else tool.parameters
    return {"type": "function", "function": function}
