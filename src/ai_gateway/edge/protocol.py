"""Uvicorn's HTTP/1.1 protocol, held a little tighter.

- Callers are refused (503) before they have taken the last open files, which calls to providers need.
- The head of a request is bounded in size (431), and a request that stops coming in time (408),
  which llhttp alone does not do.
- A caller who stops reading is let go in time.
- Trailers never become headers.
- A call whose caller leaves is cancelled at once, and with it its upstream request: whoever carries
  the call says so by the scope's `gateway.connection`.
- A connection that is kept alive has one timer, not one for each request.
- An offer to upgrade that is not taken is passed over (RFC 9110, section 7.8). llhttp stops reading
  at one, body and all, and Java's HttpClient makes one (h2c) with its first request.

Conflicting or repeated `Content-Length` and `Transfer-Encoding` are refused by llhttp itself.
"""

import asyncio
import os
import resource
from contextlib import suppress
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from ai_gateway.model.carrier import Carrier

MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 256
PATIENCE = 30.0
"""Seconds for a whole head, and for each next piece of a body."""
READING_PATIENCE = 300.0
"""Seconds that a caller who has been sent more than it reads may read nothing of it."""

_REFUSAL = (
    b"HTTP/1.1 %b\r\n"
    b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
)
_REFUSAL_BODY = (
    b'{"error":{"message":"%b","type":"invalid_request_error","param":null,"code":"%b"}}'
)
_TOO_LARGE = (
    b"431 Request Header Fields Too Large",
    b"The request head is larger than 64 KiB or has more than 256 headers.",
    b"headers_too_large",
)
_NO_ROOM = (
    b"503 Service Unavailable\r\nretry-after: 1",
    b"The gateway has no room for more connections. Try again in a second.",
    b"gateway_exhausted",
)
_TOO_SLOW = (
    b"408 Request Timeout",
    b"The request stopped coming for 30 seconds.",
    b"request_too_slow",
)
_NOT_HTTP = (
    b"400 Bad Request",
    b"This is not a well-formed HTTP/1.1 request.",
    b"invalid_http",
)
_RESERVE = 4
"""One part in so many of the files that may be open is left for providers' connections and the rest."""
_OFFERS = (b"upgrade", b"http2-settings")


Lines = list[tuple[bytes, bytes]]
"""Headers, by their names in lower case."""


def _head(cycle: RequestResponseCycle, status: int, headers: Lines) -> list[bytes]:
    """All of it but the empty line."""
    lines = [STATUS_LINE[status]]
    for name, value in cycle.default_headers:
        lines += (name, b": ", value, b"\r\n")
    for name, value in headers:
        lines += (name, b": ", value, b"\r\n")
    if not cycle.keep_alive:
        lines.append(b"connection: close\r\n")
    return lines


def _complete(cycle: RequestResponseCycle) -> None:
    cycle.response_complete = True
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()


