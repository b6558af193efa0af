"""A realtime session (platform.openai.com/docs/guides/realtime-websocket): a caller's socket and a
provider's, relayed both ways, message by message and to the letter.

What the session costs is told by its events: each `response.created` is admitted like a call, each
`response.done` settles it with the usage it tells. One that is not admitted is cancelled, and ends the
session.
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any, Protocol
from urllib.parse import quote

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ai_gateway.catalogue.cost import cost_of
from ai_gateway.dialects.openai_chat.errors import render_error
from ai_gateway.ledger.record import new_call_id
from ai_gateway.limits.limits import Admission
from ai_gateway.model.call import Attempt, Caller, Outcome, Request
from ai_gateway.model.errors import GatewayError
from ai_gateway.model.usage import Usage
from ai_gateway.routing.gates import Gate

_OPEN_SECONDS = 10.0
_GONE = 1001
_REFUSED = 1008
_FAILED = 1011

Message = str | bytes


class Socket(Protocol):
    """The caller's end."""

    async def accept(self) -> None:
        """The session is open."""
        ...

    async def receive(self) -> Message | None:
        """None once the caller has closed it."""
        ...

    async def send(self, message: Message) -> None: ...
    async def close(self, code: int, reason: str) -> None: ...


class _Details(Struct, frozen=True):
    cached_tokens: int | None = None
    audio_tokens: int | None = None


class _WireUsage(Struct, frozen=True):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_token_details: _Details | None = None
    output_token_details: _Details | None = None


class _Response(Struct, frozen=True):
    id: str = ""
    status: str = ""
    usage: _WireUsage | None = None


class _Event(Struct, frozen=True):
    type: str = ""
    response: _Response | None = None


_decode_event = msgspec.json.Decoder(_Event)
_TELLING = ('"response.created"', '"response.done"')
"""Inside a text their quotes would be escaped."""


class SessionAccount:
    """Each response of a session as a call of its own: admitted, and settled once."""

    def __init__(
        self,
        request: Request,
        caller: Caller,
        gate: Gate,
        admit: Callable[[Outcome], Awaitable[Admission | None]],
        settle: Callable[[Outcome, Admission | None], None],
    ) -> None:
        self._request = request
        self._caller = caller
        self._gate = gate
        self._admit = admit
        self._settle = settle
        self._open: dict[str, tuple[Outcome, Admission | None]] = {}

    async def begin(self, response_id: str) -> None:
        """Raises GatewayError."""
        now = perf_counter()
        outcome = Outcome(
            request=replace(self._request, received=now),
            call_id=new_call_id(),
            caller=self._caller,
            requested_model=self._gate.target.model,
            target=self._gate.target,
            stream=True,
        )
        admission = await self._admit(outcome)
        outcome.attempts.append(Attempt(target=self._gate.target, started=now))
        self._open[response_id] = (outcome, admission)

    def done(self, response_id: str, usage: Usage | None, status: str) -> None:
        held = self._open.pop(response_id, None)
        if held is None:
            return
        outcome, admission = held
        outcome.status = 200
        if status == "cancelled":
            outcome.error = "cancelled"
        elif status == "failed":
            outcome.error = "upstream"
        if usage is not None:
            outcome.usage, outcome.usage_known = usage, True
            if self._gate.prices is not None:
                outcome.cost = cost_of(usage, self._gate.prices)
        seconds = perf_counter() - outcome.request.received
        outcome.attempts[0].seconds = outcome.upstream_seconds = seconds
        self._settle(outcome, admission)

    def close(self) -> None:
        """The session is over, and with it what had not ended."""
        for response_id in list(self._open):
            self.done(response_id, None, "cancelled")


async def relay(
    gate: Gate, model: str, socket: Socket, account: SessionAccount, *, most_bytes: int
) -> None:
    """Until either end closes. Raises GatewayError where the provider cannot be reached."""
    from websockets.exceptions import ConnectionClosed

    async with await _connect(gate, model, most_bytes) as upstream:
        await socket.accept()
        outward = asyncio.ensure_future(_to_provider(socket, upstream))
        inward = asyncio.ensure_future(_to_caller(socket, upstream, account))
        try:
            await asyncio.wait((outward, inward), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (outward, inward):
                task.cancel()
            ended = await asyncio.gather(outward, inward, return_exceptions=True)
        for outcome in ended:
            # Either end may leave at any time; whatever else went wrong is told.
            if isinstance(outcome, Exception) and not isinstance(
                outcome, ConnectionClosed | OSError
            ):
                raise outcome


async def _connect(gate: Gate, model: str, most_bytes: int) -> Any:
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidHandshake

    class NoRedirects(connect):
        def process_redirect(self, exc: Exception) -> Exception:
            # One must not carry a credential to another host.
            return exc

    address = gate.base_url.replace("http", "ws", 1) + f"/realtime?model={quote(model, safe='')}"
    try:
        return await NoRedirects(
            address,
            additional_headers=dict(gate.headers),
            open_timeout=_OPEN_SECONDS,
            max_size=most_bytes,
            compression=None,
            proxy=None,
        )
    except (OSError, InvalidHandshake, TimeoutError) as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        said = f"it answered {status}" if status is not None else "it could not be reached"
        raise GatewayError(
            "upstream",
            f"{gate.target.provider} did not open a realtime session: {said}.",
            code="upstream_realtime",
        ) from None


async def _to_provider(socket: Socket, upstream: Any) -> None:
    while (message := await socket.receive()) is not None:
        await upstream.send(message)


async def _to_caller(socket: Socket, upstream: Any, account: SessionAccount) -> None:
    from websockets.exceptions import ConnectionClosed

    try:
        while True:
            message: Message = await upstream.recv()
            if isinstance(message, str) and any(mark in message for mark in _TELLING):
                await _account(message, upstream, account)
            await socket.send(message)
    except ConnectionClosed as closed:
        code = closed.rcvd.code if closed.rcvd is not None else _FAILED
        reason = closed.rcvd.reason if closed.rcvd is not None else "the provider's end broke"
        # Some codes are never sent, only told (RFC 6455, section 7.4.1).
        await socket.close(_GONE if code in (1005, 1006, 1015) else code, reason[:120])
    except GatewayError as refused:
        error = msgspec.json.decode(render_error(refused, ""))["error"]
        told = msgspec.json.encode({"type": "error", "event_id": "", "error": error})
        await socket.send(told.decode())
        await socket.close(_REFUSED, "not admitted")


async def _account(message: str, upstream: Any, account: SessionAccount) -> None:
    """Raises GatewayError."""
    try:
        event = _decode_event.decode(message)
    except (msgspec.DecodeError, RecursionError):
        return
    response = event.response
    if response is None:
        return
    if event.type == "response.created":
        try:
            await account.begin(response.id)
        except GatewayError:
            cancel = {"type": "response.cancel", "response_id": response.id}
            await upstream.send(msgspec.json.encode(cancel).decode())
            raise
    elif event.type == "response.done":
        account.done(response.id, _usage(response.usage), response.status)


def _usage(told: _WireUsage | None) -> Usage | None:
    if told is None:
        return None
    given, made = told.input_token_details or _Details(), told.output_token_details or _Details()
    return Usage(
        input_tokens=told.input_tokens or 0,
        output_tokens=told.output_tokens or 0,
        cache_read_tokens=given.cached_tokens or 0,
        input_audio_tokens=given.audio_tokens or 0,
        output_audio_tokens=made.audio_tokens or 0,
    )
