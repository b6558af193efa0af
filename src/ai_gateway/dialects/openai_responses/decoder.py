"""A stream of Responses events -> Events."""

from msgspec.json import Decoder

from ai_gateway.dialects.dialect import BadAnswer
from ai_gateway.dialects.raw import given
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
)
from ai_gateway.model.content import (
    Opaque,
    Part,
    RedactedThinking,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)

from .answers import UNREADABLE, bad_answer, item_parts, stop_of
from .errors import kind_of_code
from .items import content_part, kind_of, reasoning_item, signature_of
from .usage import usage_from_wire
from .wire import ReasoningItem, WireErrorBody, WireEvent, WireResponse, decode_event

_reasoning: Decoder[ReasoningItem] = reasoning_item
_Place = tuple[int, int]
"""(output_index, content_index); -1 for an item that is a part by itself."""
_WHOLE = -1


class ResponsesDecoder:
    """Parts may be told of in several ways (added, grown, done); each is begun at the first, and
    what `done` holds beyond what was seen is made up for."""

    def __init__(self) -> None:
        self._started = False
        self._finished = False
        self._next_index = 0
        self._open: dict[_Place, int] = {}
        self._ended: set[_Place] = set()
        self._grown: dict[_Place, int] = {}
        """Characters seen of each part."""
        self._reasoning_by: dict[int, str] = {}
        """Whether an item's reasoning is read from its summary or its raw text: the first to come."""
        self._called = False

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
        # Only the terminal event tells status and usage: without it the answer is cut.
        return []

    def _read(self, wire: WireEvent, out: list[Event]) -> None:
        at = (wire.output_index, wire.content_index)
        whole = (wire.output_index, _WHOLE)
        match wire.type:
            case "response.created" | "response.in_progress" | "response.queued":
                self._start(wire.response, out)
            case "response.output_item.added":
                self._item_added(wire, whole, out)
            case "response.content_part.added":
                self._content_added(wire, at, out)
            case "response.output_text.delta":
                self._grow(at, Text(text=""), wire, out)
            case "response.refusal.delta":
                self._grow(at, Refusal(text=""), wire, out)
            case "response.function_call_arguments.delta":
                self._grow(whole, None, wire, out)
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                source = wire.type.split(".")[1].removesuffix("_text")
                if self._reasoning_by.setdefault(wire.output_index, source) == source:
                    self._grow(whole, Thinking(text=""), wire, out)
            case "response.reasoning_summary_part.added" if wire.summary_index:
                if self._grown.get(whole):
                    self._add(whole, "\n\n", out)
            case "response.content_part.done":
                self._content_done(wire, at, out)
            case "response.output_item.done":
                self._item_done(wire, whole, out)
            case "response.completed" | "response.incomplete" | "response.cancelled":
                self._finish(wire.response, out)
            case "response.failed":
                error = None if wire.response is None else wire.response.error
                self._fail(error or WireErrorBody(), wire.response, out)
            case "error":
                error = wire.error or WireErrorBody(code=wire.code, message=wire.message)
                self._fail(error, None, out)
            case _:
                # The progress of hosted tools, annotations, and events yet to be invented.
                pass

    def _start(self, response: WireResponse | None, out: list[Event]) -> None:
        if response is None or self._started:
            return
        self._started = True
        created = int(response.created_at or 0)
        out.append(Start(id=response.id, model=response.model, created=created))

    def _begin(self, place: _Place, part: Part, out: list[Event]) -> None:
        if not self._started:
            raise BadAnswer("the stream began without its response")
        if place in self._open or place in self._ended:
            return
        self._open[place] = self._next_index
        self._grown[place] = 0
        self._next_index += 1
        out.append(PartStart(index=self._open[place], part=part))

    def _add(self, place: _Place, text: str, out: list[Event]) -> None:
        index = self._open.get(place)
        if index is not None and text:
            self._grown[place] += len(text)
            out.append(Delta(index=index, text=text))

    def _grow(self, place: _Place, part: Part | None, wire: WireEvent, out: list[Event]) -> None:
        if part is not None:
            self._begin(place, part, out)
        if isinstance(wire.delta, str):
            self._add(place, wire.delta, out)

    def _end(self, place: _Place, out: list[Event]) -> None:
        index = self._open.pop(place, None)
        if index is not None:
            self._ended.add(place)
            out.append(PartEnd(index=index))

    def _item_added(self, wire: WireEvent, place: _Place, out: list[Event]) -> None:
        if given(wire.item) is None or kind_of(wire.item, "item") != "function_call":
            return
        for part in item_parts(wire.item, "item"):
            if isinstance(part, ToolCall):
                self._begin(place, ToolCall(id=part.id, name=part.name, arguments=""), out)
                self._add(place, part.arguments, out)
                self._called = True

    def _content_added(self, wire: WireEvent, place: _Place, out: list[Event]) -> None:
        if given(wire.part) is None or kind_of(wire.part, "part") == "reasoning_text":
            return
        part = content_part(wire.part, "part")
        if isinstance(part, Text | Refusal):
            self._begin(place, type(part)(text=""), out)
            self._add(place, part.text, out)

    def _content_done(self, wire: WireEvent, place: _Place, out: list[Event]) -> None:
        if given(wire.part) is None or kind_of(wire.part, "part") == "reasoning_text":
            return
        self._complete(place, content_part(wire.part, "part"), out)

    def _item_done(self, wire: WireEvent, place: _Place, out: list[Event]) -> None:
        if given(wire.item) is None:
            return
        kind = kind_of(wire.item, "item")
        parts = item_parts(wire.item, "item")
        if kind == "message":
            for number, part in enumerate(parts):
                self._complete((place[0], number), part, out)
            return
        for part in parts:
            if isinstance(part, ToolCall):
                self._called = True
            if isinstance(part, Thinking):
                self._reasoning_done(wire, part, place, out)
            else:
                self._complete(place, part, out)

    def _reasoning_done(
        self, wire: WireEvent, part: Thinking, place: _Place, out: list[Event]
    ) -> None:
        if place in self._ended:
            return
        signature = signature_of(_reasoning.decode(wire.item))
        if not part.text and signature is None and place not in self._open:
            return
        self._begin(place, Thinking(text=""), out)
        if not self._grown[place]:
            self._add(place, part.text, out)
        if signature is not None:
            out.append(Signature(index=self._open[place], signature=signature))
        self._end(place, out)

    def _complete(self, place: _Place, part: Part, out: list[Event]) -> None:
        """A part that is done: whatever of it was not seen yet, and its end."""
        if place in self._ended:
            return
        match part:
            case Text() | Refusal():
                self._begin(place, type(part)(text=""), out)
                self._add(place, part.text[self._grown[place] :], out)
            case ToolCall():
                self._begin(place, ToolCall(id=part.id, name=part.name, arguments=""), out)
                self._add(place, part.arguments[self._grown[place] :], out)
            case Opaque() | RedactedThinking():
                self._begin(place, part, out)
            case _:
                return
        self._end(place, out)

    def _finish(self, response: WireResponse | None, out: list[Event]) -> None:
        self._start(response, out)
        if response is None:
            raise BadAnswer("the stream ended without its response")
        for place in list(self._open):
            self._end(place, out)
        self._finished = True
        usage = None if response.usage is None else usage_from_wire(response.usage)
        out.append(Finish(stop=stop_of(response, called=self._called), usage=usage))

    def _fail(self, error: WireErrorBody, response: WireResponse | None, out: list[Event]) -> None:
        self._finished = True
        usage = None
        if response is not None and response.usage is not None:
            usage = usage_from_wire(response.usage)
        out.append(
            Failure(
                kind=kind_of_code(error.code),
                message=error.message or "the stream broke off",
                code=None if error.code is None else str(error.code),
                usage=usage,
            )
        )
