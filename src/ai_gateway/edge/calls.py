"""The hot endpoints: HTTP request -> Request -> pipeline -> reply, as raw ASGI callables."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from random import getrandbits
from time import perf_counter
from typing import Any

from msgspec import Struct

from ai_gateway.dialects.registry import DIALECTS
from ai_gateway.dialects.strict_json import check_model
from ai_gateway.model.call import Operation, Outcome, Request
from ai_gateway.model.carrier import Carrier
from ai_gateway.model.errors import GatewayError
from ai_gateway.pipeline import Pipeline
from ai_gateway.telemetry.log import Log
from ai_gateway.telemetry.metrics import Metrics

from .asgi import Receive, Scope, Send
from .body import CallerLeft, linger, read_body, too_large
from .last_resort import LastResort, shutting_down
from .reply import AsgiReply

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_LONGEST_TIMEOUT_MS = 86_400_000


class CallRoute(Struct, frozen=True, kw_only=True):
    """An endpoint that carries calls: its path fixes the operation and the caller's dialect."""

    path: str
    """As documented; `{model}` stands for the model's name, where the dialect has it there."""
    operation: Operation
    dialect: str
    summary: str
    websocket: bool = False
    """It takes calls over a WebSocket as well."""
    stream: bool = False
    """The path asks for a stream, in a dialect whose body does not say."""


CALL_ROUTES = (
    CallRoute(
        path="/v1/chat/completions",
        operation="chat",
        dialect="openai_chat",
        summary="Continue a conversation (OpenAI Chat Completions; JSON or server-sent events)",
        websocket=True,
    ),
    CallRoute(
        path="/v1/responses",
        operation="chat",
        dialect="openai_responses",
        summary="Continue a conversation (OpenAI Responses; JSON or server-sent events)",
        websocket=True,
    ),
    CallRoute(
        path="/v1/messages",
        operation="chat",
        dialect="anthropic_messages",
        summary="Continue a conversation (Anthropic Messages; JSON or server-sent events)",
    ),
    CallRoute(
        path="/v1/messages/count_tokens",
        operation="count_tokens",
        dialect="anthropic_messages",
        summary="Count a prompt's tokens (exact for Claude models, an estimate for others)",
    ),
    CallRoute(
        path="/v1/embeddings",
        operation="embeddings",
        dialect="openai_chat",
        summary="Turn texts into vectors (OpenAI Embeddings)",
    ),
    CallRoute(
        path="/v1/moderations",
        operation="moderations",
        dialect="openai_chat",
        summary="Classify texts and images by what may be harmful (OpenAI Moderations)",
    ),
    CallRoute(
        path="/v1/images/generations",
        operation="images",
        dialect="openai_chat",
        summary="Make images from a text (OpenAI Images; JSON answers)",
    ),
    CallRoute(
        path="/v1/rerank",
        operation="rerank",
        dialect="openai_chat",
        summary="Order documents by how well they fit a query (Jina's and Cohere's format)",
    ),
    CallRoute(
        path="/v1beta/models/{model}:generateContent",
        operation="chat",
        dialect="gemini",
        summary="Continue a conversation (Gemini; JSON)",
    ),
    CallRoute(
        path="/v1beta/models/{model}:streamGenerateContent",
        operation="chat",
        dialect="gemini",
        summary="Continue a conversation (Gemini; server-sent events, with ?alt=sse)",
        stream=True,
    ),
    CallRoute(
        path="/v1beta/models/{model}:countTokens",
        operation="count_tokens",
        dialect="gemini",
        summary="Count a prompt's tokens (Gemini; an estimate where the provider offers no count)",
    ),
    CallRoute(
        path="/v1beta/models/{model}:embedContent",
        operation="embeddings",
        dialect="gemini",
        summary="Turn a text into a vector (Gemini)",
    ),
    CallRoute(
        path="/v1beta/models/{model}:batchEmbedContents",
        operation="embeddings",
        dialect="gemini",
        summary="Turn texts into vectors (Gemini)",
    ),
)

_MODEL_PATHS = ("/v1beta/models/", "/v1/models/")
"""Google's SDKs use either of its API's versions; what is asked and answered is the same."""


def route_path(path: str) -> str:
    """The documented path that a request's path is one of."""
    if path.startswith(_MODEL_PATHS):
        _, colon, action = path.rpartition(":")
        return f"{_MODEL_PATHS[0]}{{model}}:{action}" if colon else path
    return path


def _model_in(path: str) -> str:
    """The model that a path names."""
    return path.split("/models/", 1)[1].rpartition(":")[0]


