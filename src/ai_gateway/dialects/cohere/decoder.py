"""A stream of Cohere's Chat events -> Events."""

from ai_gateway.dialects.dialect import BadAnswer
from ai_gateway.dialects.sse import ServerSentEvent
from ai_gateway.model.answer import Delta, Event, Failure, Finish, PartEnd, PartStart, Start
from ai_gateway.model.content import Text, Thinking, ToolCall

from .answers import UNREADABLE, bad_answer, stop_from_wire, usage_from_wire
from .wire import DeltaMessage, WireCall, WireContent, WireDelta, WireEvent, decode_event


class CohereDecoder:
    """Contents and calls come one after the other, each numbered among its own kind; the plan has
    neither beginning nor end."""

    def __init__(self) -> None:
        self._next_index = 0
        self._open: tuple[str, int] | None = None
        self._started = False
        self._finished = False

    def feed(self, event: ServerSentEvent) -> list[Event]:
        """Raises BadAnswer."""
        if self._finished or event.data == b"[DONE]":
            return []
        out: list[Event] = []
        try:
            self._read(decode_event.decode(event.data), out)
        except UNREADABLE as error:
            raise bad_answer(error) from None
        return out

    def end(self) -> list[Event]:
        # Nothing but message-end says that the answer is whole.
        return []

    def _read(self, wire: WireEvent, out: list[Event]) -> None:
        delta = wire.delta or WireDelta()
        message = delta.message or DeltaMessage()
        match wire.type:
            case "message-start":
                self._start(wire.id, out)
            case "content-start" | "content-delta":
                content = message.content
                if isinstance(content, WireContent):
                    kind = "thinking" if content.thinking or content.type == "thinking" else "text"
                    self._grow(kind, content.thinking or content.text or "", out)
            case "tool-plan-delta":
                self._grow("text", message.tool_plan or "", out)
            case "tool-call-start":
                self._call(message, out)
            case "tool-call-delta":
                call = message.tool_calls
                if isinstance(call, WireCall) and call.function is not None:
                    self._more(call.function.arguments or "", out)
            case "content-end" | "tool-call-end":
                self._end_open(out)
            case "message-end":
                self._finish(delta, out)
            case None if wire.message is not None:
                self._fail(wire.message, out)
            case _:
                # Citations, and events yet to be invented.
                pass

    def _start(self, given: str | None, out: list[Event]) -> None:
        if not self._started:
            self._started = True
            out.append(Start(id=given or "", model=""))

    def _grow(self, kind: str, text: str, out: list[Event]) -> None:
        if not text:
            return
        if self._open is None or self._open[0] != kind:
            part = Thinking(text="") if kind == "thinking" else Text(text="")
            self._begin(kind, part, out)
        self._more(text, out)

    def _call(self, message: DeltaMessage, out: list[Event]) -> None:
        call = message.tool_calls
        if not isinstance(call, WireCall) or call.function is None or not call.function.name:
            raise BadAnswer("a tool call names no function")
        given = call.id or f"call_{self._next_index}"
        self._begin("call", ToolCall(id=given, name=call.function.name, arguments=""), out)
        self._more(call.function.arguments or "", out)

    def _begin(self, kind: str, part: Text | Thinking | ToolCall, out: list[Event]) -> None:
        self._end_open(out)
        self._open = (kind, self._next_index)
        self._next_index += 1
        out.append(PartStart(index=self._open[1], part=part))

    def _more(self, text: str, out: list[Event]) -> None:
        if self._open is None:
            raise BadAnswer("a piece of what has not begun")
        if text:
            out.append(Delta(index=self._open[1], text=text))

    def _end_open(self, out: list[Event]) -> None:
        if self._open is not None:
            out.append(PartEnd(index=self._open[1]))
            self._open = None

    def _finish(self, delta: WireDelta, out: list[Event]) -> None:
        if delta.error is not None:
            self._fail(delta.error, out)
            return
        self._start(None, out)
        self._end_open(out)
        self._finished = True
        usage = None if delta.usage is None else usage_from_wire(delta.usage)
        out.append(Finish(stop=stop_from_wire(delta.finish_reason), usage=usage))

    def _fail(self, message: str, out: list[Event]) -> None:
        self._finished = True
        out.append(Failure(kind="upstream", message=message[:2000]))
