"""Chat -> Messages bytes, for a caller of another dialect."""

import re

import msgspec
from msgspec import Raw, Struct
from msgspec.json import Decoder, encode

from ai_gateway.dialects.dialect import Rendered, RenderTarget
from ai_gateway.dialects.inexpressible import HARMLESS_EXTRAS, refuse_inexpressible
from ai_gateway.dialects.signatures import own
from ai_gateway.model.chat import Chat, OpaqueTool, Tool, ToolChoice
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

from .blocks import (
    DIALECT,
    STRUCTURED_ANSWER,
    cache_to_wire,
    document_to_block,
    image_to_block,
    text_to_block,
)
from .reasoning import thinking_for

DEFAULT_MAX_TOKENS = 4096
_NO_ARGUMENTS = Raw(b'{"type":"object","properties":{}}')
_arguments = Decoder(dict[str, Raw])
_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")

_NOT_EXPRESSIBLE: dict[str, tuple[object, ...]] = {
    # Fields Messages has no like of, and the values that mean what it does anyway.
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "seed": (),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
}
_HARMLESS_EXTRAS: dict[str, tuple[bytes, ...]] = {
    **HARMLESS_EXTRAS,
    # Messages' own, on their way to another cloud's Claude.
    "cache_control": (),
}
_SERVICE_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}


class _Turn(Struct):
    role: str
    content: list[dict[str, object]]


