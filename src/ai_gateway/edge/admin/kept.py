"""Reports that many pages ask for alike, and again: made once, and kept for a moment."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from time import monotonic
from typing import Any, Generic, TypeVar

_MOST = 100

_Asked = TypeVar("_Asked", bound=Hashable)
_Report = TypeVar("_Report")


class Kept(Generic[_Asked, _Report]):
    """`asked` must hold whose it is."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._known: dict[_Asked, tuple[float, asyncio.Future[_Report]]] = {}

    async def get(self, asked: _Asked, make: Callable[[], Awaitable[_Report]]) -> _Report:
        """Raises what making it raises; that is not kept."""
        now = monotonic()
        found = self._known.get(asked)
        if found is None or now - found[0] > self._seconds:
            if len(self._known) >= _MOST:
                self._known.clear()
            found = self._known[asked] = (now, asyncio.ensure_future(make()))
            found[1].add_done_callback(_heard)
        try:
            # Who closes the page ends it for nobody else.
            return await asyncio.shield(found[1])
        except BaseException:
            if found[1].done() and self._known.get(asked) is found:
                del self._known[asked]
            raise


def _heard(made: "asyncio.Future[Any]") -> None:
    """Nobody may be left to hear that it failed."""
    if not made.cancelled():
        made.exception()
