"""The path of a call. `Pipeline.run` reads like the list in ARCHITECTURE.md:

    identify -> queue -> parse -> resolve -> guard -> admit -> recall -> plan -> perform -> remember -> settle

No step knows HTTP: what goes back to the caller goes through a `Reply`. A call that entered `run` is
settled exactly once, however it ends: answer, error, time-out, the caller leaving, shutdown.
"""

import asyncio
from random import Random, getrandbits
from time import perf_counter, time

from msgspec.structs import replace

from ai_gateway.access.access import Access
from ai_gateway.audit.auditor import Auditor
from ai_gateway.caching.cache import Cache
from ai_gateway.caching.no_cache import NoCache
from ai_gateway.dialects.exchange import ChatExchange, Exchange, Named, open_exchange
from ai_gateway.dialects.openai_responses import OPENAI_RESPONSES
from ai_gateway.dialects.override import overridden
from ai_gateway.dialects.registry import DIALECTS
from ai_gateway.forward import Forwarder, ForwardReply, Passing
from ai_gateway.guardrails.guardrails import Guardrails
from ai_gateway.holdings.responses import ResponseKeeper
from ai_gateway.ledger.ledger import Ledger, NoLedger
from ai_gateway.ledger.record import new_call_id
from ai_gateway.limits.limits import Admission, Limits
from ai_gateway.load.turnstile import Turnstile
from ai_gateway.model.call import Caller, Operation, Outcome, Request
from ai_gateway.model.carrier import CALLER_LEFT
from ai_gateway.model.errors import GatewayError
from ai_gateway.model.policy import Policy
from ai_gateway.perform.performer import Performer
from ai_gateway.perform.shadow import Shadows
from ai_gateway.realtime import SessionAccount, Socket, relay
from ai_gateway.reply import KeptReply, Reply
from ai_gateway.routing.experiments import Experiments, assignment_key, variant_of
from ai_gateway.routing.gates import Gate
from ai_gateway.routing.patterns import fits
from ai_gateway.routing.resolved import Resolved
from ai_gateway.routing.router import Plan, Router, pinned
from ai_gateway.telemetry.log import Log
from ai_gateway.telemetry.metrics import Metrics
from ai_gateway.telemetry.tracing import NOT_TRACED, Tracing


