"""Providers that fail in every way there is, on one port each, for `benchmarks.reliability`."""

import asyncio
import ssl
from collections.abc import Callable
from typing import cast

from .upstream import CHAT, CHAT_EVENTS

GOOD = CHAT
_STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n"
    % sum(map(len, CHAT_EVENTS))
) + b"".join(CHAT_EVENTS)
_OPEN_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
_ERROR_EVENT = b'data: {"error":{"message":"overloaded","type":"server_error","code":null}}\n\n'
_LONG_LINE = b'data: {"id":"c","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":null}]}\n\n'


def status_answer(status: int, *headers: str) -> bytes:
    body = b'{"error":{"message":"no","type":"t","code":"x"}}'
    lines = "".join(f"{h}\r\n" for h in headers)
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{lines}content-length: "
    return head.encode() + b"%d\r\n\r\n" % len(body) + body


def _ok(body: bytes, kind: bytes = b"application/json", length: int | None = None) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n"
    return head % (kind, len(body) if length is None else length) + body


class Provider:
    """Answers on one port, in the way it is told: bytes to send, or one of the words below."""

    def __init__(self) -> None:
        self.behaviour: Callable[[int], bytes | str] = lambda n: GOOD
        self.delay = 0.0
        self.calls = 0
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self), "127.0.0.1", self.port, ssl=tls
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None


_connections: set["_Connection"] = set()


def abort_connections() -> None:
    """Of every provider."""
    for connection in list(_connections):
        connection.abort()


class _Connection(asyncio.Protocol):
    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._buffer = b""
        self._stream = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        _connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        _connections.discard(self)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        at = head.find(b"content-length:")
        size = int(head[at + 15 :].split(b"\r\n", 1)[0])
        if len(self._buffer) < end + 4 + size:
            return
        body, self._buffer = self._buffer[end + 4 :], b""
        self._provider.calls += 1
        answer = self._provider.behaviour(self._provider.calls)
        self._stream = b'"stream":true' in body
        if answer == GOOD and self._stream:
            answer = _STREAM
        delay = self._provider.delay
        if answer == "late":
            answer, delay = (_STREAM if self._stream else GOOD), 3.0
        if delay:
            asyncio.get_running_loop().call_later(delay, self._send, answer)
        else:
            self._send(answer)

    def _send(self, answer: bytes | str) -> None:
        if self._transport is None or answer == "hang":
            return
        if answer == "reset":
            self._transport.abort()
        elif answer == "cut":
            self._transport.write(_ok(CHAT[-400:], length=9000))
            self._transport.close()
        elif answer == "stall":
            self._transport.write(_ok(b"{", length=9000))
        elif answer == "huge":
            self._transport.write(_ok(b"{" * 65536, length=100 * 2**20))
        elif answer == "drip":
            self._drip(_STREAM if self._stream else GOOD, 0)
        elif answer == "stall after an event":
            self._transport.write(_OPEN_STREAM + CHAT_EVENTS[0])
        else:
            assert isinstance(answer, bytes)
            self._transport.write(answer)
            if answer.startswith(_OPEN_STREAM):
                self._transport.close()

    def _drip(self, answer: bytes, at: int) -> None:
        """One byte in each packet for a while, then the rest."""
        if self._transport is None:
            return
        if at >= 64:
            self._transport.write(answer[at:])
            return
        self._transport.write(answer[at : at + 1])
        asyncio.get_running_loop().call_soon(self._drip, answer, at + 1)


FAULTS: dict[str, Callable[[int], bytes | str]] = {
    "1 refuses connections": lambda n: GOOD,  # its listener is closed instead
    "18 no such host": lambda n: GOOD,  # its name leads nowhere instead
    "19 TLS certificate of nobody": lambda n: GOOD,  # it shows one that nobody vouches for
    "13 one byte a packet": lambda n: "drip",
    "14 100 MB": lambda n: "huge",
    "2 accepts, never answers": lambda n: "hang",
    "3 first byte late (3 s)": lambda n: "late",
    "4 stalls in the body": lambda n: "stall",
    "5 resets": lambda n: "reset",
    "9 200 with HTML": lambda n: _ok(b"<html>", b"text/html"),
    "10 truncated JSON": lambda n: _ok(b'{"id":"x","choices":[{"mes'),
    "11 wrong content-length": lambda n: "cut",
    "15 429, retry-after 10^9": lambda n: status_answer(429, "retry-after: 1000000000"),
    "15 429, retry-after garbage": lambda n: status_answer(429, "retry-after: soon"),
    "16 500 in bursts of 50": lambda n: status_answer(500) if n // 50 % 2 == 0 else GOOD,
    "16 503": lambda n: status_answer(503),
    "16 529": lambda n: status_answer(529),
    "17 every third fails": lambda n: status_answer(500) if n % 3 == 0 else GOOD,
    "20 invalid UTF-8": lambda n: _ok(b'{"choices":[],"model":"\xff"}'),
    "21 gzip unasked": lambda n: _ok(b"\x1f\x8b\x08\x00"),
    "22 redirects elsewhere": lambda n: status_answer(302, "location: http://127.0.0.1:1/"),
}
STREAM_FAULTS: dict[str, Callable[[int], bytes | str]] = {
    "1 refuses connections": lambda n: GOOD,
    "2 accepts, never answers": lambda n: "hang",
    "3 first byte late (3 s)": lambda n: "late",
    "4 stalls after an event": lambda n: "stall after an event",
    "5 resets": lambda n: "reset",
    "6 closes within the first event": lambda n: _OPEN_STREAM + CHAT_EVENTS[0][:40],
    "6 closes within a later event": lambda n: _OPEN_STREAM + CHAT_EVENTS[0] + CHAT_EVENTS[1][:40],
    "7 no [DONE]": lambda n: _OPEN_STREAM + b"".join(CHAT_EVENTS[:-1]),
    "8 error event first": lambda n: _OPEN_STREAM + _ERROR_EVENT,
    "8 error event later": lambda n: _OPEN_STREAM + CHAT_EVENTS[0] + _ERROR_EVENT,
    "9 200 with HTML": lambda n: _ok(b"<html>", b"text/html"),
    "12 a line of 1 MB": lambda n: (
        _OPEN_STREAM + _LONG_LINE % (b"x" * 2**20) + b"".join(CHAT_EVENTS)
    ),
    "13 one byte a packet": lambda n: "drip",
    "15 429, retry-after 10^9": lambda n: status_answer(429, "retry-after: 1000000000"),
    "16 503": lambda n: status_answer(503),
    "17 every third fails": lambda n: status_answer(500) if n % 3 == 0 else GOOD,
}