def _is_near_the_limit(transport: asyncio.Transport) -> bool:
    """Files are numbered from below, so a connection's own number tells how many there are."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return transport.get_extra_info("socket").fileno() > most - most // _RESERVE


def _take_what_came(transport: asyncio.Transport) -> None:
    """A connection that is closed with its request unread is reset, and the caller never sees why."""
    with suppress(OSError):
        os.read(transport.get_extra_info("socket").fileno(), MAX_HEAD_BYTES)


class GatewayProtocol(HttpToolsProtocol):
    running: asyncio.Task[Any] | None = None
    """The task of the request in hand."""
    carrier: Carrier | None = None
    """Of the call in hand, while its caller's leaving matters to it."""
    _idle_since = 0.0
    """When the last request and its answer were complete, by the loop's clock."""
    url: bytes
    _in_head = False
    _head_bytes = 0
    """What the lines of the head came to, as far as they have been parsed."""
    _unended_bytes = 0
    """What came without ending the head: an endless line is never parsed as one."""
    _incomplete = True
    """A request is awaited or under way."""
    _heard = False
    """Something came since the last look."""
    _lookout: asyncio.TimerHandle | None = None
    _stuck: asyncio.TimerHandle | None = None
    _declined = False
    """The head in hand offers an upgrade that is not taken."""
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if _is_near_the_limit(transport):
            _take_what_came(transport)
            self._refuse(*_NO_ROOM)
            return
        self._look_out()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._heard = True
        was_in_head = self._in_head
        self._parse(data)
        if self._incomplete and not self._refused:
            if self._in_head:
                if was_in_head:
                    self._unended_bytes += len(data)
                if max(self._head_bytes, self._unended_bytes) > MAX_HEAD_BYTES:
                    self._refuse(*_TOO_LARGE)
                    return
            if self._lookout is None:
                self._look_out()

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse(*_NOT_HTTP)
        except httptools.HttpParserUpgrade as offer:
            if self._declined:
                self._read_again(data[offer.args[0] :])
            elif self._should_upgrade():
                self._unset_keepalive_if_required()
                self.handle_websocket_upgrade()

    def _read_again(self, rest: bytes) -> None:
        """The head anew, without the offer it made; then what stood behind it."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (method, self.url, version)]
        for name, value in self.headers:
            if name == b"connection":
                options = [o.strip() for o in value.lower().split(b",")]
                value = b", ".join(o for o in options if o not in _OFFERS)
            if name not in _OFFERS:
                lines.append(b"%b: %b" % (name, value))
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._parse(b"\r\n".join(lines) + b"\r\n\r\n" + rest)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["gateway.connection"] = self  # type: ignore[typeddict-unknown-key]
        self._head_bytes = self._unended_bytes = 0
        self._in_head = self._incomplete = True
        self._declined = False

    def on_url(self, url: bytes) -> None:
        self._head_bytes += len(url)
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # In place of uvicorn's own, which would be another call for each header.
        if not self._in_head:
            return
        self._head_bytes += len(name) + len(value)
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._head_bytes > MAX_HEAD_BYTES or len(self.headers) > MAX_HEADERS:
            self._refuse(*_TOO_LARGE)
            return
        if self.parser.should_upgrade() and not self._should_upgrade():
            self._declined = self.parser.get_method() != b"CONNECT"
            if self._declined:
                return
        super().on_headers_complete()
        self.scope["gateway.cycle"] = self.cycle  # type: ignore[typeddict-unknown-key]

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._refused or self._declined:
            return
        self._incomplete = False
        if self._lookout is not None:
            self._lookout.cancel()
            self._lookout = None
        super().on_message_complete()
        cycle = self.cycle
        refused = cycle and cycle.response_complete and not self.parser.should_upgrade()
        if refused and not self.transport.is_closing():
            # Before all of it had come; the time may have run out in between.
            self._begin_to_idle()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        task = self.running = self.loop.create_task(cycle.run_asgi(app))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._begin_to_idle()

    def _begin_to_idle(self) -> None:
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._keep_alive_for(self.timeout_keep_alive)

    def _keep_alive_for(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        if self._incomplete or not self.cycle or not self.cycle.response_complete:
            # Its end will start the time anew.
            return
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._keep_alive_for(left)
        elif not self.transport.is_closing():
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        for timer in (self._lookout, self._stuck):
            if timer is not None:
                timer.cancel()
        self._lookout = self._stuck = None
        if self.carrier is not None:
            carrier, self.carrier = self.carrier, None
            carrier.caller_left()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stuck = self.loop.call_later(READING_PATIENCE, self.transport.abort)

    def resume_writing(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None
        super().resume_writing()

    @staticmethod
    def answer(cycle: RequestResponseCycle, status: int, headers: Lines, body: bytes) -> None:
        """A whole answer in one write, where ASGI's two messages would make two.

        Names and values must be fit for a head; ours are made by `reply.py`.
        """
        if cycle.disconnected or cycle.response_started:
            return
        head = _head(cycle, status, headers)
        head += (b"\r\n", body)
        cycle.transport.write(b"".join(head))
        cycle.response_started = True
        _complete(cycle)

    @staticmethod
    def begin(cycle: RequestResponseCycle, headers: Lines) -> None:
        """The head of a stream (status 200), whose pieces follow by `piece`, then `end`."""
        if cycle.disconnected or cycle.response_started:
            return
        head = _head(cycle, 200, headers)
        head.append(b"transfer-encoding: chunked\r\n\r\n")
        cycle.transport.write(b"".join(head))
        cycle.response_started = cycle.chunked_encoding = True
        cycle.waiting_for_100_continue = False

    @staticmethod
    async def piece(cycle: RequestResponseCycle, data: bytes) -> None:
        """Waits while the caller does not read."""
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        if data and not cycle.disconnected:
            cycle.transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    @staticmethod
    def end(cycle: RequestResponseCycle) -> None:
        if not cycle.disconnected and not cycle.response_complete:
            cycle.transport.write(b"0\r\n\r\n")
            _complete(cycle)

    def _look_out(self) -> None:
        self._heard = False
        self._lookout = self.loop.call_later(PATIENCE, self._look)

    def _look(self) -> None:
        """A head must be whole by now; a body must have grown, unless we held it back ourselves."""
        self._lookout = None
        if self._in_head:
            self._refuse(*_TOO_SLOW)
        elif self._heard or self.flow.read_paused:
            self._look_out()
        elif not self.cycle:
            # Not a byte has come.
            self.transport.close()
        else:
            self._refuse(*_TOO_SLOW)

    def _refuse(self, status: bytes, message: bytes, code: bytes) -> None:
        """Ends the connection, with an answer unless it would be taken for another request's."""
        self._refused = True
        cycle = self.cycle
        unanswered = bool(cycle) and not cycle.response_complete
        its_own = unanswered and cycle.more_body and not cycle.response_started
        if (not unanswered or (its_own and not self.pipeline)) and not self.transport.is_closing():
            body = _REFUSAL_BODY % (message, code)
            self.transport.write(_REFUSAL % (status, len(body), body))
        self.transport.close()
