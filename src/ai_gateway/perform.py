"""Asking providers: the plan's destinations in turn, relayed or translated, whole or as a stream."""

from collections.abc import Sequence
from time import perf_counter

from ai_gateway.catalogue.cost import cost_of
from ai_gateway.dialects.bridge import Bridge
from ai_gateway.dialects.dialect import BadAnswer, ProviderError
from ai_gateway.dialects.exchange import Exchange
from ai_gateway.dialects.registry import PROVIDER_DIALECTS
from ai_gateway.dialects.statuses import CREDENTIAL_REFUSED
from ai_gateway.model.call import Attempt, Outcome, Request
from ai_gateway.model.errors import ErrorKind, GatewayError
from ai_gateway.reply import Reply
from ai_gateway.routing.destinations import Destination
from ai_gateway.upstream.client import (
    UpstreamAnswer,
    UpstreamClient,
    UpstreamRequest,
    UpstreamStream,
)
from ai_gateway.upstream.faults import UpstreamFault

_ERROR_HEADERS = (b"retry-after", b"retry-after-ms", b"x-should-retry")
_LARGEST_ERROR = 1024 * 1024


class Performer:
    def __init__(self, client: UpstreamClient) -> None:
        self._client = client

    async def perform(
        self,
        exchange: Exchange,
        destinations: Sequence[Destination],
        outcome: Outcome,
        reply: Reply,
    ) -> None:
        destination = destinations[0]
        outcome.target = destination.target
        here = exchange.answer_here(destination.dialect)
        if here is not None:
            outcome.status, outcome.notes = 200, here.notes
            await reply.whole(outcome, here.body)
            return
        rendered = exchange.request(destination.dialect, destination.render)
        outcome.notes = rendered.notes
        attempt = Attempt(target=destination.target, started=perf_counter())
        outcome.attempts.append(attempt)
        request = UpstreamRequest(
            address=destination.address,
            body=rendered.body,
            headers=_forwarded(destination, outcome.request) if destination.forwarded else (),
            timeout=outcome.request.timeout,
        )
        try:
            if exchange.stream:
                await self._stream(exchange, destination, request, outcome, reply)
            else:
                await self._fetch(exchange, destination, request, outcome, reply)
        except UpstreamFault as fault:
            raise _from_fault(fault, destination) from None
        except BadAnswer as bad:
            outcome.error_detail = str(bad)
            raise GatewayError(
                "upstream",
                f"The provider {destination.target.provider} sent an answer that cannot be read.",
                code="bad_upstream_answer",
            ) from None

    async def _fetch(
        self,
        exchange: Exchange,
        destination: Destination,
        request: UpstreamRequest,
        outcome: Outcome,
        reply: Reply,
    ) -> None:
        started = perf_counter()
        try:
            answer = await self._client.fetch(request)
        finally:
            outcome.upstream_seconds += perf_counter() - started
        outcome.upstream_request_id = _request_id(answer)
        if answer.status != 200:
            await self._upstream_error(answer, answer.body, destination, outcome, reply)
            return
        converted = exchange.answer(destination.dialect, answer.body)
        outcome.status = 200
        outcome.stop = converted.stop
        outcome.answered_model = converted.model
        outcome.notes += converted.notes
        if converted.usage is not None:
            outcome.usage, outcome.usage_known = converted.usage, True
            _price(outcome, destination)
        await reply.whole(outcome, converted.body)

    async def _stream(
        self,
        exchange: Exchange,
        destination: Destination,
        request: UpstreamRequest,
        outcome: Outcome,
        reply: Reply,
    ) -> None:
        bridge = exchange.bridge(destination.dialect, destination.render)
        started = perf_counter()
        stream = self._client.stream(request)
        try:
            try:
                await stream.open()
            finally:
                outcome.upstream_seconds += perf_counter() - started
            async with stream:
                outcome.upstream_request_id = _request_id(stream)
                if stream.status != 200:
                    body = await stream.read_all(_LARGEST_ERROR)
                    await self._upstream_error(stream, body, destination, outcome, reply)
                    return
                stream_type = PROVIDER_DIALECTS[destination.dialect].stream_type
                if stream_type not in (stream.header(b"content-type") or ""):
                    raise BadAnswer("a stream was asked for, and something else came")
                await _relay(bridge, stream, started, outcome, reply)
        finally:
            outcome.stop = bridge.stop
            if bridge.usage is not None:
                outcome.usage, outcome.usage_known = bridge.usage, True
                _price(outcome, destination)
        await self._close_stream(bridge, destination, outcome, reply)

    async def _close_stream(
        self, bridge: Bridge, destination: Destination, outcome: Outcome, reply: Reply
    ) -> None:
        """The provider's stream is over: for good, or short of its end."""
        provider = destination.target.provider
        if bridge.failure is not None:
            outcome.error_detail = "an error event inside the stream"
            if not reply.begun:
                raise _from_provider(bridge.failure, provider)
            # The caller has the error event already; it ends the stream.
            outcome.error = bridge.failure.kind
            await reply.end()
            return
        if not bridge.complete:
            raise GatewayError(
                "upstream",
                f"The provider {provider} closed the stream before the answer was complete.",
                code="stream_cut",
            )
        if not reply.begun:
            await reply.begin(outcome)
        await reply.end()

    async def _upstream_error(
        self,
        answer: UpstreamAnswer | UpstreamStream,
        body: bytes,
        destination: Destination,
        outcome: Outcome,
        reply: Reply,
    ) -> None:
        """A provider's refusal: to the letter where the caller speaks its dialect, else translated.

        What concerns the gateway's own account is told as the gateway's fault, without the text.
        """
        provider = PROVIDER_DIALECTS[destination.dialect]
        body = _without(body, destination.secret)
        error = provider.parse_error(answer.status, body)
        headers = [(n.decode(), v) for n in _ERROR_HEADERS if (v := answer.header(n)) is not None]
        outcome.error_detail = f"the provider answered {answer.status}"
        relayable = (
            destination.dialect == outcome.request.dialect
            and 400 <= answer.status < 600
            and answer.status not in CREDENTIAL_REFUSED
            and body[:1] == b"{"
        )
        if relayable:
            outcome.error = error.kind
            outcome.status = answer.status
            await reply.whole(outcome, body, headers)
            return
        refusal = _from_provider(error, destination.target.provider)
        if 500 <= answer.status < 600:
            # Relayed or translated, a provider's own fault keeps its status.
            refusal.status = answer.status
        refusal.headers = headers
        raise refusal


