"""The task that carries a call, and what becomes of it when the caller leaves."""

from collections.abc import Callable
from typing import Any, Protocol

CALLER_LEFT = "the caller left"
"""The word with which the task that carries a call is cancelled where nobody waits for it any more.
Cancelled without it, it is cut by the gateway's own end, and its caller is told so."""


class Task(Protocol):
    """An event loop's."""

    def cancel(self, msg: Any | None = None) -> bool: ...
    def done(self) -> bool: ...


class Carrier:
    __slots__ = ("stays", "task")

    def __init__(self, task: Task) -> None:
        self.task = task
        self.stays: Callable[[], bool] | None = None
        """Asked when the caller leaves, where others may wait for the same answer: whether it goes on."""

    def caller_left(self) -> None:
        if self.stays is None or not self.stays():
            self.task.cancel(CALLER_LEFT)
