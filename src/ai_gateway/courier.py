"""Takes things from the event loop to a slow place, in batches, on a thread of its own.

The path of a call only appends to a queue. What does not fit, cannot be delivered, or is left when the
time to close is over, is dropped and counted.
"""

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Generic, Literal, TypeVar

Item = TypeVar("Item")
Loss = Literal["full", "failed", "closing"]


class Courier(Generic[Item]):
    def __init__(
        self,
        name: str,
        deliver: Callable[[list[Item]], None],
        *,
        most: int,
        batch: int,
        every: float,
        lost: Callable[[Loss, int], None],
        weigh: Callable[[Item], int] | None = None,
        most_weight: int = 0,
    ) -> None:
        """`deliver` may block; whatever it raises is a failed delivery, and its batch is lost.

        `most` items wait at most; a delivery takes up to `batch` of them, `every` seconds or as soon as
        there is a batch. `lost` is told "full" on the thread that puts and "failed" on the courier's. Where `weigh` is given, what waits
        weighs `most_weight` at most.
        """
        self._deliver = deliver
        self._most = most
        self._batch = batch
        self._every = every
        self._lost = lost
        self._weigh = weigh
        self._most_weight = most_weight
        # Each is written by one thread alone; what waits is their difference.
        self._weight_put = 0
        self._weight_taken = 0
        self._queue: deque[Item] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._given_up = False
        self._failed_last: str | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._started = False

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def closing(self) -> bool:
        """No time is left for trying again."""
        return self._closing

    @property
    def trouble(self) -> str | None:
        """What the last delivery failed of; None where it went well."""
        return self._failed_last

    def start(self) -> None:
        """Once; the first `put` does it otherwise."""
        if not self._started:
            self._started = True
            self._thread.start()

    def put(self, item: Item) -> bool:
        """False where it was dropped."""
        if len(self._queue) >= self._most or self._given_up:
            self._lost("full", 1)
            return False
        if self._weigh is not None:
            weight = self._weigh(item)
            if self._weight_put - self._weight_taken + weight > self._most_weight:
                self._lost("full", 1)
                return False
            self._weight_put += weight
        self._queue.append(item)
        if not self._started:
            self.start()
        if len(self._queue) == self._batch:
            self._wake.set()
        return True

    def close(self, seconds: float) -> None:
        """Delivers what waits; what is left after `seconds` is lost. Blocks its caller that long."""
        self._closing = True
        self._wake.set()
        if self._started:
            self._thread.join(seconds)
        self._given_up = True
        left = len(self._queue)
        self._queue.clear()
        if left:
            self._lost("closing", left)

    def _run(self) -> None:
        while True:
            self._wake.wait(self._every)
            self._wake.clear()
            due = monotonic() + self._every
            while self._queue and not self._given_up:
                self._deliver_batch()
                if not self._closing and len(self._queue) < self._batch and monotonic() < due:
                    break
            if self._closing:
                return

    def _deliver_batch(self) -> None:
        items: list[Item] = []
        queue = self._queue
        while queue and len(items) < self._batch:
            items.append(queue.popleft())
        weight = 0 if self._weigh is None else sum(self._weigh(item) for item in items)
        try:
            self._deliver(items)
            self._failed_last = None
        except Exception as error:  # a background loop: counted here, told by `trouble`
            self._failed_last = f"{type(error).__name__}: {error}"
            self._lost("failed", len(items))
        # Only now is their memory free.
        self._weight_taken += weight
