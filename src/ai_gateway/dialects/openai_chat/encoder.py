"""Events -> a stream of Chat Completions chunks."""

from msgspec.json import encode

from ai_gateway.dialects.sse import sse
from ai_gateway.model.answer import (
    Delta,
    Event,
    Failure,
    Finish,
    PartEnd,
    PartStart,
    Signature,
    Start,
)
from ai_gateway.model.chat import Chat
from ai_gateway.model.content import (
    Opaque,
    Part,
    RedactedThinking,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)
from ai_gateway.model.errors import GatewayError
from ai_gateway.model.usage import NO_USAGE

from .errors import error_object
from .stops import stop_to_wire
from .usage import usage_to_wire


class ChatEncoder:
    """Usage is sent in an event of its own, and only if the caller asked for it."""

    next_number = 0

    def __init__(self, chat: Chat) -> None:
        self.notes: list[str] = []
        self._include_usage = chat.include_usage
        self._head: dict[str, object] = {}
        self._fields: dict[int, str] = {}
        self._tools: dict[int, int] = {}

    def feed(self, event: Event) -> bytes:
        match event:
            case Delta():
                return self._grow(event.index, event.text)
            case PartStart():
                return self._start_part(event.index, event.part)
            case PartEnd():
                return b""
            case Signature():
                return self._chunk({"reasoning_signature": event.signature})
            case Start():
                self._head = {
                    "id": event.id,
                    "object": "chat.completion.chunk",
                    "created": event.created,
                    "model": event.model,
                }
                return self._chunk({"role": "assistant", "content": ""})
            case Finish():
                return self._finish(event)
            case Failure():
                error = GatewayError(event.kind, event.message, code=event.code)
                return sse(encode({"error": error_object(error)}))

    def _start_part(self, index: int, part: Part) -> bytes:
        match part:
            case Text():
                self._fields[index] = "content"
                return self._grow(index, part.text)
            case Thinking():
                self._fields[index] = "reasoning_content"
                out = self._grow(index, part.text)
                if part.signature:
                    out += self._chunk({"reasoning_signature": part.signature})
                return out
            case Refusal():
                self._fields[index] = "refusal"
                return self._grow(index, part.text)
            case RedactedThinking():
                return self._chunk({"redacted_reasoning": [part.data]})
            case ToolCall():
                position = self._tools[index] = len(self._tools)
                function = {"name": part.name, "arguments": part.arguments}
                call = {"index": position, "id": part.id, "type": "function", "function": function}
                return self._chunk({"tool_calls": [call]})
            case Opaque(text=text) if text:
                return self._chunk({"content": text})
            case _:
                kind = part.kind if isinstance(part, Opaque) else type(part).__name__
                self.notes.append(f"{kind} left out: Chat has no like of it")
                return b""

    def _grow(self, index: int, text: str) -> bytes:
        if not text:
            return b""
        position = self._tools.get(index)
        if position is not None:
            return self._chunk(
                {"tool_calls": [{"index": position, "function": {"arguments": text}}]}
            )
        field = self._fields.get(index)
        return b"" if field is None else self._chunk({field: text})

    def _chunk(self, delta: dict[str, object], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return sse(encode({**self._head, "choices": [choice]}))

    def _finish(self, event: Finish) -> bytes:
        out = self._chunk({}, stop_to_wire(event.stop))
        if self._include_usage:
            usage = usage_to_wire(event.usage or NO_USAGE)
            out += sse(encode({**self._head, "choices": [], "usage": usage}))
        return out + b"data: [DONE]\n\n"
