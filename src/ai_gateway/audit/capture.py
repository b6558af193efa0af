"""What the caller is sent, kept as it leaves."""

from collections.abc import Sequence

from ai_gateway.model.audit import Captured
from ai_gateway.model.call import Outcome
from ai_gateway.reply import Reply


class CapturingReply:
    """Hands everything on and keeps a copy."""

    __slots__ = ("_captured", "_reply")

    def __init__(self, reply: Reply, captured: Captured) -> None:
        self._reply = reply
        self._captured = captured

    @property
    def begun(self) -> bool:
        return self._reply.begun

    async def whole(
        self, outcome: Outcome, body: bytes, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        self._captured.add(body)
        await self._reply.whole(outcome, body, headers)

    async def begin(self, outcome: Outcome) -> None:
        await self._reply.begin(outcome)

    async def piece(self, data: bytes) -> None:
        self._captured.add(data)
        await self._reply.piece(data)

    async def end(self) -> None:
        await self._reply.end()
