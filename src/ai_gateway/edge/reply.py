"""A call's answer as ASGI messages, with the headers that tell its account."""

from collections.abc import Sequence
from math import ceil
from time import perf_counter

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from ai_gateway.model.attempts import attempts_trace
from ai_gateway.model.call import Outcome, Standing

from .asgi import Scope, Send
from .protocol import GatewayProtocol

_JSON = (b"content-type", b"application/json")
_REQUESTS = (
    b"x-ratelimit-limit-requests",
    b"x-ratelimit-remaining-requests",
    b"x-ratelimit-reset-requests",
)
_TOKENS = (
    b"x-ratelimit-limit-tokens",
    b"x-ratelimit-remaining-tokens",
    b"x-ratelimit-reset-tokens",
)
_EVENT_STREAM = (b"content-type", b"text/event-stream; charset=utf-8")
_STREAM_HEADERS = (
    (b"cache-control", b"no-cache"),
    # nginx would otherwise hold pieces of a stream back.
    (b"x-accel-buffering", b"no"),
)


class AsgiReply:
    """The `Reply` of one HTTP request."""

    __slots__ = ("_cycle", "_send", "begun", "outcome", "streaming")

    def __init__(self, scope: Scope, send: Send) -> None:
        self._cycle: RequestResponseCycle | None = scope.pop("gateway.cycle", None)
        """Uvicorn's own, where our protocol serves; any other server gets ASGI messages."""
        self._send = send
        self.begun = False
        self.outcome: Outcome | None = None
        """Of the call whose stream was begun."""
        self.streaming = False
        """A stream is under way, not yet ended."""

    def request_body(self) -> bytes | None:
        """The request's body where all of it is here already, as it is for all but large ones."""
        cycle = self._cycle
        if cycle is None or cycle.more_body or cycle.disconnected or cycle.flow.read_paused:
            return None
        body = bytes(cycle.body)
        cycle.body = bytearray()
        cycle.message_event.clear()
        return body

    async def whole(
        self, outcome: Outcome, body: bytes, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        head = _whole_head(outcome, body, headers)
        self.begun = True
        if self._cycle is not None:
            GatewayProtocol.answer(self._cycle, outcome.status, head, body)
            return
        await self._send({"type": "http.response.start", "status": outcome.status, "headers": head})
        await self._send({"type": "http.response.body", "body": body})

    async def all_but_the_end(
        self, outcome: Outcome, body: bytes, headers: Sequence[tuple[str, str]]
    ) -> None:
        """Like `whole`, but the exchange stays open until `end`."""
        head = _whole_head(outcome, body, headers)
        self.begun = True
        await self._send({"type": "http.response.start", "status": outcome.status, "headers": head})
        await self.piece(body)

    async def begin(self, outcome: Outcome) -> None:
        head = account(outcome)
        head.append(_EVENT_STREAM)
        head += _STREAM_HEADERS
        self.begun = self.streaming = True
        self.outcome = outcome
        if self._cycle is not None:
            GatewayProtocol.begin(self._cycle, head)
            return
        await self._send({"type": "http.response.start", "status": 200, "headers": head})

    async def piece(self, data: bytes) -> None:
        if self._cycle is not None and self.streaming:
            await GatewayProtocol.piece(self._cycle, data)
            return
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        if self._cycle is not None and self.streaming:
            self.streaming = False
            GatewayProtocol.end(self._cycle)
            return
        self.streaming = False
        await self._send({"type": "http.response.body", "body": b""})


def _whole_head(
    outcome: Outcome, body: bytes, headers: Sequence[tuple[str, str]]
) -> list[tuple[bytes, bytes]]:
    head = account(outcome)
    head.append(_JSON)
    head.append((b"content-length", b"%d" % len(body)))
    for name, value in headers:
        head.append((name.encode("ascii"), _header_value(value)))
    return head


def account(outcome: Outcome) -> list[tuple[bytes, bytes]]:
    request = outcome.request
    request_id = request.id.encode("ascii")
    own = perf_counter() - request.received - outcome.upstream_seconds
    head = [
        (b"x-request-id", request_id),
        (b"x-gateway-overhead-ms", b"%.3f" % (own * 1000)),
    ]
    if outcome.call_id:
        head.append((b"x-gateway-call-id", outcome.call_id.encode("ascii")))
    if request.dialect == "anthropic_messages":
        head.append((b"request-id", request_id))
    target = outcome.target
    if target is not None:
        head.append((b"x-gateway-provider", target.provider.encode("ascii")))
        head.append((b"x-gateway-model", _header_value(target.model)))
        head.append((b"x-gateway-attempts", b"%d" % len(outcome.attempts)))
        if outcome.attempts_shown and outcome.attempts:
            trace = attempts_trace(outcome.attempts)
            head.append((b"x-gateway-attempts-trace", trace.encode("ascii")))
    if outcome.requests_left is not None:
        _add_standing(head, outcome.requests_left, _REQUESTS)
    if outcome.tokens_left is not None:
        _add_standing(head, outcome.tokens_left, _TOKENS)
    if outcome.budget_warning is not None:
        head.append((b"x-gateway-budget-warning", _header_value(outcome.budget_warning)))
    if outcome.degraded:
        head.append((b"x-gateway-degraded", b"limits"))
    if outcome.variant is not None:
        head.append((b"x-gateway-variant", outcome.variant.encode("ascii")))
    if outcome.cost is not None:
        head.append((b"x-gateway-cost-usd", f"{outcome.cost:f}".encode()))
    if outcome.cache is not None:
        head.append((b"x-gateway-cache", outcome.cache.encode()))
        if outcome.cache_key is not None:
            head.append((b"x-gateway-cache-key", _header_value(outcome.cache_key)))
        if outcome.cache_age is not None:
            head.append((b"age", b"%d" % outcome.cache_age))
    if outcome.notes:
        head.append((b"x-gateway-notes", _header_value("; ".join(outcome.notes))))
    return head


def _add_standing(
    head: list[tuple[bytes, bytes]], standing: Standing, names: tuple[bytes, bytes, bytes]
) -> None:
    head.append((names[0], b"%d" % standing.limit))
    head.append((names[1], b"%d" % standing.remaining))
    if standing.reset is not None:
        head.append((names[2], _duration(standing.reset)))


def _duration(seconds: float) -> bytes:
    """As OpenAI writes them: `17ms`, `8.64s`, `6m0s`, `1h2m3s`."""
    if seconds < 1:
        return b"%dms" % ceil(seconds * 1000)
    if seconds < 60:
        return b"%gs" % (ceil(seconds * 1000) / 1000)
    minutes, rest = divmod(ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return b"%dh%dm%ds" % (hours, minutes, rest) if hours else b"%dm%ds" % (minutes, rest)


def _header_value(text: str) -> bytes:
    """Printable ASCII; anything else is escaped, so that no name can break out of its header."""
    if text.isascii() and text.isprintable():
        return text.encode("ascii")
    return text.encode("unicode_escape")
