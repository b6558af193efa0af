"""Calls over a WebSocket, on the paths that also take them by POST.

Plain: a message is a request's body, the answer is a message, or a message for each event of a stream
(Chat ends with `[DONE]`); one call at a time. On `/v1/responses` that is OpenAI's own WebSocket mode:
`{"type": "response.create", ...}`, answered by the stream's events, cut by `response.cancel`.

In envelopes, many at a time: `{"type": "call", "id": "a", "body": {...}}` is answered by `answer`, or by
`begin`, `chunk`s and `done`; `{"type": "cancel", "id": "a"}` cuts it. Each carries the call's `id`.

A slow reader holds its calls back, and they their providers; a caller who leaves cancels its calls.
"""

import asyncio
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.json import encode

from ai_gateway.access.access import Access
from ai_gateway.dialects.registry import DIALECTS
from ai_gateway.dialects.sse import parse_events
from ai_gateway.model.call import Outcome, Request
from ai_gateway.model.carrier import CALLER_LEFT
from ai_gateway.model.errors import GatewayError
from ai_gateway.pipeline import Pipeline
from ai_gateway.telemetry.log import Log
from ai_gateway.telemetry.metrics import Metrics

from .asgi import Receive, Scope, Send
from .calls import CallRoute, caller_timeout, joined, new_request_id
from .head import account, pairs
from .last_resort import LastResort

_MOST_AT_ONCE = 64
_KEY_PROTOCOL = "openai-insecure-api-key."
"""By which a browser, which cannot set headers, sends its key (OpenAI's convention)."""

_UNSUPPORTED_DATA = 1003
_ENDING = 1012
"""By which the server itself ends a socket as it shuts down."""
_TOO_QUIET = 4408
_OVER_LIMIT = "too_many_calls"


def handshake(scope: Scope) -> tuple[dict[bytes, bytes], str | None]:
    """The headers, with a key that came as a subprotocol in its place, and the subprotocol to speak."""
    headers = joined(scope["headers"])
    chosen: str | None = None
    for offered in scope["subprotocols"]:
        if offered.startswith(_KEY_PROTOCOL):
            key = offered.removeprefix(_KEY_PROTOCOL).encode("latin-1", "replace")
            headers.setdefault(b"authorization", b"Bearer " + key)
        elif chosen is None:
            chosen = offered
    return headers, chosen


