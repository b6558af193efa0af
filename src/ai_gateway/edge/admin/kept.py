"""Reports that many pages ask for alike, and again: made once, and kept for a moment; what takes long to
make, for longer: fifty times as long, up to a minute."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from math import inf
from time import monotonic
from typing import Generic, TypeVar

_MOST = 100
_TIMES_AS_LONG = 50.0
_LONGEST = 60.0

_Asked = TypeVar("_Asked", bound=Hashable)
_Report = TypeVar("_Report")


class Kept(Generic[_Asked, _Report]):
    """`asked` must hold whose it is."""

    def __init__(self, seconds: float) -> None:
        """`seconds`: that a report is kept at least."""
        self._seconds = seconds
        self._known: dict[_Asked, _Made[_Report]] = {}

    async def get(self, asked: _Asked, make: Callable[[], Awaitable[_Report]]) -> _Report:
        """Raises what making it raises; that is not kept."""
        found = self._known.get(asked)
        if found is None or monotonic() > found.until:
            if len(self._known) >= _MOST:
                self._known.clear()
            found = self._known[asked] = _Made(make, self._seconds)
        try:
            # Who closes the page ends it for nobody else.
            return await asyncio.shield(found.report)
        except BaseException:
            if found.report.done() and self._known.get(asked) is found:
                del self._known[asked]
            raise


class _Made(Generic[_Report]):
    def __init__(self, make: Callable[[], Awaitable[_Report]], seconds: float) -> None:
        self.until = inf
        self._began = monotonic()
        self._seconds = seconds
        self.report = asyncio.ensure_future(make())
        self.report.add_done_callback(self._done)

    def _done(self, made: "asyncio.Future[_Report]") -> None:
        now = monotonic()
        long = min(_LONGEST, _TIMES_AS_LONG * (now - self._began))
        self.until = now + max(self._seconds, long)
        if not made.cancelled():
            # Nobody may be left to hear that it failed.
            made.exception()