class Pipeline:
    def __init__(
        self,
        *,
        access: Access,
        ledger: Ledger | NoLedger,
        limits: Limits,
        turnstile: Turnstile,
        router: Router,
        performer: Performer,
        forwarder: Forwarder,
        experiments: Experiments,
        metrics: Metrics,
        log: Log,
        responses: ResponseKeeper,
        cache: Cache | NoCache,
        audit: Auditor,
        guardrails: Guardrails | None = None,
        tracing: Tracing = NOT_TRACED,
        attempts_trace: bool = False,
    ) -> None:
        """`attempts_trace`: whether callers are told of each attempt, where no policy says."""
        self._access = access
        self._ledger = ledger
        self._limits = limits
        self._turnstile = turnstile
        self._router = router
        self._responses = responses
        self._cache = cache
        self._guardrails = guardrails
        self._performer = performer
        self._forwarder = forwarder
        self._metrics = metrics
        self._log = log
        self._tracing = tracing
        self._experiments = experiments
        self._audit = audit
        self._attempts_trace = attempts_trace
        self._shadows = Shadows(
            router,
            performer,
            random=Random(),
            new_call_id=new_call_id,
            settle=self._settle,
            dropped=lambda: metrics.counter("gateway_shadows_dropped_total").of().add(1),
        )

    async def close(self) -> None:
        await self._shadows.close()

    async def run(self, request: Request, reply: Reply, caller: Caller | None = None) -> Outcome:
        """`caller`: who asks, where that is known already (a batch's calls)."""
        outcome = Outcome(
            request=request,
            call_id=new_call_id(),
            trace=self._tracing.begin(request.headers),
        )
        admission: Admission | None = None
        reply = self._ledger.watch(outcome, reply)
        entered = False
        try:
            if caller is None:
                caller = self._access.identify(request.headers)
            if caller is None:
                caller = await self._access.look_up(request.headers)
            outcome.caller = caller
            shown = caller.policy.attempts_trace
            outcome.attempts_shown = self._attempts_trace if shown is None else shown
            if not self._turnstile.try_enter():
                begun = perf_counter()
                await self._turnstile.enter(caller.policy.priority)
                _stage(outcome, "queue", begun)
            entered = True
            if request.dialect == OPENAI_RESPONSES.name:
                request, reply = await self._responses.follow(request, reply, outcome, caller)
            exchange = self._parse(request, outcome)
            resolved = self._resolve(exchange, caller, outcome)
            if resolved.route.experiment is not None:
                request, exchange, resolved = self._assign(request, exchange, resolved, outcome)
            reply = self._audit.watch(outcome, reply, caller.policy.audit, resolved.route.audit)
            back = reply
            if self._guardrails is not None:
                names = self._guardrails.chosen(caller.policy.guardrails, resolved.route.guardrails)
                if names:
                    begun = perf_counter()
                    guarded, back = await self._guardrails.guard(names, request, reply, outcome)
                    _stage(outcome, "guard", begun)
                    if guarded is not request:
                        exchange = self._parse(guarded, outcome)
            asking = self._cache.asking(exchange, outcome, resolved.route)
            if asking is not None and not asking.rules.limited:
                begun = perf_counter()
                if await self._cache.recall(asking, outcome, back):
                    _stage(outcome, "recall", begun)
                    return outcome
            begun = perf_counter()
            # Limits of a model need the target before the cache is looked at; mostly that comes after.
            planned: Plan | None = None
            if resolved.is_route and self._limits.tells_targets_apart(caller):
                planned = self._plan(resolved, exchange, request, outcome)
            first = (resolved.candidates if planned is None else planned.order)[0]
            admission = await self._limits.admit(
                exchange,
                first.destination.target,
                resolved.dearest,
                outcome,
                self._cache.look_up(asking),
            )
            _stage(outcome, "admit", begun)
            recalling = perf_counter()

            async def ask(exchange: Exchange, reply: Reply) -> None:
                if asking is not None:
                    _stage(outcome, "recall", recalling)
                plan = planned or self._plan(resolved, exchange, request, outcome)
                await self._performer.perform(exchange, plan, outcome, reply)

            kept = None if admission is None else admission.value
            await self._cache.answer(asking, exchange, outcome, back, ask, kept)
            if asking is not None and not outcome.attempts:
                _stage(outcome, "recall", recalling)
            if resolved.route.shadow is not None and outcome.attempts and outcome.error is None:
                self._shadows.cast(resolved.route.shadow, exchange, outcome)
        except GatewayError as error:
            await self._refuse(error, outcome, reply)
            # The frames it came through hold it, and so the call would outlive its end.
            error.__traceback__ = error.__context__ = None
        except asyncio.CancelledError as cancelled:
            _cut(outcome, cancelled)
            raise
        finally:
            if entered:
                self._turnstile.leave()
            self._settle(outcome, admission)
        return outcome

    async def forward(
        self,
        request: Request,
        passing: Passing,
        outcome: Outcome,
        reply: ForwardReply,
        gate: Gate | None = None,
    ) -> None:
        """The path of a call that passes through: identify, admit, forward, settle. `gate`: where it
        goes, for who has seen to it that the caller may.

        Raises GatewayError, which the edge renders.
        """
        outcome.call_id = new_call_id()
        outcome.trace = self._tracing.begin(request.headers)
        admission: Admission | None = None
        entered = False
        try:
            caller = outcome.caller = await self._access.caller(request.headers)
            self._audit.without_bodies(outcome, caller.policy.audit)
            if not passing.endless:
                # What may stay open for ever must not hold a place in the queue.
                await self._turnstile.enter(caller.policy.priority)
                entered = True
            if gate is None:
                gate = await self._gate(passing, caller, outcome)
            admission = await self._limits.admit(None, gate.target, (), outcome)
            await self._forwarder.forward(passing, gate, outcome, reply, self._ledger.record)
        except GatewayError as error:
            outcome.error, outcome.status = error.kind, error.status
            raise
        except asyncio.CancelledError as cancelled:
            _cut(outcome, cancelled)
            raise
        finally:
            if entered:
                self._turnstile.leave()
            self._settle(outcome, admission)

    async def _gate(self, passing: Passing, caller: Caller, outcome: Outcome) -> Gate:
        """The provider's door. Raises GatewayError(not_found | permission)."""
        model = await passing.upload.model()
        outcome.requested_model = model or ""
        gate = self._router.directory.gate(
            passing.provider, model, passing.default_provider, passing.credential
        )
        _permit(caller.policy, gate, model)
        if model is not None and gate.target.model != model:
            passing.upload.rename(gate.target.model)
        return gate

    async def realtime(
        self, request: Request, model: str, provider: str | None, socket: Socket, most_bytes: int
    ) -> None:
        """A realtime session: identify once, then admit and settle each response. Raises GatewayError."""
        caller = await self._access.caller(request.headers)
        gate = self._router.directory.gate(provider, model, "openai")
        _permit(caller.policy, gate, model)
        account = SessionAccount(
            request,
            caller,
            gate,
            lambda outcome: self._limits.admit(None, gate.target, (), outcome),
            self._settle,
        )
        try:
            await relay(gate, gate.target.model, socket, account, most_bytes=most_bytes)
        finally:
            account.close()

    async def ask(
        self, caller: Caller, operation: Operation, endpoint: str, body: bytes, timeout: float
    ) -> bytes:
        """A call of the gateway's own, such as a guardrail's to a moderation model, in OpenAI's
        dialect: neither guarded nor limited, but settled like any other. Raises GatewayError."""
        request = Request(
            id=f"own_{getrandbits(96):024x}",
            operation=operation,
            dialect="openai_chat",
            endpoint=endpoint,
            body=body,
            headers={},
            received=perf_counter(),
            timeout=timeout,
        )
        outcome = Outcome(request=request, call_id=new_call_id(), caller=caller)
        self._audit.without_bodies(outcome, caller.policy.audit)
        reply = KeptReply()
        try:
            exchange = self._parse(request, outcome)
            resolved = self._resolve(exchange, caller, outcome)
            plan = self._router.plan(resolved, exchange, request, caller)
            await self._performer.perform(exchange, plan, outcome, reply)
        except GatewayError as error:
            outcome.error, outcome.status = error.kind, error.status
            raise
        finally:
            self._settle(outcome)
        if outcome.status != 200:
            raise GatewayError("upstream", f"{endpoint} was answered {outcome.status}.")
        return reply.body

    def _parse(self, request: Request, outcome: Outcome) -> Exchange:
        named = None
        if request.path_model is not None:
            named = Named(request.path_model, request.path_stream)
        exchange = open_exchange(
            request.operation, request.dialect, request.body, now=int(time()), named=named
        )
        outcome.requested_model = exchange.model
        outcome.stream = exchange.stream
        return exchange

    def _resolve(self, exchange: Exchange, caller: Caller, outcome: Outcome) -> Resolved:
        request = outcome.request
        resolved = self._router.resolve(
            request.operation, exchange.model, caller.policy, request.dialect
        )
        if resolved.is_route:
            outcome.route = resolved.name
        return resolved

    def _assign(
        self, request: Request, exchange: Exchange, resolved: Resolved, outcome: Outcome
    ) -> tuple[Request, Exchange, Resolved]:
        """The call as its variant of the route's experiment makes it."""
        experiment = self._experiments.running(resolved.name, resolved.route)
        caller = outcome.caller
        if experiment is None or caller is None:
            return request, exchange, resolved
        named = exchange.peek.user if isinstance(exchange, ChatExchange) else None
        key = assignment_key(caller.tenant, caller.user, named, outcome.call_id)
        variant = variant_of(experiment, key)
        outcome.experiment, outcome.variant = experiment.name, variant.name
        if request.operation == "chat":
            body = overridden(request.dialect, request.body, variant.parameters, variant.system)
            if body is not request.body:
                request = replace(request, body=body)
                exchange = self._parse(request, outcome)
        if variant.model is not None:
            resolved = self._router.led_by(
                resolved, variant.model, request.operation, request.dialect
            )
        return request, exchange, resolved

    async def _refuse(self, error: GatewayError, outcome: Outcome, reply: Reply) -> None:
        outcome.error = error.kind
        caller = DIALECTS[outcome.request.dialect]
        if reply.begun:
            await reply.piece(
                caller.render_stream_error(error, outcome.request.id, outcome.next_number)
            )
            await reply.end()
            return
        outcome.status = error.status
        body = caller.render_error(error, outcome.request.id)
        await reply.whole(outcome, body, error.advice())

    def _plan(
        self, resolved: Resolved, exchange: Exchange, request: Request, outcome: Outcome
    ) -> Plan:
        assert outcome.caller is not None
        plan = self._router.plan(resolved, exchange, request, outcome.caller)
        return plan if outcome.pin is None else pinned(plan, resolved, *outcome.pin)

    def _settle(self, outcome: Outcome, admission: Admission | None = None) -> None:
        if outcome.status == 0:
            outcome.status, outcome.error = 500, "internal"
        if admission is not None:
            self._limits.settle(admission, outcome)
        if outcome.experiment is not None and outcome.route is not None:
            route = self._router.routes.get(outcome.route)
            if route is not None and route.experiment is not None:
                self._experiments.settled(outcome, route.experiment)
        outcome.total_seconds = perf_counter() - outcome.request.received
        self._ledger.record(outcome)
        self._metrics.observe_call(outcome, self._tracing.finish(outcome))
        self._audit.record(outcome)
        self._log.call(outcome)


def _cut(outcome: Outcome, cancelled: asyncio.CancelledError) -> None:
    if CALLER_LEFT in cancelled.args:
        outcome.error = "cancelled"
        outcome.status = outcome.status or 499
    else:
        outcome.error = "unavailable"
        outcome.error_detail = "cut by the gateway's shutdown"
        outcome.status = outcome.status or 503


def _permit(policy: Policy, gate: Gate, model: str | None) -> None:
    """What passes through may name any model, or none: a key held to some models must name one of
    them. Raises GatewayError(permission)."""
    if not fits(policy.providers, gate.target.provider):
        raise GatewayError(
            "permission", "This key may not use this provider.", code="provider_not_allowed"
        )
    if not fits(policy.models, *(() if model is None else (model,))):
        raise GatewayError(
            "permission", "This key may not use this model.", code="model_not_allowed"
        )


def _stage(outcome: Outcome, name: str, begun: float) -> None:
    """Notes a step that ended well."""
    outcome.stages.append((name, begun, perf_counter()))
