"""Events -> a stream of Responses events, in the order OpenAI sends them.

    response.created, response.in_progress
    { response.output_item.added
        message:    { content_part.added, output_text.delta*, output_text.done, content_part.done }*
        reasoning:  reasoning_summary_part.added, reasoning_summary_text.delta*, ..._text.done, ..._part.done
        call:       function_call_arguments.delta*, function_call_arguments.done
      response.output_item.done }*
    response.completed | response.incomplete | response.failed

Every event has a number, from 0 on, without a gap.
"""

from collections.abc import Mapping

from msgspec.json import encode

from ai_gateway.dialects.in_turn import InTurn, PartEvent
from ai_gateway.dialects.signatures import redacted_as_signature
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

from .answers import (
    item_id,
    item_to_wire,
    message_to_wire,
    reasoning_to_wire,
    response_id_of,
    response_object,
    text_to_wire,
)
from .errors import error_event
from .stops import stop_to_wire
from .usage import usage_to_wire


class ResponsesEncoder:
    def __init__(self, chat: Chat) -> None:
        self.notes: list[str] = []
        self._chat = chat
        self._in_turn = InTurn()
        self.next_number = 0
        self._id = ""
        self._model = ""
        self._created = 0
        self._output: list[dict[str, object]] = []
        """Items that are done."""
        self._message: list[dict[str, object]] | None = None
        """The content, as far as it is done, of a message that may still get more."""
        self._part: Part | None = None
        """What is open, and how far it has grown."""
        self._grown: list[str] = []
        self._signature: str | None = None
        self._refused = False

    def feed(self, event: Event) -> bytes:
        match event:
            case Start():
                return self._start(event)
            case Finish():
                return self._finish(event)
            case Failure():
                return self._fail(event)
            case _:
                return b"".join(self._write(e) for e in self._in_turn.feed(event))

    def _start(self, event: Start) -> bytes:
        self._id, self._model = response_id_of(event.id), event.model
        self._created = event.created
        begun = self._response("in_progress")
        return self._event("response.created", {"response": begun}) + self._event(
            "response.in_progress", {"response": begun}
        )

    def _write(self, event: PartEvent) -> bytes:
        match event:
            case PartStart():
                return self._start_part(event.part)
            case Delta():
                return self._grow(event.text)
            case Signature():
                self._signature = event.signature
                return b""
            case PartEnd():
                return self._end_part()

    def _start_part(self, part: Part) -> bytes:
        if isinstance(part, Text | Refusal):
            return self._start_text(part)
        out = self._end_message()
        self._part, self._grown, self._signature = part, [], None
        match part:
            case ToolCall():
                item = item_to_wire(part, self._id, self._index, {}) or {}
                item = {**item, "status": "in_progress", "arguments": ""}
                return out + self._added(item) + self._grow(part.arguments)
            case Thinking():
                self._signature = part.signature
                item = {**reasoning_to_wire("", None, self._id, self._index)}
                return out + self._added(item) + self._grow(part.text)
            case RedactedThinking():
                signature = redacted_as_signature(part.data)
                item = reasoning_to_wire("", signature, self._id, self._index)
                return out + self._added(item) + self._done(item)
            case _:
                notes: dict[str, None] = {}
                item = item_to_wire(part, self._id, self._index, notes)
                self.notes += notes
                if item is not None:
                    return out + self._added(item) + self._done(item)
                text = part.text if isinstance(part, Opaque) else ""
                return out + self._whole_text(text)

    def _whole_text(self, text: str) -> bytes:
        """What can only be read: text that stands for a part no client of this dialect knows."""
        self._part = None
        if not text:
            return b""
        return self._start_text(Text(text=text)) + self._end_part()

    @property
    def _index(self) -> int:
        return len(self._output)

    @property
    def _item_id(self) -> str:
        match self._part:
            case ToolCall():
                kind = "fc"
            case Thinking():
                kind = "rs"
            case _:
                kind = "msg"
        return item_id(kind, self._id, self._index)

    def _start_text(self, part: Text | Refusal) -> bytes:
        out = b""
        self._part, self._grown = part, []
        if self._message is None:
            self._message = []
            out = self._added(message_to_wire(self._item_id, [], "in_progress"))
        kind: type[Text | Refusal] = type(part)
        out += self._content("response.content_part.added", {"part": text_to_wire(kind(text=""))})
        return out + self._grow(part.text)

    def _grow(self, text: str) -> bytes:
        if not text:
            return b""
        first = not self._grown
        self._grown.append(text)
        match self._part:
            case Text():
                return self._content("response.output_text.delta", {"delta": text, "logprobs": []})
            case Refusal():
                return self._content("response.refusal.delta", {"delta": text})
            case ToolCall():
                return self._item("response.function_call_arguments.delta", {"delta": text})
            case Thinking():
                out = self._summary_part("added", "") if first else b""
                event = {"summary_index": 0, "delta": text}
                return out + self._item("response.reasoning_summary_text.delta", event)
            case _:
                return b""

    def _end_part(self) -> bytes:
        part, text = self._part, "".join(self._grown)
        out = b""
        match part:
            case Text():
                done: dict[str, object] = {"text": text, "logprobs": []}
                out = self._end_text(Text(text=text), "response.output_text.done", done)
            case Refusal():
                self._refused = True
                done = {"refusal": text}
                out = self._end_text(Refusal(text=text), "response.refusal.done", done)
            case ToolCall():
                done = {"arguments": text, "name": part.name}
                out = self._item("response.function_call_arguments.done", done)
                call = ToolCall(id=part.id, name=part.name, arguments=text)
                out += self._done(item_to_wire(call, self._id, self._index, {}) or {})
            case Thinking():
                if text:
                    done = {"summary_index": 0, "text": text}
                    out = self._item("response.reasoning_summary_text.done", done)
                    out += self._summary_part("done", text)
                item = reasoning_to_wire(text, self._signature, self._id, self._index)
                item["id"] = self._item_id
                out += self._done(item)
            case _:
                pass
        self._part, self._grown, self._signature = None, [], None
        return out

    def _summary_part(self, state: str, text: str) -> bytes:
        part = {"type": "summary_text", "text": text}
        event: dict[str, object] = {"summary_index": 0, "part": part}
        return self._item(f"response.reasoning_summary_part.{state}", event)

    def _end_text(self, part: Text | Refusal, kind: str, done: dict[str, object]) -> bytes:
        whole = text_to_wire(part)
        out = self._content(kind, done)
        out += self._content("response.content_part.done", {"part": whole})
        if self._message is not None:
            self._message.append(whole)
        return out

    def _end_message(self) -> bytes:
        if self._message is None:
            return b""
        self._part = None
        content: list[object] = [*self._message]
        self._message = None
        return self._done(message_to_wire(self._item_id, content))

    def _added(self, item: dict[str, object]) -> bytes:
        event = {"output_index": self._index, "item": item}
        return self._event("response.output_item.added", event)

    def _done(self, item: dict[str, object]) -> bytes:
        event = {"output_index": self._index, "item": item}
        self._output.append(item)
        self._part = None
        return self._event("response.output_item.done", event)

    def _item(self, kind: str, rest: Mapping[str, object]) -> bytes:
        """An event about the open item."""
        return self._event(kind, {"item_id": self._item_id, "output_index": self._index, **rest})

    def _content(self, kind: str, rest: Mapping[str, object]) -> bytes:
        """An event about the open content part of the open message."""
        return self._item(kind, {"content_index": len(self._message or ()), **rest})

    def _event(self, kind: str, rest: Mapping[str, object]) -> bytes:
        data = encode({"type": kind, "sequence_number": self.next_number, **rest})
        self.next_number += 1
        return named_sse(kind.encode(), data)

    def _response(self, status: str, reason: str | None = None) -> dict[str, object]:
        return response_object(
            self._chat,
            id=self._id,
            model=self._model,
            created=self._created,
            status=status,
            reason=reason,
            output=self._output,
        )

    def _finish(self, event: Finish) -> bytes:
        out = b"".join(self._write(e) for e in self._in_turn.end()) + self._end_message()
        status, reason = stop_to_wire(event.stop, refused=self._refused)
        response = self._response(status, reason)
        response["usage"] = usage_to_wire(event.usage or NO_USAGE)
        return out + self._event(f"response.{status}", {"response": response})

    def _fail(self, event: Failure) -> bytes:
        error = GatewayError(event.kind, event.message, code=event.code)
        return error_event(error, self.next_number)
