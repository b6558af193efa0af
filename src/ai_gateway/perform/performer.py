"""The attempts of a call: the plan's targets in turn, those that may be asked again once more, then the
answer on its way to the caller.

A target that fails gives way to the next at once. When all have been asked, those for which it is safe
are asked again after a pause, within the retry budget and the call's time. Once the first byte has gone
to the caller nothing is tried again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from time import perf_counter

from ai_gateway.catalogue.cost import cost_of
from ai_gateway.dialects.dialect import BadAnswer
from ai_gateway.dialects.exchange import Exchange
from ai_gateway.model.call import Outcome
from ai_gateway.model.errors import GatewayError
from ai_gateway.model.route import Route
from ai_gateway.reply import Reply
from ai_gateway.routing.destinations import Destination
from ai_gateway.routing.router import Plan
from ai_gateway.routing.strategies import Candidate
from ai_gateway.upstream.client import Timeouts, UpstreamClient
from ai_gateway.upstream.faults import UpstreamFault

from .attempt import Asker, Flow, Given, Shut, Whole
from .failure import Failed, from_bad_answer, from_cut, from_fault
from .retries import RetryBudget, backoff

Sleep = Callable[[float], Awaitable[None]]

_WATCH = 0.1
"""Time-outs are looked for at intervals; one found within so many seconds of a limit is that limit's."""