async def deny(send: Send, dialect: str, error: GatewayError, request_id: str) -> None:
    """Instead of opening the socket (ASGI's Websocket Denial Response)."""
    body = DIALECTS[dialect].render_error(error, request_id)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    headers += [(name.encode(), value.encode()) for name, value in error.advice()]
    start = {"type": "websocket.http.response.start", "status": error.status}
    await send({**start, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


class _Message(Struct, frozen=True):
    type: str | None = None
    id: str | int | None = None
    body: Raw = Raw()


_decode_message = msgspec.json.Decoder(_Message)
_decode_fields = msgspec.json.Decoder(dict[str, Raw])


class WebSocketReply:
    """The `Reply` of one call."""

    def __init__(self, send: Send, call_id: str | int | None) -> None:
        self._send = send
        self._id = call_id
        self.begun = False

    async def whole(
        self, outcome: Outcome, body: bytes, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        self.begun = True
        if self._id is None:
            await self._text(body)
            return
        told = {**_told(outcome), **dict(headers)}
        await self._envelope("answer", status=outcome.status, headers=told, data=Raw(body))

    async def begin(self, outcome: Outcome) -> None:
        self.begun = True
        if self._id is not None:
            await self._envelope("begin", status=200, headers=_told(outcome))

    async def piece(self, data: bytes) -> None:
        for event in parse_events(data):
            if self._id is None:
                await self._text(event.data)
            elif event.data != b"[DONE]":
                await self._envelope("chunk", data=Raw(event.data))

    async def end(self) -> None:
        if self._id is not None:
            await self._envelope("done")

    async def error(self, error: GatewayError, dialect: str) -> None:
        body = DIALECTS[dialect].render_error(error, "")
        if self._id is None:
            await self._text(body)
        else:
            told = dict(error.advice())
            await self._envelope("answer", status=error.status, headers=told, data=Raw(body))

    async def _envelope(self, kind: str, **fields: object) -> None:
        await self._text(encode({"type": kind, "id": self._id, **fields}))

    async def _text(self, data: bytes) -> None:
        await self._send({"type": "websocket.send", "text": data.decode("utf-8", "replace")})


def _told(outcome: Outcome) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in pairs(account(outcome))}


class WebSocketEndpoint:
    """Calls of one route."""

    def __init__(
        self,
        route: CallRoute,
        *,
        access: Access,
        pipeline: Pipeline,
        metrics: Metrics,
        log: Log,
        idle_seconds: float = 300.0,
    ) -> None:
        self.route = route
        self._access = access
        self.pipeline = pipeline
        self.metrics = metrics
        self.last_resort = LastResort(route.path, metrics, log)
        self.idle_seconds = idle_seconds
        """A socket on which nothing happens for that long is closed."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        received = perf_counter()
        headers, subprotocol = handshake(scope)
        await receive()
        try:
            # Each call asks again; this keeps strangers from holding sockets.
            await self._access.caller(headers)
        except GatewayError as error:
            await deny(send, self.route.dialect, error, new_request_id())
            seconds = perf_counter() - received
            self.metrics.observe_http("WEBSOCKET", self.route.path, error.status, seconds)
            return
        await send({"type": "websocket.accept", "subprotocol": subprotocol})
        await _Session(self, headers, receive, send).run()


class _Session:
    def __init__(
        self,
        endpoint: WebSocketEndpoint,
        headers: Mapping[bytes, bytes],
        receive: Receive,
        send: Send,
    ) -> None:
        self._endpoint = endpoint
        self._headers = headers
        self._receive = receive
        self._send = send
        self._calls: dict[str | int | None, asyncio.Task[None]] = {}
        self._ending = False

    async def run(self) -> None:
        try:
            while True:
                message = await self._next()
                if message is None or message["type"] == "websocket.disconnect":
                    self._ending = message is not None and message.get("code") == _ENDING
                    return
                text = message.get("text")
                if text is None:
                    await self._close(_UNSUPPORTED_DATA, "messages are JSON text")
                    return
                await self._take(text.encode())
        finally:
            calls = list(self._calls.values())
            for call in calls:
                call.cancel(None if self._ending else CALLER_LEFT)
            await asyncio.gather(*calls, return_exceptions=True)

    async def _next(self) -> Any:
        """The next message; None once the socket was closed for being idle."""
        while True:
            try:
                async with asyncio.timeout(self._endpoint.idle_seconds):
                    return await self._receive()
            except TimeoutError:
                if not self._calls:
                    await self._close(_TOO_QUIET, "nothing was asked for too long")
                    return None

    async def _close(self, code: int, reason: str) -> None:
        await self._send({"type": "websocket.close", "code": code, "reason": reason})

    async def _take(self, text: bytes) -> None:
        route = self._endpoint.route
        try:
            message = _decode_message.decode(text)
        except (msgspec.DecodeError, RecursionError):
            # The call's own parser says what is wrong with it.
            message = _Message()
        if message.type in ("cancel", "response.cancel"):
            call = self._calls.get(message.id)
            if call is not None:
                call.cancel(CALLER_LEFT)
            return
        call_id = message.id if message.type == "call" else None
        reply = WebSocketReply(self._send, call_id)
        if call_id in self._calls or len(self._calls) >= _MOST_AT_ONCE:
            await reply.error(_busy(call_id, self._calls), route.dialect)
            return
        if message.type == "call":
            body = bytes(message.body)
        elif message.type == "response.create":
            fields = _decode_fields.decode(text)
            del fields["type"]
            body = encode({**fields, "stream": True})
        else:
            body = text
        task = asyncio.get_running_loop().create_task(self._call(body, reply, call_id))
        self._calls[call_id] = task

        def ended(task: "asyncio.Task[None]") -> None:
            self._calls.pop(call_id, None)
            if not task.cancelled():
                # What could not be told, for the caller had left, is nobody's concern.
                task.exception()

        task.add_done_callback(ended)

    async def _call(self, body: bytes, reply: WebSocketReply, call_id: str | int | None) -> None:
        endpoint, route = self._endpoint, self._endpoint.route
        received = perf_counter()
        status = 499
        request_id = new_request_id()
        endpoint.metrics.in_flight += 1
        try:
            request = Request(
                id=request_id,
                operation=route.operation,
                dialect=route.dialect,
                endpoint=route.path,
                body=body,
                headers=self._headers,
                received=received,
                timeout=caller_timeout(self._headers),
            )
            status = (await endpoint.pipeline.run(request, reply)).status
        except GatewayError as error:
            status = error.status
            await reply.error(error, route.dialect)
        except asyncio.CancelledError as cancelled:
            status = 499 if CALLER_LEFT in cancelled.args else 503
            raise
        except OSError:
            # The caller left; there is nobody to tell.
            pass
        except Exception as error:
            status = 500
            await reply.error(endpoint.last_resort.failed(error, request_id), route.dialect)
        finally:
            endpoint.metrics.in_flight -= 1
            endpoint.metrics.observe_http(
                "WEBSOCKET", route.path, status, perf_counter() - received
            )


def _busy(call_id: str | int | None, calls: Mapping[Any, object]) -> GatewayError:
    if call_id in calls:
        what = "a call without an id" if call_id is None else "a call of this id"
        return GatewayError(
            "conflict", f"There is {what} under way; wait for its end, or use another id."
        )
    return GatewayError(
        "rate_limited",
        f"At most {_MOST_AT_ONCE} calls at once go over one socket.",
        code=_OVER_LIMIT,
        retry_after=1,
    )
