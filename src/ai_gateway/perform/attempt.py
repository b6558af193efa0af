"""One asking of one target: until there is something for the caller, or it failed.

Nothing is sent to the caller here. An attempt ends as `Whole` or as `Flow` (a stream whose first
pieces are here), or raises `Failed`; only what came of it is handed on, so that until then another
target can still take its place.
"""

from collections.abc import Callable, Mapping
from time import time

from msgspec import Struct, structs

from ai_gateway.dialects.bad_answer import require_text
from ai_gateway.dialects.bridge import Bridge
from ai_gateway.dialects.dialect import BadAnswer
from ai_gateway.dialects.exchange import Converted, Exchange
from ai_gateway.dialects.registry import PROVIDER_DIALECTS
from ai_gateway.model.call import Attempt, Outcome, Request
from ai_gateway.model.trace import new_span_id, trace_headers
from ai_gateway.routing.destinations import Destination
from ai_gateway.routing.keys import Door
from ai_gateway.routing.quota import tells_quota, until_refill
from ai_gateway.routing.strategies import Candidate
from ai_gateway.upstream.client import (
    UpstreamAnswer,
    UpstreamClient,
    UpstreamRequest,
    UpstreamStream,
)
from ai_gateway.upstream.faults import UpstreamFault

from .failure import Failed, from_bad_answer, from_cut, from_fault, from_status, from_stream_error

_LARGEST_ERROR = 1024 * 1024
_OVERLOADED = frozenset({429, 503, 529})


class Shut(Exception):
    """The target's breaker lets nobody in."""


class Full(Exception):
    """The target has as many calls under way as it carries."""


class Asking(Struct, eq=False):
    """What is held while a target is asked: a place in its breaker and among its calls under way (the
    place among them is taken by who makes it).

    Ended exactly once by `answered`, `streamed`, `broke`, `failed` or `leave`.
    """

    destination: Destination
    door: Door
    attempt: Attempt
    era: int
    """Of the breaker, when it was entered."""
    clock: Callable[[], float]
    lost: list[tuple[Attempt, Destination]] = []
    """What was asked beside it and cancelled."""
    open: bool = True

    @property
    def started(self) -> float:
        return self.attempt.started

    def began(self) -> None:
        """A stream's first piece is here, which proves the provider well; it may break later."""
        now = self.clock()
        vitals = self.destination.vitals
        vitals.breaker.began(now, self.era)
        vitals.speed.began(now - self.started, now)

    def answered(self, tokens: int) -> None:
        """A whole answer is here, after the attempt's seconds."""
        attempt, vitals = self.attempt, self.destination.vitals
        started, seconds = attempt.started, attempt.seconds
        now = started + seconds
        vitals.breaker.succeeded(now, self.era)
        vitals.answered(seconds, tokens, now)
        if vitals.limiter is not None:
            vitals.limiter.answered(started, seconds, tokens, now)
        self._end()

    def streamed(self, tokens: int, seconds: float) -> None:
        """A stream that began has ended well, after so many seconds of waiting for its tokens."""
        now = self.clock()
        vitals = self.destination.vitals
        vitals.breaker.ended(self.era)
        vitals.note(now, failed=False)
        vitals.speed.streamed(seconds, tokens, now)
        vitals.told_tokens(tokens)
        if vitals.limiter is not None:
            vitals.limiter.answered(self.started, self.attempt.seconds, tokens, now)
        self._end()

    def broke(self, label: str) -> None:
        """A stream that began was cut, through the provider's fault."""
        now = self.clock()
        vitals = self.destination.vitals
        vitals.breaker.broke(now, self.era)
        vitals.note(now, failed=True)
        if vitals.limiter is not None and label == "timeout":
            vitals.limiter.overloaded(self.started, now)
        self.attempt.error = label
        self._end()

    def failed(self, failure: Failed) -> None:
        now = self.clock()
        vitals = self.destination.vitals
        breaker = vitals.breaker
        match failure.health:
            case "good":
                breaker.succeeded(now, self.era)
            case "unknown":
                breaker.left(self.era)
            case "failed":
                breaker.failed(now, self.era)
                vitals.note(now, failed=True)
            case "connect":
                breaker.failed(now, self.era, connect=True)
                vitals.note(now, failed=True)
        if vitals.limiter is not None and (
            failure.status in _OVERLOADED
            or (failure.label == "timeout" and failure.health == "failed")
        ):
            vitals.limiter.overloaded(self.started, now)
        if failure.throttled is not None:
            self.door.throttled(now, failure.throttled)
        if failure.refused is not None:
            self.door.refused(now, failure.refused)
        self.attempt.error = failure.label
        self.attempt.status = failure.status
        self._end()

    def leave(self) -> None:
        """It tells nothing of the provider: the caller left, or another target was quicker."""
        if self.open:
            self.destination.vitals.breaker.left(self.era)
            self.attempt.error = "cancelled"
            self._end()

    def _end(self) -> None:
        if self.open:
            self.open = False
            vitals = self.destination.vitals
            vitals.in_flight -= 1
            if vitals.limiter is not None:
                vitals.limiter.leave()


class Whole(Struct, frozen=True):
    asking: Asking
    answer: Converted
    notes: tuple[str, ...]
    upstream_request_id: str | None


class Flow(Struct, frozen=True):
    asking: Asking
    stream: UpstreamStream
    bridge: Bridge
    first: bytes
    """For the caller already."""
    ended: bool
    """The provider has closed it."""
    notes: tuple[str, ...]
    upstream_request_id: str | None


class Given(Struct, frozen=True):
    """The time an attempt has, in seconds."""

    total: float
    first_byte: float | None
    patient: bool
    """It is as much as the operator gives a provider, not less by the caller's wish."""


