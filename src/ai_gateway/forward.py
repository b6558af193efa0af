"""Calls that pass through: bytes in, bytes out, in pieces, of whatever kind. Nothing is held whole.

For what the gateway has no words of its own for (audio, files, edits of images, a provider's other
endpoints). Who may call, how often, and what it cost is kept all the same; usage is read off the answer
where it tells any.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from time import perf_counter
from typing import Protocol
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from ai_gateway.catalogue.cost import cost_of
from ai_gateway.dialects.registry import PROVIDER_DIALECTS
from ai_gateway.dialects.statuses import CREDENTIAL_REFUSED
from ai_gateway.model.call import Attempt, Outcome
from ai_gateway.model.errors import ErrorKind, GatewayError
from ai_gateway.model.usage import Usage
from ai_gateway.routing.gates import Gate
from ai_gateway.routing.vitals import Vitals
from ai_gateway.upstream.client import ForwardedRequest, UpstreamClient, address
from ai_gateway.upstream.faults import UpstreamFault

_MOST_KEPT_JSON = 1024 * 1024
_MOST_KEPT_TAIL = 16 * 1024
_LARGEST_ERROR = 1024 * 1024
_UNTELLING = frozenset({401, 402, 403, 409, 429})
"""Refusals that concern a credential or its quota, and not the provider's health."""
_ANSWER_HEADERS = frozenset(
    {
        b"content-type",
        b"content-length",
        b"content-disposition",
        b"content-range",
        b"accept-ranges",
        b"etag",
        b"last-modified",
        b"retry-after",
    }
)

Headers = list[tuple[bytes, bytes]]


class Upload(Protocol):
    """A request's body on its way."""

    async def model(self) -> str | None:
        """The model it names, as far as can be told without holding it. Raises GatewayError."""
        ...

    def rename(self, model: str) -> None:
        """Has it name another model; to be called before it is read."""
        ...

    @property
    def length(self) -> int | None:
        """In bytes; None where it is not known beforehand."""
        ...

    def pieces(self) -> AsyncIterator[bytes]: ...


class Passing(Struct, frozen=True, kw_only=True):
    """What a caller wants passed on."""

    method: str
    path: str
    """Behind the provider's base URL, with its query."""
    headers: Mapping[str, str]
    """Those that may concern a provider."""
    upload: Upload
    provider: str | None
    """The one the caller named; None: the one whose model it is."""
    credential: int | None = None
    """The one that must be used, by its number; None: any."""
    endless: bool = False
    """The answer may stay open, and silent, as long as both ends like."""
    default_provider: str = "openai"
    """Where it goes if neither is named."""


class ForwardReply(Protocol):
    @property
    def begun(self) -> bool: ...

    async def start(self, outcome: Outcome, headers: Headers) -> None:
        """The head, with `outcome.status`."""
        ...

    async def piece(self, data: bytes) -> None: ...
    async def end(self) -> None: ...


class _Watched:
    """A call's place in the breaker of its provider. Raises GatewayError(unavailable) where that is open."""

    def __init__(self, vitals: Vitals) -> None:
        now = perf_counter()
        self._breaker = vitals.breaker
        self._vitals = vitals
        self._era = self._breaker.enter(now)
        self._told = self._good = False
        if not self._era:
            raise GatewayError(
                "unavailable",
                f"{vitals.provider} has been failing, and is left alone for a moment. Try again.",
                code="targets_unavailable",
                retry_after=max(1.0, self._breaker.retry_at - now),
            )
        vitals.in_flight += 1

    def answered(self, status: int) -> None:
        now = perf_counter()
        self._told = True
        if status == 408 or status >= 500:
            self._breaker.failed(now, self._era)
            self._vitals.note(now, failed=True)
        elif status in _UNTELLING:
            self._breaker.left(self._era)
        else:
            self._good = True
            self._breaker.began(now, self._era)
            self._vitals.note(now, failed=False)

    def failed(self, fault: UpstreamFault) -> None:
        now = perf_counter()
        if not self._told:
            self._told = True
            self._breaker.failed(now, self._era, connect=fault.cause == "connect")
        elif self._good:
            self._good = False
            self._breaker.broke(now, self._era)
        self._vitals.note(now, failed=True)

    def end(self) -> None:
        """Where nothing was told by now, the caller left or sent what cannot be read."""
        self._vitals.in_flight -= 1
        if self._good:
            self._breaker.ended(self._era)
        if not self._told:
            self._breaker.left(self._era)


