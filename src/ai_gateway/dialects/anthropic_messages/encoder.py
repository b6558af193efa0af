"""Events -> a stream of Messages events."""

from msgspec.json import encode

from ai_gateway.dialects.signatures import bare
from ai_gateway.dialects.sse import named_sse
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

from .answers import block_of, message_id
from .blocks import DIALECT
from .errors import render_stream_error
from .stops import stop_to_wire
from .usage import usage_to_wire


class MessagesEncoder:
    """Messages holds one block open at a time: what comes for a later part waits its turn."""

    next_number = 0

    def __init__(self, chat: Chat) -> None:
        self.notes: list[str] = []
        self._open: int | None = None
        self._next_block = 0
        self._kinds: dict[int, type[Part]] = {}
        self._waiting: list[Event] = []
        self._refused = False

    def feed(self, event: Event) -> bytes:
        match event:
            case Start():
                return self._start(event)
            case Finish():
                return self._release(everything=True) + self._finish(event)
            case Failure():
                error = GatewayError(event.kind, event.message, code=event.code)
                return render_stream_error(error, "")
            case _:
                return self._part_event(event)

    def _part_event(self, event: PartStart | Delta | Signature | PartEnd) -> bytes:
        if self._open is not None and event.index != self._open:
            self._waiting.append(event)
            return b""
        out = self._write(event)
        return out + self._release(everything=False) if isinstance(event, PartEnd) else out

    def _release(self, *, everything: bool) -> bytes:
        """Once a block has closed, the next one's events may go, in the order they came."""
        out = b""
        while self._waiting and self._open is None:
            index = self._waiting[0].index  # type: ignore[union-attr]
            mine = [e for e in self._waiting if e.index == index]  # type: ignore[union-attr]
            self._waiting = [e for e in self._waiting if e.index != index]  # type: ignore[union-attr]
            out += b"".join(self._write(e) for e in mine)  # type: ignore[arg-type]
        if everything and self._open is not None:
            out += self._close()
        return out

    def _write(self, event: PartStart | Delta | Signature | PartEnd) -> bytes:
        match event:
            case PartStart():
                return self._start_part(event)
            case Delta():
                return self._delta(self._grown(event.index, event.text)) if event.text else b""
            case Signature():
                return self._sign(event.signature)
            case PartEnd():
                return self._close() if self._open == event.index else b""

    def _start(self, event: Start) -> bytes:
        message: dict[str, object] = {
            "id": message_id(event.id),
            "type": "message",
            "role": "assistant",
            "model": event.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_to_wire(event.usage or NO_USAGE),
        }
        return named_sse(b"message_start", encode({"type": "message_start", "message": message}))

    def _start_part(self, event: PartStart) -> bytes:
        part = event.part
        grown = ""
        match part:
            case Text() | Refusal():
                self._refused = self._refused or isinstance(part, Refusal)
                block: dict[str, object] | None = {"type": "text", "text": ""}
                grown = part.text
            case Thinking():
                block = {"type": "thinking", "thinking": "", "signature": ""}
                grown = part.text
            case ToolCall():
                block = {"type": "tool_use", "id": part.id, "name": part.name, "input": {}}
                grown = part.arguments
            case RedactedThinking() | Opaque():
                notes: dict[str, None] = {}
                block = block_of(part, notes)
                self.notes += notes
            case _:
                block = None
        if block is None:
            return b""
        self._open = event.index
        self._kinds[event.index] = type(part)
        out = self._event("content_block_start", {"content_block": block})
        if grown:
            out += self._delta(self._grown(event.index, grown))
        if isinstance(part, Thinking) and part.signature:
            out += self._sign(part.signature)
        return out

    def _sign(self, signature: str) -> bytes:
        return self._delta({"type": "signature_delta", "signature": bare(signature, DIALECT)})

    def _grown(self, index: int, text: str) -> dict[str, object]:
        kind = self._kinds.get(index)
        if kind is ToolCall:
            return {"type": "input_json_delta", "partial_json": text}
        if kind is Thinking:
            return {"type": "thinking_delta", "thinking": text}
        return {"type": "text_delta", "text": text}

    def _delta(self, delta: dict[str, object]) -> bytes:
        if self._open is None:
            return b""
        return self._event("content_block_delta", {"delta": delta})

    def _close(self) -> bytes:
        out = self._event("content_block_stop", {})
        self._open = None
        self._next_block += 1
        return out

    def _event(self, kind: str, rest: dict[str, object]) -> bytes:
        return named_sse(kind.encode(), encode({"type": kind, "index": self._next_block, **rest}))

    def _finish(self, event: Finish) -> bytes:
        stop = "refusal" if self._refused and event.stop == "stop" else event.stop
        delta = {"stop_reason": stop_to_wire(stop), "stop_sequence": event.stop_sequence}
        usage = usage_to_wire(event.usage or NO_USAGE)
        out = named_sse(
            b"message_delta", encode({"type": "message_delta", "delta": delta, "usage": usage})
        )
        return out + named_sse(b"message_stop", b'{"type":"message_stop"}')
