"""`/v1/realtime`: a WebSocket relayed to the provider whose model it names."""

from collections.abc import Mapping
from time import perf_counter
from typing import Any
from urllib.parse import parse_qs

from ai_gateway.model.call import Request
from ai_gateway.model.errors import GatewayError
from ai_gateway.pipeline import Pipeline
from ai_gateway.realtime import Message
from ai_gateway.telemetry.log import Log
from ai_gateway.telemetry.metrics import Metrics

from .asgi import Receive, Scope, Send
from .calls import new_request_id
from .last_resort import LastResort
from .websocket import deny, handshake

PATH = "/v1/realtime"
_SWITCHED = 101
_FAILED = 1011


class _Socket:
    def __init__(self, receive: Receive, send: Send, subprotocol: str | None) -> None:
        self._receive = receive
        self._send = send
        self._subprotocol = subprotocol
        self.accepted = False
        self.closed = False

    async def accept(self) -> None:
        self.accepted = True
        await self._send({"type": "websocket.accept", "subprotocol": self._subprotocol})

    async def receive(self) -> Message | None:
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            self.closed = True
            return None
        text: str | None = message.get("text")
        return text if text is not None else message["bytes"]

    async def send(self, message: Message) -> None:
        kind = "text" if isinstance(message, str) else "bytes"
        await self._send({"type": "websocket.send", kind: message})

    async def close(self, code: int, reason: str) -> None:
        if not self.closed:
            self.closed = True
            await self._send({"type": "websocket.close", "code": code, "reason": reason})

    async def deny(self, error: GatewayError, request_id: str) -> None:
        await deny(self._send, "openai_chat", error, request_id)


class RealtimeEndpoint:
    def __init__(
        self, *, pipeline: Pipeline, metrics: Metrics, log: Log, max_message_bytes: int
    ) -> None:
        self._pipeline = pipeline
        self._metrics = metrics
        self._last_resort = LastResort(PATH, metrics, log)
        self._max_message_bytes = max_message_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        received = perf_counter()
        headers, subprotocol = handshake(scope)
        socket = _Socket(receive, send, subprotocol)
        request = Request(
            id=new_request_id(),
            operation="realtime",
            dialect="openai_chat",
            endpoint=PATH,
            body=b"",
            headers=headers,
            received=received,
        )
        await receive()
        status = _SWITCHED
        try:
            model, provider = _named(scope, headers)
            await self._pipeline.realtime(request, model, provider, socket, self._max_message_bytes)
            await socket.close(1000, "")
        except GatewayError as error:
            status = error.status
            await self._end(socket, error, request.id)
        except OSError:
            # The caller left.
            pass
        except Exception as error:
            status = 500
            await self._end(socket, self._last_resort.failed(error, request.id), request.id)
        finally:
            self._metrics.observe_http("WEBSOCKET", PATH, status, perf_counter() - received)

    async def _end(self, socket: _Socket, error: GatewayError, request_id: str) -> None:
        if socket.accepted:
            await socket.close(_FAILED, error.message[:120])
        else:
            await socket.deny(error, request_id)


def _named(scope: Scope, headers: Mapping[bytes, bytes]) -> tuple[str, str | None]:
    query: dict[str, Any] = parse_qs(scope["query_string"].decode("latin-1"))
    model: str = query.get("model", [""])[0]
    if not 0 < len(model) <= 256 or not model.isprintable():
        raise GatewayError(
            "invalid_request", "Name the model: /v1/realtime?model=...", field="model"
        )
    provider = headers.get(b"x-gateway-provider")
    return model, None if provider is None else provider.decode("latin-1")[:64]