class Forwarder:
    def __init__(self, client: UpstreamClient) -> None:
        self._client = client

    async def forward(
        self,
        passing: Passing,
        gate: Gate,
        outcome: Outcome,
        reply: ForwardReply,
        record: Callable[[Outcome], None],
    ) -> None:
        """`record` is called once the account is known, before the answer's last byte leaves.

        Raises GatewayError. The caller leaving, or stopping to send, stops the provider.
        """
        outcome.target = gate.target
        watched = None if gate.vitals is None else _Watched(gate.vitals)
        attempt = Attempt(target=gate.target, started=perf_counter())
        outcome.attempts.append(attempt)
        handed_on = [(n, v) for n, v in passing.headers.items() if n not in gate.own_headers]
        url = gate.base_url + _without_base(passing.path, gate.base_url)
        where = address(url, [*gate.headers, *handed_on], method=passing.method)
        try:
            async with self._client.forward(
                where, length=passing.upload.length, endless=passing.endless
            ) as sending:
                async for piece in passing.upload.pieces():
                    if not await sending.write(piece):
                        break
                attempt.status = await sending.answer()
                if watched is not None:
                    watched.answered(attempt.status)
                await self._hand_on(sending, gate, outcome, reply, record)
        except UpstreamFault as fault:
            attempt.error = fault.cause
            if fault.cause == "exhausted":
                # The want is the gateway's own: the provider is not held to be ill.
                raise GatewayError(
                    "unavailable",
                    f"{fault.message}.".capitalize(),
                    code="gateway_exhausted",
                    retry_after=1,
                ) from None
            if watched is not None:
                watched.failed(fault)
            kind: ErrorKind = "timeout" if fault.cause == "timeout" else "upstream"
            raise GatewayError(
                kind, f"{gate.target.provider}: {fault.message}.", code=f"upstream_{fault.cause}"
            ) from None
        finally:
            if watched is not None:
                watched.end()
            attempt.seconds = perf_counter() - attempt.started
            outcome.upstream_seconds += attempt.seconds

    async def _hand_on(
        self,
        sending: ForwardedRequest,
        gate: Gate,
        outcome: Outcome,
        reply: ForwardReply,
        record: Callable[[Outcome], None],
    ) -> None:
        status = outcome.attempts[-1].status
        headers = sending.headers
        outcome.upstream_request_id = _text(headers.get(b"x-request-id"))
        if status in CREDENTIAL_REFUSED or 300 <= status < 400:
            raise _refused(gate, status, await _read_all(sending))
        outcome.status = status
        if status >= 400:
            outcome.error = PROVIDER_DIALECTS["openai_chat"].parse_error(status, b"").kind
        usage = UsageReader(headers.get(b"content-type", b""))
        length = headers.get(b"content-length", b"")
        left = int(length) if length.isdigit() else -1
        await reply.start(
            outcome,
            [h for h in headers.items() if h[0] in _ANSWER_HEADERS or h[0].startswith(b"mcp-")],
        )
        while piece := await sending.read():
            if outcome.first_token_seconds is None:
                outcome.first_token_seconds = perf_counter() - outcome.attempts[-1].started
            usage.feed(piece)
            left -= len(piece)
            if left == 0:
                _account(usage.usage(), gate, outcome)
                record(outcome)
            await reply.piece(piece)
        if left != 0:
            _account(usage.usage(), gate, outcome)
            record(outcome)
        await reply.end()


def _account(usage: Usage | None, gate: Gate, outcome: Outcome) -> None:
    if usage is None:
        return
    outcome.usage, outcome.usage_known = usage, True
    if gate.prices is not None:
        outcome.cost = cost_of(usage, gate.prices)


def _without_base(path: str, base_url: str) -> str:
    """So that `/openai/v1/files` and `/openai/files` mean the same."""
    base = urlsplit(base_url).path
    return path[len(base) :] if base and path.startswith(base + "/") else path


async def _read_all(sending: ForwardedRequest) -> bytes:
    out = b""
    while len(out) < _LARGEST_ERROR and (piece := await sending.read()):
        out += piece
    return out


def _refused(gate: Gate, status: int, body: bytes) -> GatewayError:
    if status in CREDENTIAL_REFUSED:
        error = PROVIDER_DIALECTS["openai_chat"].parse_error(status, body)
        return GatewayError("upstream", error.message, code=error.code)
    return GatewayError(
        "upstream",
        f"{gate.target.provider} answered {status}, which leads elsewhere; that is not followed.",
        code="upstream_redirect",
    )


def _text(value: bytes | None) -> str | None:
    return value.decode("latin-1")[:128] if value else None


class _WireUsage(Struct, frozen=True):
    input_tokens: int | None = None
    output_tokens: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _WithUsage(Struct, frozen=True):
    usage: _WireUsage | None = None


_decode_with_usage = msgspec.json.Decoder(_WithUsage)
_decode_usage = msgspec.json.Decoder(_WireUsage)


class UsageReader:
    """Reads the usage off an answer that passes by: a JSON body's, or the last a stream tells."""

    def __init__(self, content_type: bytes) -> None:
        self._json = content_type.startswith(b"application/json")
        self._events = content_type.startswith(b"text/event-stream")
        self._kept = b""
        self._size = 0

    def feed(self, piece: bytes) -> None:
        if self._json:
            self._size += len(piece)
            self._kept = self._kept + piece if self._size <= _MOST_KEPT_JSON else b""
        elif self._events:
            self._kept = (self._kept + piece)[-_MOST_KEPT_TAIL:]

    def usage(self) -> Usage | None:
        told: _WireUsage | None = None
        try:
            if self._json and self._kept:
                told = _decode_with_usage.decode(self._kept).usage
            elif self._events:
                at = self._kept.rfind(b'"usage":')
                if at >= 0:
                    told = _last_object(self._kept[at + len(b'"usage":') :])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if told is None:
            return None
        return Usage(
            input_tokens=told.input_tokens or told.prompt_tokens or 0,
            output_tokens=told.output_tokens or told.completion_tokens or 0,
        )


def _last_object(data: bytes) -> _WireUsage | None:
    """The object at the beginning of `data`."""
    depth = 0
    for at, byte in enumerate(data):
        if byte == 0x7B:
            depth += 1
        elif byte == 0x7D:
            depth -= 1
            if depth == 0:
                return _decode_usage.decode(data[: at + 1])
    return None
