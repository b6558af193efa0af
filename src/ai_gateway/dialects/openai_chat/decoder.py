"""A stream of Chat Completions chunks -> Events."""

import msgspec
from msgspec import Raw
from msgspec.json import encode

from ai_gateway.dialects.dialect import BadAnswer
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
from ai_gateway.model.content import (
    Opaque,
    Part,
    RedactedThinking,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)
from ai_gateway.model.usage import Usage

from .answers import bad_answer, content_part
from .requests import DIALECT
from .stops import stop_from_wire
from .usage import usage_from_wire
from .watch import failure_of
from .wire import AnsweredMessage, WireChunk, WireToolCall, decode_chunk, decode_peeked_chunk

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class ChatDecoder:
    """Reads the first choice. Text and thinking end where the next kind begins; tool calls stay open
    to the finish, since the dialect allows their pieces to interleave."""

    def __init__(self) -> None:
        self._started = False
        self._finished = False
        self._next_index = 0
        self._open: tuple[type[Part], int] | None = None
        self._tools: dict[int, tuple[int, str | None]] = {}
        """By the provider's index: ours, and the call's id."""
        self._stop: StopReason | None = None
        self._usage: Usage | None = None

    def feed(self, event: ServerSentEvent) -> list[Event]:
        """Raises BadAnswer."""
        if self._finished:
            return []
        if event.data == b"[DONE]":
            return self._finish()
        try:
            chunk = decode_chunk.decode(event.data)
            if chunk.error is not None:
                failure = failure_of(decode_peeked_chunk.decode(event.data))
                self._finished = True
                usage = self._usage if chunk.usage is None else usage_from_wire(chunk.usage)
                return [
                    Failure(
                        kind=failure.kind, message=failure.message, code=failure.code, usage=usage
                    )
                ]
            return self._read(chunk)
        except _UNREADABLE as error:
            raise bad_answer(error) from None

    def end(self) -> list[Event]:
        return [] if self._finished or self._stop is None else self._finish()

    def _read(self, chunk: WireChunk) -> list[Event]:
        out: list[Event] = []
        if not self._started:
            self._started = True
            created = int(chunk.created or 0)
            out.append(Start(id=chunk.id or "", model=chunk.model or "", created=created))
        usage = chunk.usage or (chunk.x_groq.usage if chunk.x_groq is not None else None)
        if usage is not None:
            self._usage = usage_from_wire(usage)
        for choice in chunk.choices:
            if choice.index != 0:
                continue
            if choice.delta is not None:
                self._delta(choice.delta, out)
            if choice.finish_reason is not None:
                self._stop = stop_from_wire(choice.finish_reason)
                self._end_parts(out)
        return out

    def _delta(self, delta: AnsweredMessage, out: list[Event]) -> None:
        thinking = delta.reasoning_content or delta.reasoning
        if thinking:
            self._grow(Thinking, thinking, out)
        signature = delta.reasoning_signature
        for detail in delta.reasoning_details or ():
            signature = signature or detail.signature
        if signature:
            if self._open is None or self._open[0] is not Thinking:
                self._grow(Thinking, "", out)
            if self._open is not None:
                out.append(Signature(index=self._open[1], signature=signature))
        for data in delta.redacted_reasoning or ():
            self._single(RedactedThinking(data=data), out)
        if isinstance(delta.content, str):
            if delta.content:
                self._grow(Text, delta.content, out)
        else:
            for raw in delta.content or ():
                match content_part(raw):
                    case Text(text=text):
                        self._grow(Text, text, out)
                    case Thinking(text=text):
                        self._grow(Thinking, text, out)
                    case part:
                        self._single(part, out)
        if delta.refusal:
            self._grow(Refusal, delta.refusal, out)
        for position, call in enumerate(delta.tool_calls or ()):
            self._tool(call, position, out)

    def _grow(self, kind: type[Text | Thinking | Refusal], text: str, out: list[Event]) -> None:
        if self._open is None or self._open[0] is not kind:
            self._end_open(out)
            self._open = (kind, self._next_index)
            self._next_index += 1
            out.append(PartStart(index=self._open[1], part=kind(text="")))
        if text:
            out.append(Delta(index=self._open[1], text=text))

    def _single(self, part: Part, out: list[Event]) -> None:
        self._end_open(out)
        out.append(PartStart(index=self._next_index, part=part))
        out.append(PartEnd(index=self._next_index))
        self._next_index += 1

    def _tool(self, call: WireToolCall, position: int, out: list[Event]) -> None:
        function = call.function
        if function is None:
            if call.id is not None:
                kind = call.type or "tool_call"
                self._single(Opaque(dialect=DIALECT, kind=kind, raw=Raw(encode(call))), out)
            return
        wire_index = call.index if call.index is not None else position
        index, call_id = self._tools.get(wire_index, (None, None))
        if index is not None and function.name and call.id not in (None, "", call_id):
            # Some providers number every call 0: another id and name is another call.
            out.append(PartEnd(index=index))
            index = None
        if index is None:
            if not function.name:
                raise BadAnswer("a tool call began without a name")
            self._end_open(out)
            index = self._next_index
            self._tools[wire_index] = (index, call.id)
            self._next_index += 1
            out.append(
                PartStart(
                    index=index,
                    part=ToolCall(id=call.id or f"call_{index}", name=function.name, arguments=""),
                )
            )
        if function.arguments:
            out.append(Delta(index=index, text=function.arguments))

    def _end_open(self, out: list[Event]) -> None:
        if self._open is not None:
            out.append(PartEnd(index=self._open[1]))
            self._open = None

    def _end_parts(self, out: list[Event]) -> None:
        self._end_open(out)
        out.extend(PartEnd(index=index) for index, _ in self._tools.values())
        if self._stop == "stop" and self._tools:
            # OpenAI says `stop` where the call was forced by tool_choice.
            self._stop = "tool_calls"
        self._tools = {}

    def _finish(self) -> list[Event]:
        out: list[Event] = []
        self._end_parts(out)
        self._finished = True
        if self._stop is None:
            # [DONE] without a finish_reason: the provider holds the answer complete.
            self._stop = "stop"
        if not self._started:
            raise BadAnswer("the stream held no chunk")
        out.append(Finish(stop=self._stop, usage=self._usage))
        return out
