"""Events -> a stream of generateContent answers, each with what is new. No event ends it but the
end of the stream; there is no `[DONE]`."""

from msgspec.json import encode

from ai_gateway.dialects.arguments import as_object
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
from ai_gateway.model.content import Part, Refusal, Text, Thinking, ToolCall
from ai_gateway.model.errors import GatewayError
from ai_gateway.model.usage import NO_USAGE

from .answers import candidate, part_to_wire, thought_signature, without_cut_arguments
from .errors import render_stream_error
from .stops import stop_to_wire
from .usage import usage_to_wire


class GeminiEncoder:
    """Texts are sent as they grow; a function call, which the dialect holds whole, once it is."""

    next_number = 0

    def __init__(self, chat: Chat) -> None:
        self.notes: list[str] = []
        self._head: dict[str, object] = {}
        self._texts: dict[int, bool] = {}
        """Whether each text part under way is a thought."""
        self._calls: dict[int, tuple[ToolCall, list[str]]] = {}
        self._cut: list[ToolCall] = []
        """Calls whose arguments are no object: cut, if the answer was."""
        self._refused = False

    def feed(self, event: Event) -> bytes:
        match event:
            case Delta():
                return self._grow(event.index, event.text)
            case PartStart():
                return self._start_part(event.index, event.part)
            case PartEnd():
                return self._end_part(event.index)
            case Signature():
                return self._answer([thought_signature(event.signature)])
            case Start():
                self._head = {"modelVersion": event.model, "responseId": event.id}
                return b""
            case Finish():
                stop = "refusal" if self._refused and event.stop == "stop" else event.stop
                notes: dict[str, None] = {}
                cut = [part_to_wire(without_cut_arguments(c, stop, notes), {}) for c in self._cut]
                self.notes += notes
                before = b"".join(self._answer([wire]) for wire in cut if wire is not None)
                last = candidate([{"text": ""}], stop_to_wire(stop))
                usage = usage_to_wire(event.usage or NO_USAGE)
                told = {"candidates": [last], "usageMetadata": usage, **self._head}
                return before + sse(encode(told))
            case Failure():
                error = GatewayError(event.kind, event.message, code=event.code)
                return render_stream_error(error, "")

    def _start_part(self, index: int, part: Part) -> bytes:
        match part:
            case Text() | Refusal() | Thinking():
                self._refused = self._refused or isinstance(part, Refusal)
                self._texts[index] = isinstance(part, Thinking)
                out = self._grow(index, part.text)
                if isinstance(part, Thinking) and part.signature:
                    out += self._answer([thought_signature(part.signature)])
                return out
            case ToolCall():
                self._calls[index] = (part, [part.arguments])
                return b""
            case _:
                notes: dict[str, None] = {}
                wire = part_to_wire(part, notes)
                self.notes += notes
                return b"" if wire is None else self._answer([wire])

    def _grow(self, index: int, text: str) -> bytes:
        if not text:
            return b""
        call = self._calls.get(index)
        if call is not None:
            call[1].append(text)
            return b""
        thought = self._texts.get(index)
        if thought is None:
            return b""
        part: dict[str, object] = {"text": text}
        if thought:
            part["thought"] = True
        return self._answer([part])

    def _end_part(self, index: int) -> bytes:
        call = self._calls.pop(index, None)
        if call is None:
            return b""
        part, pieces = call
        whole = ToolCall(id=part.id, name=part.name, arguments="".join(pieces))
        if as_object(whole.arguments) is None:
            self._cut.append(whole)
            return b""
        wire = part_to_wire(whole, {})
        return b"" if wire is None else self._answer([wire])

    def _answer(self, parts: list[dict[str, object]]) -> bytes:
        return sse(encode({"candidates": [candidate(parts)], **self._head}))
