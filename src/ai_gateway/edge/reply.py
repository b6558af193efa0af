"""A call's answer as ASGI messages, with the headers that tell its account."""

from collections.abc import Sequence
from time import perf_counter

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from ai_gateway.model.call import Outcome

from .asgi import Scope, Send
from .protocol import GatewayProtocol

_JSON = (b"content-type", b"application/json")
_EVENT_STREAM = (b"content-type", b"text/event-stream; charset=utf-8")
_STREAM_HEADERS = (
    (b"cache-control", b"no-cache"),
    # nginx would otherwise hold pieces of a stream back.
    (b"x-accel-buffering", b"no"),
)


class AsgiReply:
    """The `Reply` of one HTTP request."""

    __slots__ = ("_cycle", "_send", "begun", "streaming")

    def __init__(self, scope: Scope, send: Send) -> None:
        self._cycle: RequestResponseCycle | None = scope.pop("gateway.cycle", None)
        """Uvicorn's own, where our protocol serves; any other server gets ASGI messages."""
        self._send = send
        self.begun = False
        self.streaming = False
        """A stream is under way, not yet ended."""

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
        await self._send({"type": "http.response.start", "status": 200, "headers": head})

    async def piece(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
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
    if outcome.cost is not None:
        head.append((b"x-gateway-cost-usd", f"{outcome.cost:f}".encode()))
    if outcome.cache is not None:
        head.append((b"x-gateway-cache", outcome.cache.encode()))
        if outcome.cache_age is not None:
            head.append((b"age", b"%d" % outcome.cache_age))
    if outcome.notes:
        head.append((b"x-gateway-notes", _header_value("; ".join(outcome.notes))))
    return head


def _header_value(text: str) -> bytes:
    """Printable ASCII; anything else is escaped, so that no name can break out of its header."""
    if text.isascii() and text.isprintable():
        return text.encode("ascii")
    return text.encode("unicode_escape")
