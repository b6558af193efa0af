"""A stream of generateContent answers -> Events."""

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
from ai_gateway.model.content import Part, Text, Thinking, ToolCall
from ai_gateway.model.usage import Usage

from .answers import UNREADABLE, bad_answer, call_ids, stop_of, without_path
from .errors import failure_of
from .parts import CallIds, part_of
from .usage import usage_from_wire
from .wire import WireAnswer, decode_answer


class GeminiDecoder:
    """Every event is an answer of its own, whose texts go on where those before left off. The end
    of the stream is the end of the answer: some models give a finishReason in every event."""

    def __init__(self) -> None:
        self._ids: CallIds | None = None
        self._finished = False
        self._next_index = 0
        self._open: tuple[type[Part], int] | None = None
        self._called = False
        self._stop: StopReason | None = None
        self._usage: Usage | None = None

    def feed(self, event: ServerSentEvent) -> list[Event]:
        """Raises BadAnswer."""
        if self._finished:
            return []
        out: list[Event] = []
        try:
            self._read(decode_answer.decode(event.data), out)
        except UNREADABLE as error:
            raise bad_answer(error) from None
        return out

    def end(self) -> list[Event]:
        if self._finished or self._stop is None:
            return []
        out: list[Event] = []
        self._end_open(out)
        self._finished = True
        stop = "tool_calls" if self._called and self._stop == "stop" else self._stop
        out.append(Finish(stop=stop, usage=self._usage))
        return out

    def _read(self, wire: WireAnswer, out: list[Event]) -> None:
        if wire.error is not None:
            self._finished = True
            failure = failure_of(wire.error)
            out.append(
                Failure(
                    kind=failure.kind,
                    message=failure.message,
                    code=failure.code,
                    usage=self._usage,
                )
            )
            return
        if self._ids is None:
            self._ids = call_ids(wire.response_id)
            out.append(Start(id=wire.response_id or "", model=wire.model_version or ""))
        if wire.usage_metadata is not None:
            self._usage = usage_from_wire(wire.usage_metadata)
        if not wire.candidates:
            if wire.prompt_feedback is not None:
                self._stop = stop_of(wire, called=False)
            return
        candidate = wire.candidates[0]
        if candidate.content is not None:
            for index, raw in enumerate(candidate.content.parts or ()):
                for part in part_of(raw, self._ids, f"candidates[0].content.parts[{index}]"):
                    self._part(without_path(part), out)
        if candidate.finish_reason is not None:
            self._stop = stop_of(wire, called=self._called)

    def _part(self, part: Part, out: list[Event]) -> None:
        match part:
            case Text():
                self._grow(Text, part.text, out)
            case Thinking():
                thinking = self._open is not None and self._open[0] is Thinking
                if not part.text and not thinking:
                    # The signature of what comes next, or of the text before.
                    self._single(part, out)
                    return
                self._grow(Thinking, part.text, out)
                if part.signature is not None and self._open is not None:
                    out.append(Signature(index=self._open[1], signature=part.signature))
                    self._end_open(out)
            case ToolCall():
                self._called = True
                self._end_open(out)
                bare = ToolCall(id=part.id, name=part.name, arguments="")
                out.append(PartStart(index=self._next_index, part=bare))
                out.append(Delta(index=self._next_index, text=part.arguments))
                out.append(PartEnd(index=self._next_index))
                self._next_index += 1
            case _:
                self._single(part, out)

    def _grow(self, kind: type[Text | Thinking], text: str, out: list[Event]) -> None:
        if not text:
            return
        if self._open is None or self._open[0] is not kind:
            self._end_open(out)
            self._open = (kind, self._next_index)
            self._next_index += 1
            out.append(PartStart(index=self._open[1], part=kind(text="")))
        out.append(Delta(index=self._open[1], text=text))

    def _single(self, part: Part, out: list[Event]) -> None:
        self._end_open(out)
        out.append(PartStart(index=self._next_index, part=part))
        out.append(PartEnd(index=self._next_index))
        self._next_index += 1

    def _end_open(self, out: list[Event]) -> None:
        if self._open is not None:
            out.append(PartEnd(index=self._open[1]))
            self._open = None