class Asker:
    def __init__(self, client: UpstreamClient, clock: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock

    async def ask(
        self,
        exchange: Exchange,
        candidate: Candidate,
        outcome: Outcome,
        given: Given,
        *,
        waited: bool = False,
    ) -> Whole | Flow:
        """`waited`: for its place. Raises Failed, Shut, Full, and GatewayError where the target's dialect
        cannot express the call."""
        destination = candidate.destination
        vitals, target = destination.vitals, destination.target
        rendered = exchange.request(destination.dialect, destination.render)
        now = self._clock()
        limiter = vitals.limiter
        if limiter is not None and not limiter.enter(waited=waited):
            raise Full
        era = vitals.breaker.enter(now)
        if not era:
            if limiter is not None:
                limiter.leave()
            raise Shut
        door = destination.doors.pick(now)
        attempt = Attempt(target=target, started=now, credential=door.key.number)
        asking = Asking(destination, door, attempt, era, self._clock)
        vitals.in_flight += 1
        outcome.attempts.append(attempt)
        outcome.target = target
        outcome.provider_dialect = destination.dialect
        where = door.stream_address if exchange.stream else door.address
        headers = _forwarded(destination, outcome.request) if destination.forwarded else ()
        trace = outcome.trace
        if trace is not None and target.provider in trace.told:
            attempt.span_id = new_span_id()
            headers += trace_headers(trace, attempt.span_id)
        request = UpstreamRequest(
            address=where,
            body=rendered.body,
            headers=headers,
            timeout=given.total,
            first_byte=given.first_byte,
        )
        try:
            try:
                if door.signer is not None:
                    signed = await door.signer.headers(where.url, request.body)
                    request = structs.replace(request, headers=(*headers, *signed))
                if exchange.stream:
                    return await self._open(exchange, asking, request, rendered.notes, outcome)
                return await self._fetch(exchange, asking, request, rendered.notes, outcome)
            except UpstreamFault as fault:
                raise from_fault(fault, destination, patient=given.patient) from None
            except BadAnswer as bad:
                raise from_bad_answer(str(bad), destination) from None
        except Failed as failure:
            failure.attempt = attempt
            asking.failed(failure)
            raise
        except BaseException:
            asking.leave()
            raise

    async def _fetch(
        self,
        exchange: Exchange,
        asking: Asking,
        request: UpstreamRequest,
        notes: tuple[str, ...],
        outcome: Outcome,
    ) -> Whole:
        attempt = asking.attempt
        try:
            answer = await self._client.fetch(request)
        finally:
            attempt.seconds = self._clock() - attempt.started
        headers, body = answer.headers, answer.body
        if answer.status != 200:
            self._note_quota(headers, asking)
            raise self._refused(answer, body, asking, outcome)
        attempt.status = 200
        require_text(body)
        converted = exchange.answer(asking.destination.dialect, body)
        self._note_quota(headers, asking)
        usage = converted.usage
        asking.answered(0 if usage is None else usage.output_tokens)
        return Whole(asking, converted, notes + converted.notes, _request_id(headers))

    async def _open(
        self,
        exchange: Exchange,
        asking: Asking,
        request: UpstreamRequest,
        notes: tuple[str, ...],
        outcome: Outcome,
    ) -> Flow:
        destination = asking.destination
        bridge = exchange.bridge(destination.dialect, destination.render)
        stream = self._client.stream(request)
        try:
            try:
                await stream.open()
                if stream.status != 200:
                    self._note_quota(stream.headers, asking)
                    body = await stream.read_all(_LARGEST_ERROR)
                    raise self._refused(stream, body, asking, outcome)
                kind = PROVIDER_DIALECTS[destination.dialect].stream_type
                if kind not in (stream.header(b"content-type") or ""):
                    raise BadAnswer("a stream was asked for, and something else came")
                first, ended = await _first(bridge, stream)
            finally:
                asking.attempt.seconds = self._clock() - asking.started
            if bridge.failure is not None:
                raise from_stream_error(bridge.failure, destination)
            if ended and not first and not bridge.complete:
                raise from_cut(destination)
        except BaseException:
            stream.close()
            raise
        asking.attempt.status = 200
        self._note_quota(stream.headers, asking)
        asking.began()
        return Flow(asking, stream, bridge, first, ended, notes, _request_id(stream.headers))

    def _refused(
        self, answer: UpstreamAnswer | UpstreamStream, body: bytes, asking: Asking, outcome: Outcome
    ) -> Failed:
        return from_status(
            answer.status,
            body,
            answer.header,
            asking.destination,
            asking.door.key.secret,
            outcome.request.dialect,
            time(),
        )

    def _note_quota(self, headers: Mapping[bytes, bytes], asking: Asking) -> None:
        if not tells_quota(headers):
            return
        asking.door.rest.told(headers, time())
        wait = until_refill(headers, time)
        if wait is not None:
            asking.door.throttled(self._clock(), wait)


async def _first(bridge: Bridge, stream: UpstreamStream) -> tuple[bytes, bool]:
    """Reads until there is something for the caller, or the end. Nothing is handed on before the first
    whole event is here, so that a provider that fails at once can still be replaced."""
    while True:
        try:
            chunk = await stream.read()
        except UpstreamFault:
            if not bridge.complete:
                raise
            chunk = b""
        if not chunk:
            return bridge.end(), True
        data = bridge.feed(chunk)
        if bridge.failure is not None:
            return b"", False
        if data:
            return data, False


def _forwarded(destination: Destination, request: Request) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(
        (name, value)
        for name, default in destination.forwarded
        if (value := request.headers.get(name, default)) is not None
    )


def _request_id(headers: Mapping[bytes, bytes]) -> str | None:
    value = headers.get(b"x-request-id") or headers.get(b"request-id")
    return value[:128].decode("latin-1") if value else None
