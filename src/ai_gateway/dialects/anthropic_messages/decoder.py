"""A stream of Messages events -> Events."""

from ai_gateway.dialects.dialect import BadAnswer
from ai_gateway.dialects.signatures import marked
from ai_gateway.dialects.sse import ServerSentEvent
from ai_gateway.model.answer import (
    Delta,
    Event,
    Failure,
    Finish,
    PartEnd,
    PartStart,
    Signature,
    Start,
    StopReason,
)
from ai_gateway.model.content import Text, ToolCall
from ai_gateway.model.usage import Usage

from .answers import UNREADABLE, bad_answer
from .blocks import DIALECT, STRUCTURED_ANSWER, part_from_block
from .errors import kind_of_type
from .stops import stop_from_wire
from .usage import usage_from_wire
from .wire import WireEvent, WireUsage, decode_event


class MessagesDecoder:
    def __init__(self) -> None:
        self._finished = False
        self._first_usage: WireUsage | None = None
        self._usage: Usage | None = None
        self._stop: StopReason | None = None
        self._stop_sequence: str | None = None
        self._structured = False
        self._bare_calls: set[int] = set()
        """Tool calls whose input came with their start, if it does not come in pieces after all."""
        self._started_input: dict[int, str] = {}

    def feed(self, event: ServerSentEvent) -> list[Event]:
        """Raises BadAnswer."""
        if self._finished:
            return []
        try:
            return self._read(decode_event.decode(event.data))
        except UNREADABLE as error:
            raise bad_answer(error) from None

    def end(self) -> list[Event]:
        # Without message_stop the answer is cut, unless it had told why it stopped.
        return [] if self._finished or self._stop is None else self._finish()

    def _read(self, wire: WireEvent) -> list[Event]:
        match wire.type:
            case "content_block_delta":
                return self._delta(wire)
            case "content_block_start":
                return [self._part_start(wire)]
            case "content_block_stop":
                return [*self._late_input(wire.index), PartEnd(index=wire.index)]
            case "message_start":
                message = wire.message
                if message is None:
                    raise BadAnswer("message_start without a message")
                self._note(message.usage)
                return [Start(id=message.id, model=message.model, usage=self._usage)]
            case "message_delta":
                self._note(wire.usage)
                if wire.delta is not None and wire.delta.stop_reason is not None:
                    self._stop = stop_from_wire(wire.delta.stop_reason)
                    self._stop_sequence = wire.delta.stop_sequence
                return []
            case "message_stop":
                return self._finish()
            case "error" if wire.error is not None:
                self._finished = True
                error = wire.error
                return [
                    Failure(
                        kind=kind_of_type(error.type),
                        message=error.message or "the stream broke off",
                        code=error.type or None,
                    )
                ]
            case _:
                # ping, and events yet to be invented.
                return []

    def _part_start(self, wire: WireEvent) -> Event:
        part = part_from_block(wire.content_block)
        if isinstance(part, ToolCall):
            if part.arguments not in ("", "{}"):
                self._started_input[wire.index] = part.arguments
            else:
                self._bare_calls.add(wire.index)
            if part.name == STRUCTURED_ANSWER:
                self._structured = True
                return PartStart(index=wire.index, part=Text(text=""))
            part = ToolCall(id=part.id, name=part.name, arguments="")
        return PartStart(index=wire.index, part=part)

    def _delta(self, wire: WireEvent) -> list[Event]:
        delta = wire.delta
        if delta is None:
            raise BadAnswer("content_block_delta without a delta")
        text = delta.text or delta.thinking
        if text:
            return [Delta(index=wire.index, text=text)]
        if delta.partial_json:
            self._started_input.pop(wire.index, None)
            self._bare_calls.discard(wire.index)
            return [Delta(index=wire.index, text=delta.partial_json)]
        if delta.signature:
            signature = marked(delta.signature, DIALECT)
            return [Signature(index=wire.index, signature=signature)]
        # citations_delta, and deltas of server tools: only this dialect can hold them.
        return []

    def _late_input(self, index: int) -> list[Event]:
        given = self._started_input.pop(index, None)
        if given is None and index in self._bare_calls:
            self._bare_calls.discard(index)
            given = "{}"
        return [] if given is None else [Delta(index=index, text=given)]

    def _note(self, usage: WireUsage | None) -> None:
        if usage is not None:
            self._usage = usage_from_wire(usage, self._first_usage)
            if self._first_usage is None:
                self._first_usage = usage

    def _finish(self) -> list[Event]:
        self._finished = True
        stop = self._stop or "stop"
        if self._structured and stop == "tool_calls":
            stop = "stop"
        return [Finish(stop=stop, stop_sequence=self._stop_sequence, usage=self._usage)]
