"""Endpoints whose calls pass through: audio, files, edits of images, and a provider's own paths."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import Any, Literal
from urllib.parse import unquote

from msgspec import Struct

from ai_gateway.dialects.registry import DIALECTS
from ai_gateway.forward import Headers, Passing, Upload
from ai_gateway.model.call import Outcome, Request
from ai_gateway.model.carrier import Carrier
from ai_gateway.model.errors import GatewayError
from ai_gateway.pipeline import Pipeline
from ai_gateway.telemetry.log import Log
from ai_gateway.telemetry.metrics import Metrics

from .asgi import Receive, Scope, Send
from .body import CallerLeft
from .calls import joined, request_id_of
from .head import account, pairs
from .last_resort import LastResort, shutting_down
from .reply import AsgiReply
from .uploads import FormUpload, JsonUpload, RawUpload

Body = Literal["form", "json", "any"]
_UPLOADS: dict[Body, Callable[[Receive, Mapping[bytes, bytes], int], Upload]] = {
    "form": FormUpload,
    "json": JsonUpload,
    "any": RawUpload,
}
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
_HANDED_ON = frozenset({"content-type", "accept", "idempotency-key", "range", "if-none-match"})
_HELD = frozenset({"files", "batches", "responses", "conversations"})
_HANDED_ON_PREFIXES = ("openai-", "anthropic-", "x-goog-user-")


class ForwardRoute(Struct, frozen=True, kw_only=True):
    path: str
    """As documented, such as `/v1/audio/speech`."""
    methods: frozenset[str]
    body: Body
    summary: str


_POST = frozenset({"POST"})
FORWARD_ROUTES = (
    ForwardRoute(
        path="/v1/completions", methods=_POST, body="json",
        summary="Continue a text (OpenAI's legacy Completions; JSON or server-sent events)",
    ),
    ForwardRoute(
        path="/v1/audio/speech", methods=_POST, body="json",
        summary="Speak a text (OpenAI Audio; the sound is streamed)",
    ),
    ForwardRoute(
        path="/v1/audio/transcriptions", methods=_POST, body="form",
        summary="Write down what is said (OpenAI Audio; the file passes through)",
    ),
    ForwardRoute(
        path="/v1/audio/translations", methods=_POST, body="form",
        summary="Write down what is said, in English (OpenAI Audio)",
    ),
    ForwardRoute(
        path="/v1/images/edits", methods=_POST, body="form",
        summary="Change an image (OpenAI Images; the files pass through)",
    ),
    ForwardRoute(
        path="/v1/images/variations", methods=_POST, body="form",
        summary="Vary an image (OpenAI Images)",
    ),
)  # fmt: skip

PASS_THROUGH = ForwardRoute(
    path="/{provider}/{path}",
    methods=_METHODS,
    body="any",
    summary="Anything else of a provider that PASS_THROUGH names, as it is",
)


class ForwardAsgiReply:
    def __init__(self, scope: Scope, send: Send) -> None:
        self.plain = AsgiReply(scope, send)
        self._send = send
        self._begun = False

    @property
    def begun(self) -> bool:
        return self._begun or self.plain.begun

    async def start(self, outcome: Outcome, headers: Headers) -> None:
        self._begun = True
        head = [*pairs(account(outcome)), *headers]
        await self._send({"type": "http.response.start", "status": outcome.status, "headers": head})

    async def piece(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b""})

    async def refuse(self, error: GatewayError, outcome: Outcome) -> None:
        body = DIALECTS["openai_chat"].render_error(error, outcome.request.id)
        # What is still being sent would have to be read before the next request could be.
        await self.plain.whole(outcome, body, [*error.advice(), ("connection", "close")])


Carry = Callable[[Scope, Receive, Request, Outcome, ForwardAsgiReply], Awaitable[None]]
"""Carries one call to its end, settled and answered. Raises GatewayError, CallerLeft."""


class ForwardEndpoint:
    """One call in pieces, whoever carries it: its errors told, its end counted."""

    def __init__(self, path: str, carry: Carry, *, metrics: Metrics, log: Log) -> None:
        self._path = path
        self._carry = carry
        self._metrics = metrics
        self._last_resort = LastResort(path, metrics, log)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        received = perf_counter()
        headers = joined(scope["headers"])
        request = Request(
            id=request_id_of(headers),
            operation="forward",
            dialect="openai_chat",
            endpoint=self._path,
            body=b"",
            headers=headers,
            received=received,
        )
        reply = ForwardAsgiReply(scope, send)
        outcome = Outcome(request=request)
        connection: Any = scope.pop("gateway.connection", None)
        if connection is not None:
            connection.carrier = Carrier(connection.running)
        self._metrics.in_flight += 1
        try:
            await self._carry(scope, receive, request, outcome, reply)
        except GatewayError as error:
            outcome.status = error.status
            if not reply.begun:
                await reply.refuse(error, outcome)
            else:
                _drop(connection)
        except CallerLeft:
            outcome.status = 499
        except asyncio.CancelledError:
            if connection is None or connection.carrier is not None:
                # The time to drain is over, and the caller still waits.
                await self._cut_short(outcome, reply, connection)
            outcome.status = outcome.status or 499
        except Exception as error:
            outcome.status = 500
            failed = self._last_resort.failed(error, request.id)
            if not reply.begun:
                await reply.refuse(failed, outcome)
            else:
                _drop(connection)
        finally:
            if connection is not None:
                connection.carrier = None
            self._metrics.in_flight -= 1
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.observe_http(
                method, self._path, outcome.status, perf_counter() - received
            )

    async def _cut_short(self, outcome: Outcome, reply: ForwardAsgiReply, connection: Any) -> None:
        if reply.begun:
            _drop(connection)
            return
        error = shutting_down()
        outcome.status = error.status
        await reply.refuse(error, outcome)


class ForwardedCalls:
    """Calls of one route, passed on as they are."""

    def __init__(
        self, route: ForwardRoute, pipeline: Pipeline, *, max_body_bytes: int, max_upload_bytes: int
    ) -> None:
        self._route = route
        self._pipeline = pipeline
        self._limit = max_body_bytes if route.body == "json" else max_upload_bytes

    async def carry(
        self,
        scope: Scope,
        receive: Receive,
        request: Request,
        outcome: Outcome,
        reply: ForwardAsgiReply,
    ) -> None:
        passing = self._passing(scope, receive, request.headers)
        await self._pipeline.forward(request, passing, outcome, reply)

    def _passing(self, scope: Scope, receive: Receive, headers: Mapping[bytes, bytes]) -> Passing:
        method: str = scope["method"]
        if method not in self._route.methods:
            allowed = ", ".join(sorted(self._route.methods))
            error = GatewayError("method_not_allowed", f"This path takes {allowed} requests.")
            error.headers = [("allow", allowed)]
            raise error
        raw: str = scope["raw_path"].decode("latin-1")
        provider: str | None = None
        if self._route is PASS_THROUGH:
            provider = raw.split("/", 2)[1]
        path = raw.removeprefix("/v1" if provider is None else f"/{provider}")
        _check_path(path)
        if provider is not None and _is_held(path):
            raise GatewayError(
                "permission",
                "Files, batches and stored responses are told apart by tenant: use /v1/files, "
                "/v1/batches and /v1/responses.",
                code="use_own_endpoint",
            )
        query = scope["query_string"].decode("latin-1")
        return Passing(
            method=method,
            path=f"{path}?{query}" if query else path,
            headers=_handed_on(headers),
            upload=_UPLOADS[self._route.body](receive, headers, self._limit),
            provider=provider or _named_provider(headers),
        )


def _is_held(path: str) -> bool:
    """What a provider's one account holds for every tenant."""
    plain = unquote(path).strip("/")
    return plain.removeprefix("v1/").split("/", 1)[0].lower() in _HELD


def _drop(connection: Any) -> None:
    """An answer that was begun and cannot be ended must not look whole."""
    if connection is not None and connection.transport is not None:
        connection.transport.abort()


def _handed_on(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    out: dict[str, str] = {}
    for raw, value in headers.items():
        name = raw.decode("latin-1")
        if name in _HANDED_ON or name.startswith(_HANDED_ON_PREFIXES):
            out[name] = value.decode("latin-1")
    return out


def _named_provider(headers: Mapping[bytes, bytes]) -> str | None:
    given = headers.get(b"x-gateway-provider")
    return given.decode("latin-1")[:64] if given else None


def _check_path(path: str) -> None:
    """A path must not climb out of the provider's base URL. Raises GatewayError(invalid_request)."""
    plain = unquote(path)
    segments = plain.replace("\\", "/").split("/")
    if ".." in segments or "." in segments or not plain.isprintable() or " " in plain:
        raise GatewayError(
            "invalid_request", "The path holds what a path must not.", code="invalid_path"
        )
