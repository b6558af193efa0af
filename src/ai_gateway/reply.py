"""The way back to the caller, as the path of a call sees it.

A step that must see what goes back (to keep it, share it, check it) wraps the caller's `Reply` in
one of its own and hands that on; nothing behind it knows.
"""

from collections.abc import Sequence
from typing import Protocol

from ai_gateway.model.call import Outcome


class Reply(Protocol):
    @property
    def begun(self) -> bool:
        """The first byte is on its way."""
        ...

    async def whole(
        self, outcome: Outcome, body: bytes, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        """The entire answer, with `outcome.status`."""
        ...

    async def begin(self, outcome: Outcome) -> None:
        """A stream begins."""
        ...

    async def piece(self, data: bytes) -> None:
        """More of the stream. Waits while the caller reads slower than the provider sends."""
        ...

    async def end(self) -> None: ...


class PassingReply:
    """Hands everything on. A step that must see some of it overrides that much."""

    __slots__ = ("_reply",)

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    @property
    def begun(self) -> bool:
        return self._reply.begun

    async def whole(
        self, outcome: Outcome, body: bytes, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        await self._reply.whole(outcome, body, headers)

    async def begin(self, outcome: Outcome) -> None:
        await self._reply.begin(outcome)

    async def piece(self, data: bytes) -> None:
        await self._reply.piece(data)

    async def end(self) -> None:
        await self._reply.end()


class KeptReply:
    """Nobody waits for it: it keeps what is said."""

    def __init__(self) -> None:
        self.begun = False
        self.pieces: list[bytes] = []

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    async def whole(
        self, outcome: Outcome, body: bytes, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        self.begun = True
        self.pieces.append(body)

    async def begin(self, outcome: Outcome) -> None:
        self.begun = True

    async def piece(self, data: bytes) -> None:
        self.pieces.append(data)

    async def end(self) -> None: ...
