"""What the caller is sent, kept as it leaves."""

from collections.abc import Sequence

from ai_gateway.model.audit import Captured
from ai_gateway.model.call import Outcome
from ai_gateway.reply import PassingReply, Reply


class CapturingReply(PassingReply):
    """Hands everything on and keeps a copy."""

    __slots__ = ("_captured",)

    def __init__(self, reply: Reply, captured: Captured) -> None:
        super().__init__(reply)
        self._captured = captured

    async def whole(
        self, outcome: Outcome, body: bytes, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        self._captured.add(body)
        await self._reply.whole(outcome, body, headers)

    async def piece(self, data: bytes) -> None:
        self._captured.add(data)
        await self._reply.piece(data)
