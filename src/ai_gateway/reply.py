"""The way back to the caller, as the path of a call sees it.

A step that must see what goes back (to keep it, share it, check it) wraps the caller's `Reply` in
one of its own and hands that on; nothing behind it knows.
"""

from collections.abc import Sequence
from typing import Protocol

from ai_gateway.model.call import Outcome


class Reply(Protocol):
    """`begun` is true once the first byte is on its way."""

    begun: bool

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
