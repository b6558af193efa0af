"""The path of a call. `Pipeline.run` reads like the list in ARCHITECTURE.md:

    identify -> parse -> plan -> perform -> settle

(guard, admit, recall and remember take their places in it as they are built.) No step knows HTTP:
what goes back to the caller goes through a `Reply`. A call that entered `run` is settled exactly
once, however it ends: answer, error, time-out, the caller leaving, shutdown.
"""

import asyncio
from time import perf_counter, time

from ai_gateway.access.identify import identify
from ai_gateway.dialects.exchange import Exchange, open_exchange
from ai_gateway.dialects.registry import DIALECTS
from ai_gateway.model.call import Outcome, Request
from ai_gateway.model.errors import GatewayError
from ai_gateway.perform import Performer
from ai_gateway.reply import Reply
from ai_gateway.routing.destinations import Directory
from ai_gateway.telemetry.log import Log
from ai_gateway.telemetry.metrics import Metrics


class Pipeline:
    def __init__(
        self, *, directory: Directory, performer: Performer, metrics: Metrics, log: Log
    ) -> None:
        self._directory = directory
        self._performer = performer
        self._metrics = metrics
        self._log = log

    async def run(self, request: Request, reply: Reply) -> Outcome:
        outcome = Outcome(request=request)
        try:
            outcome.caller = identify(request.headers)
            exchange = self._parse(request, outcome)
            destinations = self._directory.plan(request.operation, exchange.model)
            await self._performer.perform(exchange, destinations, outcome, reply)
        except GatewayError as error:
            await self._refuse(error, outcome, reply)
        except asyncio.CancelledError:
            outcome.error = "cancelled"
            outcome.status = outcome.status or 499
            raise
        finally:
            self._settle(outcome)
        return outcome

    def _parse(self, request: Request, outcome: Outcome) -> Exchange:
        exchange = open_exchange(request.operation, request.dialect, request.body, now=int(time()))
        outcome.requested_model = exchange.model
        outcome.stream = exchange.stream
        return exchange

    async def _refuse(self, error: GatewayError, outcome: Outcome, reply: Reply) -> None:
        outcome.error = error.kind
        caller = DIALECTS[outcome.request.dialect]
        if reply.begun:
            await reply.piece(caller.render_stream_error(error, outcome.request.id))
            await reply.end()
            return
        outcome.status = error.status
        headers = list(error.headers)
        if error.retry_after is not None:
            headers.append(("retry-after", str(max(1, round(error.retry_after)))))
        await reply.whole(outcome, caller.render_error(error, outcome.request.id), headers)

    def _settle(self, outcome: Outcome) -> None:
        if outcome.status == 0:
            outcome.status, outcome.error = 500, "internal"
        outcome.total_seconds = perf_counter() - outcome.request.received
        self._metrics.observe_call(outcome)
        self._log.call(outcome)
