"""Uvicorn's HTTP/1.1 protocol, held a little tighter.

- The head of a request is bounded (431), which llhttp alone does not do.
- Trailers never become headers.
- A call whose caller leaves is cancelled at once, and with it its upstream request: the task that
  carries the call registers itself by the scope's `gateway.connection`.

Conflicting or repeated `Content-Length` and `Transfer-Encoding` are refused by llhttp itself.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 256

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s"
)
_TOO_LARGE_BODY = (
    b'{"error":{"message":"The request head is larger than 64 KiB or has more than 256 headers.",'
    b'"type":"invalid_request_error","param":null,"code":"headers_too_large"}}'
)


class GatewayProtocol(HttpToolsProtocol):
    carrier: asyncio.Task[Any] | None = None
    """The task that carries the call in hand, while its caller's leaving should cancel it."""
    _head_bytes = 0
    _in_head = False
    _refused = False

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._in_head and self._head_bytes + len(data) > MAX_HEAD_BYTES:
            # One endless header never reaches on_header: count what came of it.
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
            self._refuse_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["gateway.connection"] = self  # type: ignore[typeddict-unknown-key]
        self._head_bytes = 0
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        self._head_bytes += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return
        self._head_bytes += len(name) + len(value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._head_bytes > MAX_HEAD_BYTES or len(self.headers) > MAX_HEADERS:
            self._refuse_head()
            return
        super().on_headers_complete()
        self.scope["gateway.cycle"] = self.cycle  # type: ignore[typeddict-unknown-key]

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._refused:
            super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.carrier is not None:
            self.carrier.cancel()
            self.carrier = None

    @staticmethod
    def answer(
        cycle: RequestResponseCycle, status: int, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> None:
        """A whole answer in one write, where ASGI's two messages would make two.

        Names and values must be fit for a head; ours are made by `reply.py`.
        """
        if cycle.disconnected or cycle.response_started:
            return
        lines = [STATUS_LINE[status]]
        for name, value in cycle.default_headers:
            lines += (name, b": ", value, b"\r\n")
        for name, value in headers:
            lines += (name, b": ", value, b"\r\n")
        if not cycle.keep_alive:
            lines.append(b"connection: close\r\n")
        lines += (b"\r\n", body)
        cycle.transport.write(b"".join(lines))
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()

    def _refuse_head(self) -> None:
        self._refused = True
        if not self.transport.is_closing():
            self.transport.write(_TOO_LARGE % (len(_TOO_LARGE_BODY), _TOO_LARGE_BODY))
            self.transport.close()
