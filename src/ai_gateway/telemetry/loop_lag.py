"""How late the event loop runs what is due: the first sign of a process with too much to do."""

import asyncio

from .metrics import Metrics

_EVERY = 0.5


class LoopLag:
    """Looks twice a second, from `start` to `close`."""

    def __init__(self, metrics: Metrics) -> None:
        self._lag = metrics.histogram("gateway_event_loop_lag_seconds").of()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._wait(loop)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + _EVERY
        self._timer = loop.call_at(due, self._look, loop, due)

    def _look(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._lag.observe(max(0.0, loop.time() - due))
        self._wait(loop)
