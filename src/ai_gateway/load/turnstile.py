"""At most so many calls at once; a bounded queue before them, by priority, with a time-out.

Refusing early keeps the calls that are taken quick: a caller told at once to come back does better than
one whose call grows old in a queue.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Literal

from ai_gateway.model.errors import GatewayError

Reason = Literal["queue_full", "queue_timeout"]


class _Waiting:
    """A call in the queue: higher priorities first, then the order of coming."""

    __slots__ = ("order", "priority", "turn")

    def __init__(self, priority: int, order: int, turn: "asyncio.Future[None]") -> None:
        self.priority = priority
        self.order = order
        self.turn = turn

    def __lt__(self, other: "_Waiting") -> bool:
        if self.priority != other.priority:
            return self.priority > other.priority
        return self.order < other.order


class Turnstile:
    """`enter`, then exactly one `leave`."""

    def __init__(
        self,
        *,
        most: int,
        most_waiting: int,
        longest_wait: float,
        on_refusal: Callable[[Reason], None],
        on_wait: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        """`on_wait` is told how long a call waited, whatever became of it."""
        self._most = most
        self._most_waiting = most_waiting
        self._longest_wait = longest_wait
        self._on_refusal = on_refusal
        self._on_wait = on_wait
        self._queue: list[_Waiting] = []
        self._ranks: Counter[int] = Counter()
        """How many wait, by priority."""
        self._order = 0
        self.running = 0
        self.waiting = 0

    def try_enter(self) -> bool:
        """Without waiting, where there is room and nobody waits for it."""
        if self.running < self._most and not self.waiting:
            self.running += 1
            return True
        return False

    async def enter(self, priority: int) -> None:
        """Waits for its turn. Raises GatewayError(unavailable) where that does not come in time."""
        if self.try_enter():
            return
        if self.waiting >= self._most_waiting and not self._give_way(priority):
            raise self._refusal("queue_full")
        loop = asyncio.get_running_loop()
        begun = loop.time()
        self._order += 1
        mine = _Waiting(priority, self._order, loop.create_future())
        heappush(self._queue, mine)
        self.waiting += 1
        self._ranks[priority] += 1
        timer = loop.call_later(self._longest_wait, _time_out, mine.turn)
        try:
            await mine.turn
        except TimeoutError:
            raise self._refusal("queue_timeout") from None
        except _GaveWay:
            raise self._refusal("queue_full") from None
        except asyncio.CancelledError:
            if mine.turn.done() and not mine.turn.cancelled() and mine.turn.exception() is None:
                # Its turn came in the same moment as its caller left.
                self.leave()
            raise
        finally:
            timer.cancel()
            self._on_wait(loop.time() - begun)
            self._ranks[priority] -= 1
            if not self._ranks[priority]:
                del self._ranks[priority]
            if not mine.turn.done() or mine.turn.cancelled() or mine.turn.exception() is not None:
                # Its place in the heap is passed over when it comes up.
                self.waiting -= 1

    def leave(self) -> None:
        self.running -= 1
        while self._queue and self.running < self._most:
            following = heappop(self._queue)
            if not following.turn.done():
                self.running += 1
                self.waiting -= 1
                following.turn.set_result(None)

    def _give_way(self, priority: int) -> bool:
        """Makes the last in the queue give way to one of higher priority."""
        if (
            min((rank for rank, count in self._ranks.items() if count), default=priority)
            >= priority
        ):
            return False
        last = max((w for w in self._queue if not w.turn.done()), default=None)
        if last is None:
            return False
        last.turn.set_exception(_GaveWay())
        return True

    def _refusal(self, reason: Reason) -> GatewayError:
        self._on_refusal(reason)
        return GatewayError(
            "unavailable",
            "The gateway has as many calls in hand as it takes. Try again in a moment.",
            code=reason,
            retry_after=1,
        )


class _GaveWay(Exception):
    pass


def _time_out(turn: "asyncio.Future[None]") -> None:
    if not turn.done():
        turn.set_exception(TimeoutError())
