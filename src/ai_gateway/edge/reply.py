"""A call's answer on its way out: in one write where our protocol serves, as ASGI messages elsewhere."""

from collections.abc import Sequence

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from ai_gateway.model.call import Outcome

from .asgi import Scope, Send
from .cycle import answer, begin, end, piece
from .head import EVENT_STREAM, account, head_of_whole, pairs


class AsgiReply:
    """The `Reply` of one HTTP request."""

    __slots__ = ("_cycle", "_send", "begun", "outcome", "streaming")

    def __init__(self, scope: Scope, send: Send) -> None:
        self._cycle: RequestResponseCycle | None = scope.pop("gateway.cycle", None)
        """Uvicorn's own, where our protocol serves; any other server gets ASGI messages."""
        self._send = send
        self.begun = False
        self.outcome: Outcome | None = None
        """Of the call whose stream was begun."""
        self.streaming = False
        """A stream is under way, not yet ended."""

    def request_body(self) -> bytes | None:
        """The request's body where all of it is here already, as it is for all but large ones."""
        cycle = self._cycle
        if cycle is None or cycle.more_body or cycle.disconnected or cycle.flow.read_paused:
            return None
        body = bytes(cycle.body)
        cycle.body = bytearray()
        cycle.message_event.clear()
        return body

    async def whole(
        self, outcome: Outcome, body: bytes, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        head = head_of_whole(outcome, body, headers)
        self.begun = True
        if self._cycle is not None:
            answer(self._cycle, outcome.status, head, body)
            return
        await self._start(outcome.status, head)
        await self._send({"type": "http.response.body", "body": body})

    async def all_but_the_end(
        self, outcome: Outcome, body: bytes, headers: Sequence[tuple[str, str]]
    ) -> None:
        """Like `whole`, but the exchange stays open until `end`."""
        self.begun = True
        await self._start(outcome.status, head_of_whole(outcome, body, headers))
        await self.piece(body)

    async def begin(self, outcome: Outcome) -> None:
        head = account(outcome) + EVENT_STREAM
        self.begun = self.streaming = True
        self.outcome = outcome
        if self._cycle is not None:
            begin(self._cycle, head)
            return
        await self._start(200, head)

    async def piece(self, data: bytes) -> None:
        if self._cycle is not None and self.streaming:
            await piece(self._cycle, data)
            return
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        if self._cycle is not None and self.streaming:
            self.streaming = False
            end(self._cycle)
            return
        self.streaming = False
        await self._send({"type": "http.response.body", "body": b""})

    async def _start(self, status: int, head: str) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": pairs(head)})
