"""The attempts of a call: the plan's targets in turn, those that may be asked again once more, then the
answer on its way to the caller.

A target that fails gives way to the next at once. When all have been asked, those for which it is safe
are asked again after a pause, within the retry budget and the call's time. Once the first byte has gone
to the caller nothing is tried again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from time import perf_counter

from ai_gateway.catalogue.cost import cost_of
from ai_gateway.dialects.dialect import BadAnswer
from ai_gateway.dialects.exchange import Exchange
from ai_gateway.model.call import Outcome
from ai_gateway.model.errors import GatewayError
from ai_gateway.model.route import Route
from ai_gateway.reply import Reply
from ai_gateway.routing.concurrency import place_at
from ai_gateway.routing.router import Plan
from ai_gateway.routing.sifting import is_well
from ai_gateway.routing.strategies import Candidate
from ai_gateway.upstream.client import Timeouts, UpstreamClient
from ai_gateway.upstream.faults import UpstreamFault

from .attempt import Asker, Flow, Full, Given, Shut, Whole
from .course import Course
from .failure import Failed, from_bad_answer, from_fault
from .handover import close_stream, estimate_account, give_up, hand_over, take_account
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
                await give_up(failure, outcome, reply)
                return
            if isinstance(won, Whole):
                await hand_over(won, outcome, reply)
            else:
                await self._relay(exchange, won, outcome, reply)
        finally:
            self.budget.live -= 1

    async def _obtain(self, exchange: Exchange, plan: Plan, outcome: Outcome) -> Whole | Flow:
        """The first answer that can be had. Raises Failed (the last failure), or GatewayError."""
        route = plan.route
        course = Course(self._deadline(outcome))
        order = plan.order if plan.most is None else plan.order[: plan.most]
        if route.hedge is not None and len(order) > 1:
            won = await self._race(exchange, order[0], order[1], route, course, outcome)
            if won is not None and not course.keeps(won, route):
                return won
            order = () if course.settled else order[2 if course.hedged else 1 :]
        for candidate in order:
            if outcome.attempts and self._is_hopeless(candidate, course, 0.0):
                continue
            won = await self._try(exchange, candidate, route, course, outcome)
            if won is None:
                if course.settled:
                    break
            elif not course.keeps(won, route):
                return won
        if course.full and not course.settled and course.spare is None:
            won = await self._when_free(exchange, route, course, outcome)
            if won is not None:
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
        try:
            raise course.verdict(plan, self._clock())
        finally:
            # It holds the failure, which holds this frame.
            del course

    async def _when_free(
        self, exchange: Exchange, route: Route, course: Course, outcome: Outcome
    ) -> Whole | Flow | None:
        """The first of the targets without a place that has one again; None where none has in time."""
        of = {c.destination.vitals.limiter: c for c in course.full}
        limiters = [limiter for limiter in of if limiter is not None]
        began = self._clock()
        longest = max(limiter.settings.wait for limiter in limiters)
        free = await place_at(limiters, max(0.0, min(longest, course.deadline - began)))
        outcome.upstream_seconds += self._clock() - began
        if free is None:
            return None
        try:
            return await self._try(exchange, of[free], route, course, outcome, waited=True)
        finally:
            free.wake()

    async def _race(
        self,
        exchange: Exchange,
        first: Candidate,
        second: Candidate,
        route: Route,
        course: Course,
        outcome: Outcome,
    ) -> Whole | Flow | None:
        """The first target, and beside it the second where the first takes long: the quicker answer;
        None where neither came. The other is cancelled, and its known part of the cost kept."""
        hedge = route.hedge
        after = None if hedge is None else hedge.after or first.destination.vitals.speed.tail()
        if after is None:
            return await self._try(exchange, first, route, course, outcome)
        before, started = outcome.upstream_seconds, self._clock()
        tasks = [asyncio.ensure_future(self._try(exchange, first, route, course, outcome))]
        won: Whole | Flow | None = None
        taken = False
        try:
            done, _ = await asyncio.wait(tasks, timeout=after)
            if not done and is_well(second.destination, self._clock()) and self.budget.take():
                taken = course.hedged = True
                tasks.append(
                    asyncio.ensure_future(self._try(exchange, second, route, course, outcome))
                )
            pending = set(tasks)
            while pending and won is None:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                won = next((found for t in tasks if t in done and (found := t.result())), None)
        finally:
            if taken:
                self.budget.give_back()
            await _end(tasks, won)
            outcome.upstream_seconds = before + self._clock() - started
        if won is not None:
            outcome.target = won.asking.destination.target
            if course.hedged:
                of = {c.destination.target: c.destination for c in (first, second)}
                lost = [a for a in outcome.attempts if a.error == "cancelled"]
                won.asking.lost = [(attempt, of[attempt.target]) for attempt in lost]
        return won

    async def _try(
        self,
        exchange: Exchange,
        candidate: Candidate,
        route: Route,
        course: Course,
        outcome: Outcome,
        *,
        waited: bool = False,
    ) -> Whole | Flow | None:
        """One target, with as many of its credentials as must be tried; None where it failed, which
        the course then knows."""
        destination = candidate.destination
        for _ in destination.doors.all:
            given = self._given(exchange, route, course.deadline - self._clock(), outcome)
            try:
                won = await self._asker.ask(exchange, candidate, outcome, given, waited=waited)
            except Shut:
                return None
            except Full:
                course.full.append(candidate)
                return None
            except GatewayError as refused:
                course.refused = course.refused or refused.with_traceback(None)
                return None
            except Failed as failure:
                asked = failure.attempt or outcome.attempts[-1]
                outcome.upstream_seconds += asked.seconds
                of_credential = failure.throttled is not None or failure.refused is not None
                another = of_credential and destination.doors.rested(
                    self._clock(), but=asked.credential
                )
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
        patient = outcome.request.timeout is None or left >= self._full(exchange, own)
        if exchange.stream:
            return Given(left, own, patient)
        return Given(left if own is None else min(left, own), None, patient)

    def _full(self, exchange: Exchange, own: float | None) -> float:
        """The time that the operator gives an attempt."""
        full = self._timeouts.first_byte if exchange.stream else self._timeouts.total
        return full if own is None else min(full, own)

    def _is_hopeless(self, candidate: Candidate, course: Course, wait: float) -> bool:
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

    async def _relay(self, exchange: Exchange, flow: Flow, outcome: Outcome, reply: Reply) -> None:
        """Hands a stream on as it comes."""
        asking, bridge, stream = flow.asking, flow.bridge, flow.stream
        destination = asking.destination
        outcome.notes = flow.notes
        outcome.upstream_request_id = flow.upstream_request_id
        waited = 0.0
        sent, last = len(flow.first), flow.first
        read_to_its_end = False
        try:
            async with stream:
                if bridge.first_content:
                    outcome.first_token_seconds = asking.attempt.seconds
                if flow.first:
                    outcome.status = 200
                    if bridge.complete:
                        take_account(flow, outcome)
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
                    over = not chunk
                    data = bridge.end() if over else bridge.feed(chunk)
                    # A slow reader is waited for below: it should hold one copy, not two.
                    chunk = b""
                    if outcome.first_token_seconds is None and bridge.first_content:
                        outcome.first_token_seconds = now - asking.started
                    if bridge.complete and not outcome.complete:
                        take_account(flow, outcome)
                    if data:
                        sent += len(data)
                        last = data
                        await reply.piece(data)
                    if over:
                        break
            read_to_its_end = True
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
            outcome.next_number = bridge.next_number
            if not outcome.complete:
                take_account(flow, outcome)
                # What was used may come after the finish, which a caller need not wait for.
                if not bridge.complete or (bridge.usage is None and not read_to_its_end):
                    estimate_account(exchange, flow, outcome, sent, last)
            if bridge.complete:
                asking.streamed(outcome.usage.output_tokens, waited)
            elif bridge.failure is not None:
                asking.broke(bridge.failure.kind)
            # Does nothing where it has been said what became of it.
            asking.leave()
        await close_stream(flow, outcome, reply)


async def _end(tasks: Sequence["asyncio.Future[Whole | Flow | None]"], won: object) -> None:
    """Cancels what still runs, and lets go of an answer that came too late."""
    for task in tasks:
        task.cancel()
    for found in await asyncio.gather(*tasks, return_exceptions=True):
        if found is won or not isinstance(found, Whole | Flow):
            continue
        attempt, prices = found.asking.attempt, found.asking.destination.facts.prices
        attempt.error = "cancelled"
        if isinstance(found, Flow):
            found.stream.close()
            found.asking.leave()
        elif found.answer.usage is not None and prices is not None:
            attempt.cost = cost_of(found.answer.usage, prices)
