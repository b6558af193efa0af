"""Memory that a load needed is given back once it is over.

The C library keeps what was freed for the next time (glibc's `malloc_trim(3)` says how to make it let
go), so that a process would stay as large as its busiest minute. Looking for what can go takes some
milliseconds in which nobody else gets memory: it is done when no call is under way.
"""

import asyncio
import ctypes
from collections.abc import Callable

from ai_gateway.telemetry.process import resident_bytes

_EVERY = 1.0
_WORTH = 2 * 1024 * 1024
"""Bytes that the process must have grown by."""


class SpareMemory:
    """Looks once a second, from `start` to `close`; does nothing where the C library cannot."""

    def __init__(self, calls: Callable[[], tuple[int, int]]) -> None:
        """`calls`: how many are in flight, and how many there have been."""
        self._calls = calls
        self._trim = _trim()
        self._least = 0
        """What was resident after the last time."""
        self._last = (0, 0)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        if self._trim is not None:
            self._wait()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_EVERY, self._look)

    def _look(self) -> None:
        before, self._last = self._last, self._calls()
        quiet = self._last == before and not self._last[0]
        if quiet and self._trim is not None and resident_bytes() > self._least + _WORTH:
            self._trim(0)
            self._least = resident_bytes()
        self._wait()


def _trim() -> Callable[[int], int] | None:
    """glibc's; None elsewhere."""
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
    return found
