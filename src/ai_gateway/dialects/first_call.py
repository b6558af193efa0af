"""`parallel_tool_calls: false` for providers that cannot be held to it: of several calls in an answer
the caller is handed the first. The others are as if the model had not asked for them yet."""

from msgspec.structs import replace

from ai_gateway.model.answer import Answer, Event, PartStart
from ai_gateway.model.content import ToolCall

from .dialect import Decoder
from .sse import ServerSentEvent

NOTE = "parallel_tool_calls: of several calls the gateway hands on the first"
"""What a renderer says where its provider cannot be told."""


def first_call_of(answer: Answer) -> Answer:
    first = next((p for p in answer.parts if isinstance(p, ToolCall)), None)
    kept = tuple(p for p in answer.parts if p is first or not isinstance(p, ToolCall))
    return replace(answer, parts=kept)


class FirstCallDecoder:
    """A decoder's events, without those of the calls after the first."""

    __slots__ = ("_called", "_inner", "_left_out")

    def __init__(self, inner: Decoder) -> None:
        self._inner = inner
        self._called = False
        self._left_out: set[int] = set()

    def feed(self, event: ServerSentEvent) -> list[Event]:
        """Raises BadAnswer."""
        return self._without(self._inner.feed(event))

    def end(self) -> list[Event]:
        return self._without(self._inner.end())

    def _without(self, events: list[Event]) -> list[Event]:
        out: list[Event] = []
        for event in events:
            if isinstance(event, PartStart) and isinstance(event.part, ToolCall):
                if self._called:
                    self._left_out.add(event.index)
                self._called = True
            if getattr(event, "index", None) not in self._left_out:
                out.append(event)
        return out
