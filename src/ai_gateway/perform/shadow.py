"""Copies of answered calls, sent to another target off the path: nobody waits for them.

They are settled like any other call, in the gateway's own name, and name the call whose copy they are.
"""

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from time import perf_counter

from msgspec.structs import replace

from ai_gateway.background import end
from ai_gateway.dialects.exchange import Exchange
from ai_gateway.model.call import GATEWAY_ITSELF, Outcome
from ai_gateway.model.errors import GatewayError
from ai_gateway.model.route import Route, Shadow
from ai_gateway.routing.router import Plan, Router
from ai_gateway.routing.strategies import Candidate

from .performer import Performer

_MOST_AT_ONCE = 64
_ROUTE = Route(targets=(), retries=0)


class Shadows:
    def __init__(
        self,
        router: Router,
        performer: Performer,
        *,
        random: Random,
        new_call_id: Callable[[], str],
        settle: Callable[[Outcome], None],
        dropped: Callable[[], None],
    ) -> None:
        self._router = router
        self._performer = performer
        self._random = random
        self._new_call_id = new_call_id
        self._settle = settle
        self._dropped = dropped
        self._tasks: set[asyncio.Task[None]] = set()

    def cast(self, shadow: Shadow, exchange: Exchange, outcome: Outcome) -> None:
        """Maybe sends a copy, as the share says."""
        if self._random.random() >= shadow.share:
            return
        if len(self._tasks) >= _MOST_AT_ONCE:
            self._dropped()
            return
        task = asyncio.get_running_loop().create_task(self._send(shadow, exchange, outcome))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, shadow: Shadow, exchange: Exchange, copied: Outcome) -> None:
        request = copied.request
        outcome = Outcome(
            request=replace(request, received=perf_counter(), timeout=None),
            call_id=self._new_call_id(),
            caller=GATEWAY_ITSELF,
            requested_model=copied.requested_model,
            route=copied.route,
            stream=copied.stream,
            shadow_of=copied.call_id,
        )
        try:
            destination = self._router.directory.destination(
                request.operation, shadow.model, request.dialect
            )
            plan = Plan(route=_ROUTE, order=(Candidate(destination=destination),))
            await self._performer.perform(exchange, plan, outcome, _Nobody())
        except GatewayError as error:
            outcome.error, outcome.status = error.kind, error.status
        except asyncio.CancelledError:
            outcome.error, outcome.status = "cancelled", 499
            raise
        finally:
            self._settle(outcome)

    async def close(self) -> None:
        await end(*self._tasks)


class _Nobody:
    """A reply that nobody reads."""

    def __init__(self) -> None:
        self.begun = False

    async def whole(
        self, outcome: Outcome, body: bytes, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        self.begun = True

    async def begin(self, outcome: Outcome) -> None:
        self.begun = True

    async def piece(self, data: bytes) -> None:
        pass

    async def end(self) -> None:
        pass