async def _relay(
    bridge: Bridge, stream: UpstreamStream, started: float, outcome: Outcome, reply: Reply
) -> None:
    """Hands pieces on as they come. Nothing is sent before the first whole event is here, so that
    a provider that fails at once still gets its caller a plain error."""
    while True:
        waited = perf_counter()
        try:
            chunk = await stream.read()
        except UpstreamFault:
            if not bridge.complete:
                raise
            # The answer is whole; how its connection ended is nothing to the caller.
            break
        finally:
            now = perf_counter()
            outcome.upstream_seconds += now - waited
        if not chunk:
            break
        data = bridge.feed(chunk)
        if outcome.first_token_seconds is None and bridge.first_content:
            outcome.first_token_seconds = now - started
        if bridge.failure is not None and not reply.begun:
            return
        if data:
            if not reply.begun:
                outcome.status = 200
                await reply.begin(outcome)
            await reply.piece(data)
    data = bridge.end()
    if data and (reply.begun or bridge.failure is None):
        if not reply.begun:
            outcome.status = 200
            await reply.begin(outcome)
        await reply.piece(data)


def _forwarded(destination: Destination, request: Request) -> list[tuple[bytes, bytes]]:
    return [
        (name, value)
        for name, default in destination.forwarded
        if (value := request.headers.get(name, default)) is not None
    ]


def _request_id(answer: UpstreamAnswer | UpstreamStream) -> str | None:
    value = answer.header(b"x-request-id") or answer.header(b"request-id")
    return value[:128] if value else None


def _price(outcome: Outcome, destination: Destination) -> None:
    if destination.facts.prices is not None:
        outcome.cost = cost_of(outcome.usage, destination.facts.prices)


def _without(body: bytes, secret: str | None) -> bytes:
    """A provider's words without the credential it was shown, should it echo it."""
    return body if secret is None else body.replace(secret.encode(), b"***")


def _from_fault(fault: UpstreamFault, destination: Destination) -> GatewayError:
    kind: ErrorKind = "timeout" if fault.cause == "timeout" else "upstream"
    return GatewayError(
        kind,
        f"{destination.target.provider}: {fault.message}.",
        code=f"upstream_{fault.cause}",
    )


def _from_provider(error: ProviderError, provider: str) -> GatewayError:
    return GatewayError(
        error.kind, f"{provider}: {error.message}", field=error.field, code=error.code
    )
