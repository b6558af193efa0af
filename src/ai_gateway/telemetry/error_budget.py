"""Whether calls fail faster than the promised part of them may, as one process sees it.

By two windows, after the SRE workbook: an alarm needs both the last hour and the last five minutes to burn
the budget 14.4 times as fast as would use it up in a month. Prometheus's rules say the same of all
replicas; this one needs nothing beside the gateway.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from .metrics import Metrics

ALLOWED = 0.001
"""The part of calls that may be answered 5xx."""
_FAST = 14.4
_MINUTES = 60
_LOOK_SECONDS = 60.0
_SHORT = 5
_FEWEST_CALLS = 50


class ErrorBudget:
    def __init__(self, metrics: Metrics, burning: Callable[[float, float], None]) -> None:
        """`burning(ratio of the last hour, ratio of the last five minutes)`"""
        self._metrics = metrics
        self._burning = burning
        self._minutes: deque[tuple[float, float]] = deque([(0.0, 0.0)], maxlen=_MINUTES + 1)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._watch())

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def look(self) -> None:
        """Once a minute."""
        calls = failed = 0.0
        for point in self._metrics.counter("http_requests_total").points():
            _, endpoint, status = point.labels
            if endpoint.startswith("/v1/"):
                calls += point.value
                failed += point.value if status.startswith("5") else 0.0
        self._minutes.append((calls, failed))
        hour, short = self._ratio(_MINUTES), self._ratio(_SHORT)
        if min(hour, short) > _FAST * ALLOWED:
            self._burning(hour, short)

    def _ratio(self, minutes: int) -> float:
        before = self._minutes[max(0, len(self._minutes) - 1 - minutes)]
        calls = self._minutes[-1][0] - before[0]
        failed = self._minutes[-1][1] - before[1]
        return failed / calls if calls >= _FEWEST_CALLS else 0.0

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self.look()