class Performer:
    """`clock`, `sleep` and `random` are given, so that tests own them."""

    def __init__(
        self,
        client: UpstreamClient,
        timeouts: Timeouts,
        *,
        random: Random,
        clock: Callable[[], float] = perf_counter,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._asker = Asker(client, clock)
        self._timeouts = timeouts
        self._random = random
        self._clock = clock
        self._sleep = sleep
        self.budget = RetryBudget()

    async def perform(self, exchange: Exchange, plan: Plan, outcome: Outcome, reply: Reply) -> None:
        destination = plan.order[0].destination
        here = exchange.answer_here(destination.dialect)
        if here is not None:
            outcome.target = destination.target
            outcome.status, outcome.notes = 200, here.notes
            await reply.whole(outcome, here.body)
            return
        self.budget.live += 1
        try:
            try:
                won = await self._obtain(exchange, plan, outcome)
            except Failed as failure:
                await _give_up(failure, outcome, reply)
                return
            if isinstance(won, Whole):
                await _hand_over(won, outcome, reply)
            else:
                await self._relay(won, outcome, reply)
        finally:
            self.budget.live -= 1

    async def _obtain(self, exchange: Exchange, plan: Plan, outcome: Outcome) -> Whole | Flow:
        """The first answer that can be had. Raises Failed (the last failure), or GatewayError."""
        route = plan.route
        course = _Course(self._deadline(outcome))
        for candidate in plan.order:
            if outcome.attempts and self._is_hopeless(candidate, course, 0.0):
                continue
            won = await self._try(exchange, candidate, route, course, outcome)
            if won is None:
                if course.settled:
                    break
            elif _filtered(won) and "content_filter" in route.fallback_on:
                # Another may answer; if none does, this is the answer.
                course.spare = course.spare or won
            else:
                return won
        if course.spare is not None:
            return course.spare
        for retry in range(route.retries):
            if course.settled or not course.again:
                break
            candidate, failure = course.again.pop(0)
            wait = backoff(retry, failure.wait, self._random)
            if wait is None or self._is_hopeless(candidate, course, wait) or not self.budget.take():
                break
            try:
                await self._sleep(wait)
                outcome.upstream_seconds += wait
                won = await self._try(exchange, candidate, route, course, outcome)
            finally:
                self.budget.give_back()
            if won is not None:
                return won
        raise course.verdict(plan, self._clock())

    async def _try(
        self,
        exchange: Exchange,
        candidate: Candidate,
        route: Route,
        course: "_Course",
        outcome: Outcome,
    ) -> Whole | Flow | None:
        """One target, with as many of its credentials as must be tried; None where it failed, which
        the course then knows."""
        destination = candidate.destination
        for _ in destination.doors.all:
            given = self._given(exchange, route, course.deadline - self._clock(), outcome)
            try:
                won = await self._asker.ask(exchange, candidate, outcome, given)
            except Shut:
                return None
            except GatewayError as refused:
                course.refused = course.refused or refused
                return None
            except Failed as failure:
                outcome.upstream_seconds += outcome.attempts[-1].seconds
                of_credential = failure.throttled is not None or failure.refused is not None
                shown = outcome.attempts[-1].credential
                another = of_credential and destination.doors.rested(self._clock(), but=shown)
                course.failed(candidate, failure, route, asked_at_once=another)
                if another:
                    continue
                return None
            outcome.target = destination.target
            outcome.upstream_seconds += won.asking.attempt.seconds
            return won
        return None

    def _deadline(self, outcome: Outcome) -> float:
        total = self._timeouts.total
        wished = outcome.request.timeout
        return self._clock() + (total if wished is None else min(total, wished))

    def _given(self, exchange: Exchange, route: Route, left: float, outcome: Outcome) -> Given:
        own = route.attempt_timeout
        full = self._timeouts.first_byte if exchange.stream else self._timeouts.total
        if own is not None:
            full = min(full, own)
        patient = outcome.request.timeout is None or left >= full
        if exchange.stream:
            return Given(left, own, patient)
        return Given(left if own is None else min(left, own), None, patient)

    def _is_hopeless(self, candidate: Candidate, course: "_Course", wait: float) -> bool:
        """Asking it now, after an attempt that failed, could not end well."""
        destination = candidate.destination
        now = self._clock()
        if now + wait + destination.vitals.speed.quickest > course.deadline:
            return True
        if not wait and not destination.doors.rested(now):
            return True
        facts = destination.facts
        return (
            course.too_long_for is not None
            and facts.context_tokens is not None
            and facts.context_tokens <= course.too_long_for
        )

    async def _relay(self, flow: Flow, outcome: Outcome, reply: Reply) -> None:
        """Hands a stream on as it comes."""
        asking, bridge, stream = flow.asking, flow.bridge, flow.stream
        destination = asking.destination
        outcome.notes = flow.notes
        outcome.upstream_request_id = flow.upstream_request_id
        waited = 0.0
        try:
            async with stream:
                if bridge.first_content:
                    outcome.first_token_seconds = asking.attempt.seconds
                if flow.first:
                    outcome.status = 200
                    if bridge.complete:
                        _take_account(flow, outcome)
                    await reply.begin(outcome)
                    await reply.piece(flow.first)
                while not flow.ended:
                    before = self._clock()
                    try:
                        chunk = await stream.read()
                    except UpstreamFault:
                        if not bridge.complete:
                            raise
                        # The answer is whole; how its connection ended is nothing to the caller.
                        chunk = b""
                    finally:
                        now = self._clock()
                        waited += now - before
                        outcome.upstream_seconds += now - before
                    data = bridge.feed(chunk) if chunk else bridge.end()
                    if outcome.first_token_seconds is None and bridge.first_content:
                        outcome.first_token_seconds = now - asking.started
                    if data:
                        if bridge.complete and not outcome.complete:
                            _take_account(flow, outcome)
                        await reply.piece(data)
                    if not chunk:
                        break
            if not bridge.complete and bridge.failure is None:
                asking.broke("reset")
        except UpstreamFault as fault:
            cut_by_caller = (
                fault.cause == "timeout"
                and outcome.request.timeout is not None
                and self._clock() >= asking.started + outcome.request.timeout - _WATCH
            )
            if not cut_by_caller:
                asking.broke(fault.cause)
            raise from_fault(fault, destination, patient=True).error from None
        except BadAnswer as bad:
            asking.broke("bad_answer")
            outcome.error_detail = str(bad)
            raise from_bad_answer(str(bad), destination).error from None
        finally:
            asking.attempt.seconds += waited
            if not outcome.complete:
                _take_account(flow, outcome)
            if bridge.complete:
                asking.streamed(outcome.usage.output_tokens, waited)
            elif bridge.failure is not None:
                asking.broke(bridge.failure.kind)
            # Does nothing where it has been said what became of it.
            asking.leave()
        await _close(flow, outcome, reply)


class _Course:
    """How the attempts of one call went so far."""

    __slots__ = ("again", "deadline", "last", "refused", "settled", "spare", "too_long_for")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.last: Failed | None = None
        self.refused: GatewayError | None = None
        """The first target's dialect could not express the call."""
        self.again: list[tuple[Candidate, Failed]] = []
        """May be asked once more."""
        self.settled = False
        """The last failure would be any other target's too."""
        self.too_long_for: int | None = None
        """The call did not fit a context window of so many tokens."""
        self.spare: Whole | Flow | None = None

    def failed(
        self, candidate: Candidate, failure: Failed, route: Route, *, asked_at_once: bool
    ) -> None:
        self.last = failure
        if failure.again and not asked_at_once:
            self.again.append((candidate, failure))
        if failure.refusal is None:
            self.settled = not failure.elsewhere
            return
        self.settled = failure.refusal not in route.fallback_on
        if failure.refusal == "context_window":
            self.too_long_for = candidate.destination.facts.context_tokens

    def verdict(self, plan: Plan, now: float) -> Failed | GatewayError:
        """What the caller is told where no target has answered."""
        if self.last is not None:
            return self.last
        if self.refused is not None:
            return self.refused
        opens = min(c.destination.vitals.breaker.retry_at for c in plan.order)
        return GatewayError(
            "unavailable",
            "Every provider that could answer this has been failing, and is left alone for a moment. "
            "Try again.",
            code="targets_unavailable",
            retry_after=max(1.0, opens - now),
        )


def _filtered(won: Whole | Flow) -> bool:
    return isinstance(won, Whole) and won.answer.stop in ("content_filter", "refusal")


async def _hand_over(whole: Whole, outcome: Outcome, reply: Reply) -> None:
    converted = whole.answer
    outcome.status = 200
    outcome.stop = converted.stop
    outcome.answered_model = converted.model
    outcome.notes = whole.notes
    outcome.upstream_request_id = whole.upstream_request_id
    if converted.usage is not None:
        outcome.usage, outcome.usage_known = converted.usage, True
        _price(outcome, whole.asking.destination)
    await reply.whole(outcome, converted.body)


async def _close(flow: Flow, outcome: Outcome, reply: Reply) -> None:
    """The provider's stream is over: for good, or short of its end."""
    bridge = flow.bridge
    if bridge.failure is not None:
        # The caller has the error event already; it ends the stream.
        outcome.error_detail = "an error event inside the stream"
        outcome.error = bridge.failure.kind
    elif not bridge.complete:
        raise from_cut(flow.asking.destination).error
    elif not reply.begun:
        outcome.status = 200
        await reply.begin(outcome)
    await reply.end()


async def _give_up(failure: Failed, outcome: Outcome, reply: Reply) -> None:
    """Tells the caller of the last failure: in the provider's words where they are in its dialect."""
    outcome.error_detail = failure.detail
    relayed = failure.relayed
    if relayed is None:
        raise failure.error
    outcome.error, outcome.status = relayed.kind, relayed.status
    await reply.whole(outcome, relayed.body, relayed.headers)


def _take_account(flow: Flow, outcome: Outcome) -> None:
    """What the stream has told so far; before the piece that completes it is handed on, so that its
    account is written before the caller can have all of it."""
    bridge = flow.bridge
    outcome.stop = bridge.stop
    outcome.complete = bridge.complete
    if bridge.usage is not None:
        outcome.usage, outcome.usage_known = bridge.usage, True
        _price(outcome, flow.asking.destination)


def _price(outcome: Outcome, destination: Destination) -> None:
    if destination.facts.prices is not None:
        outcome.cost = cost_of(outcome.usage, destination.facts.prices)