class RequestRenderer:
    """Collects one request and the notes on it."""

    def __init__(self, chat: Chat, target: RenderTarget) -> None:
        self._chat = chat
        self._target = target
        self._notes: dict[str, None] = {}

    def render(self) -> Rendered:
        chat, target = self._chat, self._target
        refuse_inexpressible(chat, _NOT_EXPRESSIBLE, _HARMLESS_EXTRAS, self._note)
        system, turns = self._split()
        max_tokens = chat.max_tokens or target.max_output_tokens or DEFAULT_MAX_TOKENS
        out: dict[str, object] = (
            {"anthropic_version": target.body_version}
            if target.body_version
            else {"model": target.model}
        )
        out["max_tokens"] = max_tokens
        if system:
            out["system"] = system
        out["messages"] = turns
        tools: list[object] = [self._tool(tool) for tool in self._offered()]
        choice = self._tool_choice(chat.tool_choice)
        config: dict[str, object] = {}
        wanted = chat.response_format
        if wanted is not None and wanted.kind == "json_object":
            raise Untranslatable(
                "response_format",
                "The chosen model has no free JSON mode. Use response_format json_schema.",
            )
        if wanted is not None and wanted.kind == "json_schema":
            if target.structured_output:
                config["format"] = {"type": "json_schema", "schema": wanted.schema}
                if wanted.name is not None or wanted.description is not None:
                    self._note("the name of the JSON schema was left out: the API takes none")
            elif tools:
                raise Untranslatable(
                    "response_format",
                    "The chosen model has no structured output beside tools. Choose a newer one.",
                )
            else:
                tools = [
                    {
                        "name": STRUCTURED_ANSWER,
                        "description": wanted.description or "Give the answer.",
                        "input_schema": wanted.schema,
                    }
                ]
                forced: dict[str, object] = {"type": "tool", "name": STRUCTURED_ANSWER}
                choice = forced
        self._reason(out, config, choice)
        if config:
            out["output_config"] = config
        if tools:
            out["tools"] = tools
            if choice is not None:
                out["tool_choice"] = choice
        self._sampling(out)
        if chat.stop:
            out["stop_sequences"] = list(chat.stop)
        if chat.user is not None:
            out["metadata"] = {"user_id": chat.user}
        if chat.service_tier is not None:
            tier = _SERVICE_TIERS.get(chat.service_tier)
            if tier is None:
                raise Untranslatable("service_tier", "The chosen model's API takes only auto.")
            out["service_tier"] = tier
        if chat.stream:
            out["stream"] = True
        return Rendered(encode(out), tuple(self._notes))

    def _note(self, note: str) -> None:
        self._notes[note] = None

    def _sampling(self, out: dict[str, object]) -> None:
        chat = self._chat
        if chat.temperature is not None:
            if chat.temperature > 1:
                self._note("temperature clamped to 1")
            out["temperature"] = min(1.0, chat.temperature)
        if chat.top_p is not None:
            out["top_p"] = chat.top_p
        if chat.top_k is not None:
            out["top_k"] = chat.top_k

    def _reason(
        self, out: dict[str, object], config: dict[str, object], choice: dict[str, object] | None
    ) -> None:
        chat = self._chat
        wanted = thinking_for(chat.reasoning, self._target)
        if wanted.effort is not None:
            config["effort"] = wanted.effort
        if wanted.thinking is None:
            return
        out["thinking"] = wanted.thinking
        if wanted.thinking["type"] == "disabled":
            return
        if chat.temperature is not None and chat.temperature != 1:
            raise Untranslatable(
                "temperature", "With reasoning on, the chosen model takes no temperature but 1."
            )
        if choice is not None and choice["type"] in ("any", "tool"):
            raise Untranslatable(
                "tool_choice",
                "With reasoning on, the chosen model cannot be forced to call a tool.",
            )
        budget = wanted.budget_tokens
        given = out["max_tokens"]
        if budget is not None and isinstance(given, int) and budget >= given:
            # The API counts thinking within max_tokens and wants room left for the answer.
            out["max_tokens"] = given + budget
            self._note(f"max_tokens raised by {budget} to leave room for thinking")

    def _split(self) -> tuple[object, list[_Turn]]:
        """The system prompt, and the turns: neighbours of one role joined, the first a user's."""
        system: list[Text] = []
        turns: list[_Turn] = []
        for message in self._chat.messages:
            if message.role in ("system", "developer"):
                if turns:
                    raise Untranslatable(
                        message.path or "messages",
                        "The chosen model takes system messages at the beginning only.",
                    )
                system += self._system(message)
                continue
            if message.name is not None:
                self._note("message names left out: the provider has no like of them")
            role = "assistant" if message.role == "assistant" else "user"
            blocks = [b for part in message.parts if (b := self._block(part, role)) is not None]
            if turns and turns[-1].role == role:
                turns[-1].content.extend(blocks)
            elif blocks or not turns:
                turns.append(_Turn(role, blocks))
        if not turns:
            raise Untranslatable("messages", "The chosen model needs at least one user message.")
        if turns[0].role != "user":
            raise Untranslatable("messages", "The chosen model needs a user message first.")
        if not turns[0].content:
            raise Untranslatable("messages", "The chosen model takes no empty user message.")
        self._tidy(turns)
        if len(system) == 1 and system[0].cache is None:
            return system[0].text, turns
        return [text_to_block(text) for text in system], turns

    def _system(self, message: Message) -> list[Text]:
        out: list[Text] = []
        for part in message.parts:
            if not isinstance(part, Text):
                raise Untranslatable(
                    message.path or "messages",
                    "The chosen model takes only text in system messages.",
                )
            if part.text:
                out.append(part)
        return out

    def _tidy(self, turns: list[_Turn]) -> None:
        """Tool results come first in their turn; a final assistant text ends without white space."""
        for turn in turns:
            if turn.role == "user":
                turn.content.sort(key=lambda block: block.get("type") != "tool_result")
        last = turns[-1]
        if last.role == "assistant" and last.content and last.content[-1].get("type") == "text":
            final = last.content[-1]
            text = str(final["text"])
            if text != text.rstrip():
                final["text"] = text.rstrip()
                self._note("trailing white space of the last assistant message left out")

    def _block(self, part: Part, role: str) -> dict[str, object] | None:
        match part:
            case Text(text=""):
                return None
            case Text() if part.text.isspace():
                self._note("a text of white space alone left out: the provider takes none")
                return None
            case Text():
                return text_to_block(part)
            case Image():
                if part.detail not in (None, "auto"):
                    self._note("image detail left out: the provider has no like of it")
                return image_to_block(part)
            case Document():
                return document_to_block(part)
            case ToolCall():
                block: dict[str, object] = {
                    "type": "tool_use",
                    "id": _call_id(part.id),
                    "name": part.name,
                    "input": _input(part),
                }
                return cache_to_wire(block, part.cache)
            case ToolResult():
                return self._tool_result(part)
            case Thinking():
                signature = own(part.signature, DIALECT)
                if signature is None:
                    self._note(
                        "thinking without a signature left out: the provider takes none back"
                    )
                    return None
                return {"type": "thinking", "thinking": part.text, "signature": signature}
            case RedactedThinking():
                return {"type": "redacted_thinking", "data": part.data}
            case Refusal():
                return {"type": "text", "text": part.text} if part.text else None
            case Opaque(dialect="anthropic_messages"):
                return msgspec.json.decode(part.raw, type=dict[str, object])
            case Opaque():
                raise Untranslatable(
                    part.path, f"The chosen model's API has nothing like {part.kind}. Leave it out."
                )

    def _tool_result(self, part: ToolResult) -> dict[str, object]:
        block: dict[str, object] = {"type": "tool_result", "tool_use_id": _call_id(part.call_id)}
        only = part.parts[0] if len(part.parts) == 1 else None
        if isinstance(only, Text) and only.cache is None:
            block["content"] = only.text
        elif part.parts:
            inner = [self._block(p, "user") for p in part.parts]
            block["content"] = [b for b in inner if b is not None]
        if part.is_error is not None:
            block["is_error"] = part.is_error
        return cache_to_wire(block, part.cache)

    def _offered(self) -> tuple[Tool | OpaqueTool, ...]:
        """The tools; where only some of them may be called, only those."""
        choice, tools = self._chat.tool_choice, self._chat.tools
        if choice is None or not choice.allowed:
            return tools
        self._note(
            "tools that may not be called left out: the provider has no list of allowed ones"
        )
        return tuple(t for t in tools if isinstance(t, Tool) and t.name in choice.allowed)

    def _tool(self, tool: Tool | OpaqueTool) -> object:
        if isinstance(tool, OpaqueTool):
            if tool.dialect == DIALECT:
                return tool.raw
            raise Untranslatable(
                tool.path, f"The chosen model's API has no tool of type {tool.kind}. Leave it out."
            )
        out: dict[str, object] = {"name": tool.name}
        if tool.description is not None:
            out["description"] = tool.description
        out["input_schema"] = tool.parameters if tool.parameters is not None else _NO_ARGUMENTS
        if tool.strict:
            out["strict"] = True
        return cache_to_wire(out, tool.cache)

    def _tool_choice(self, choice: ToolChoice | None) -> dict[str, object] | None:
        out: dict[str, object] | None = None
        if choice is not None:
            match choice.mode:
                case "tool":
                    out = {"type": "tool", "name": choice.name}
                case "required":
                    out = {"type": "any"}
                case mode:
                    out = {"type": mode}
        if self._chat.parallel_tool_calls is False and self._chat.tools:
            out = out or {"type": "auto"}
            if out["type"] != "none":
                out["disable_parallel_tool_use"] = True
        return out


def _call_id(given: str) -> str:
    """Anthropic takes letters, digits, `_` and `-` in ids; other models' (Kimi's `functions.f:0`)
    may hold more."""
    return _NOT_IN_IDS.sub("_", given)


def _input(call: ToolCall) -> object:
    if not call.arguments.strip():
        return Raw(b"{}")
    arguments = call.arguments.encode()
    try:
        _arguments.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        raise Untranslatable(
            "messages", f"The arguments of the tool call to {call.name[:64]!r} are no JSON object."
        ) from None
    return Raw(arguments)


def render_request(chat: Chat, target: RenderTarget) -> Rendered:
    """Raises Untranslatable naming what Messages cannot express."""
    return RequestRenderer(chat, target).render()