class CallEndpoint:
    def __init__(
        self,
        route: CallRoute,
        *,
        pipeline: Pipeline,
        metrics: Metrics,
        log: Log,
        max_body_bytes: int,
    ) -> None:
        self.route = route
        self._pipeline = pipeline
        self._metrics = metrics
        self._last_resort = LastResort(route.path, metrics, log)
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        received = perf_counter()
        headers = joined(scope["headers"])
        request_id = request_id_of(headers)
        reply = AsgiReply(scope, send)
        # Taken out, so that scope and connection do not hold each other: a call leaves no cycles
        # behind for the garbage collector.
        connection: Any = scope.pop("gateway.connection", None)
        carrier: Carrier | None = None
        if connection is not None:
            carrier = connection.carrier = Carrier(connection.running)
        status = 499
        self._metrics.in_flight += 1
        try:
            request = await self._read(
                scope, receive, reply, headers, request_id, received, carrier
            )
            status = (await self._pipeline.run(request, reply)).status
        except GatewayError as error:
            status = error.status
            await self._refuse(error, request_id, received, reply, receive)
        except CallerLeft:
            pass
        except asyncio.CancelledError:
            # The caller left (the connection let go of us) or the time to drain is over.
            if connection is None or connection.carrier is not None:
                status = 503
                await self._cut_short(request_id, received, reply)
        except Exception as error:
            status = 500
            internal = self._last_resort.failed(error, request_id)
            await self._refuse(internal, request_id, received, reply, receive)
        finally:
            if connection is not None:
                connection.carrier = None
            self._metrics.in_flight -= 1
            self._metrics.observe_http("POST", self.route.path, status, perf_counter() - received)

    async def _read(
        self,
        scope: Scope,
        receive: Receive,
        reply: AsgiReply,
        headers: Mapping[bytes, bytes],
        request_id: str,
        received: float,
        carrier: Carrier | None,
    ) -> Request:
        if not headers.get(b"content-type", b"").lower().startswith(b"application/json"):
            # Also what keeps a web page from posting here without the browser asking first.
            raise GatewayError(
                "unsupported_media_type",
                "The body must be JSON: send the header 'content-type: application/json'.",
                field="content-type",
                code="unsupported_media_type",
            )
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise GatewayError(
                "unsupported_media_type",
                "Compressed bodies are not taken: send it without content-encoding.",
                field="content-encoding",
                code="unsupported_media_type",
            )
        timeout = caller_timeout(headers)
        route = self.route
        path_model = _model_in(scope["path"]) if "{model}" in route.path else None
        if path_model is not None:
            check_model(path_model)
        if route.stream and b"alt=sse" not in scope["query_string"]:
            raise GatewayError(
                "invalid_request",
                "Streams are sent as server-sent events only: ask with ?alt=sse.",
                field="alt",
                code="unsupported_parameter",
            )
        body = reply.request_body()
        if body is None:
            body = await read_body(receive, headers, self._max_body_bytes)
        elif len(body) > self._max_body_bytes:
            raise too_large(self._max_body_bytes)
        return Request(
            id=request_id,
            operation=route.operation,
            dialect=route.dialect,
            endpoint=route.path,
            body=body,
            headers=headers,
            received=received,
            timeout=timeout,
            path_model=path_model,
            path_stream=route.stream,
            carrier=carrier,
        )

    async def _refuse(
        self,
        error: GatewayError,
        request_id: str,
        received: float,
        reply: AsgiReply,
        receive: Receive,
    ) -> None:
        """A refusal before, or a fault outside, the path of the call."""
        if reply.begun:
            await self._cut_short(request_id, received, reply)
            return
        body = DIALECTS[self.route.dialect].render_error(error, request_id)
        outcome = self._outcome(error, request_id, received)
        if error.kind != "too_large":
            await reply.whole(outcome, body, error.advice())
            return
        await reply.all_but_the_end(outcome, body, [("connection", "close")])
        await linger(receive)
        await reply.end()

    async def _cut_short(self, request_id: str, received: float, reply: AsgiReply) -> None:
        """Ends what cannot go on, so that the caller knows: a stream, or a call yet unanswered."""
        dialect = DIALECTS[self.route.dialect]
        if reply.streaming:
            error = GatewayError(
                "unavailable", "The gateway had to end this stream.", code="stream_cut"
            )
            number = 0 if reply.outcome is None else reply.outcome.next_number
            await reply.piece(dialect.render_stream_error(error, request_id, number))
            await reply.end()
        elif not reply.begun:
            error = shutting_down()
            outcome = self._outcome(error, request_id, received)
            body = dialect.render_error(error, request_id)
            await reply.whole(outcome, body, error.advice())

    def _outcome(self, error: GatewayError, request_id: str, received: float) -> Outcome:
        """For an answer outside the path of the call."""
        request = Request(
            id=request_id,
            operation=self.route.operation,
            dialect=self.route.dialect,
            endpoint=self.route.path,
            body=b"",
            headers={},
            received=received,
        )
        return Outcome(request=request, status=error.status)


def joined(lines: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers by name; one given in several lines is their list (RFC 9110, section 5.3)."""
    headers = dict(lines)
    if len(headers) != len(lines):
        headers = {}
        for name, value in lines:
            headers[name] = b"%b, %b" % (headers[name], value) if name in headers else value
    return headers


def request_id_of(headers: Mapping[bytes, bytes]) -> str:
    """The caller's own where it is fit to be one, else a new one."""
    given = headers.get(b"x-request-id")
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given.decode("ascii")
    return new_request_id()


def new_request_id() -> str:
    # An id, not a secret: unguessability is not needed, a system call a call would be.
    return f"req_{getrandbits(96):024x}"


def caller_timeout(headers: Mapping[bytes, bytes]) -> float | None:
    given = headers.get(b"x-gateway-timeout-ms")
    if given is None:
        return None
    if not given.isdigit() or len(given) > 9 or not 0 < int(given) <= _LONGEST_TIMEOUT_MS:
        raise GatewayError(
            "invalid_request",
            f"x-gateway-timeout-ms must be a whole number from 1 to {_LONGEST_TIMEOUT_MS}.",
            field="x-gateway-timeout-ms",
        )
    return int(given) / 1000
