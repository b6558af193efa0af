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
import re
import resource
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

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
_PATH_ALONE = re.compile(rb"/[!-\"$->@-~]*")
"""A request's target that is nothing else: printable, no `?` and no `#`."""


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
    app: Any
    url: bytes
    _in_head = False
    _came = 0
    """The bytes of the piece in hand."""
    _head_at_most = 0
    """The bytes of the pieces in which the head in hand came, which may hold more than the head."""
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
    _upgrading = False
    """It asks for a WebSocket."""
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
        self._came = came = len(data)
        was_in_head = self._in_head
        if was_in_head:
            self._head_at_most += came
        self._parse(data)
        if self._incomplete and not self._refused:
            if self._in_head:
                if was_in_head:
                    self._unended_bytes += came
                if self._unended_bytes > MAX_HEAD_BYTES or self._head_is_too_large():
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

    def _head_is_too_large(self) -> bool:
        """As far as it has been parsed. Counted first, so that a head that comes by the byte costs no more
        each time than a head may hold."""
        if len(self.headers) > MAX_HEADERS:
            return True
        if self._head_at_most <= MAX_HEAD_BYTES:
            return False
        return len(self.url) + sum(len(n) + len(v) for n, v in self.headers) > MAX_HEAD_BYTES

    # In place of uvicorn's own from here on, which would be another call for each: what a request
    # brings is looked at once.

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._head_at_most, self._unended_bytes = self._came, 0
        self._in_head = self._incomplete = True
        self._declined = self._upgrading = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._refused:
            # It came behind the one that was refused.
            return
        parser = self.parser
        if self._head_is_too_large():
            self._refuse(*_TOO_LARGE)
            return
        method = parser.get_method()
        self.scope = scope = self._scope(method)
        if parser.should_upgrade():
            self._upgrading = self._should_upgrade()
            self._declined = not self._upgrading and method != b"CONNECT"
            if self._upgrading or self._declined:
                return
        before = self.cycle
        version = scope["http_version"]
        cycle = self.cycle = RequestResponseCycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        scope["gateway.connection"] = self
        scope["gateway.cycle"] = cycle
        if not before or before.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:
            # One call after the other, however many have been sent.
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def _scope(self, method: bytes) -> Any:
        """ASGI's dictionary. Raises HttpParserInvalidURLError."""
        url, query = self.url, b""
        if _PATH_ALONE.fullmatch(url) is None:
            parsed = httptools.parse_url(url)
            url, query = parsed.path, parsed.query or b""
        path = url.decode("ascii")
        return {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": self.parser.get_http_version(),
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": "",
            "headers": self.headers,
            "method": method.decode("ascii"),
            "path": unquote(path) if "%" in path else path,
            "raw_path": url,
            "query_string": query,
        }

    def on_body(self, body: bytes) -> None:
        cycle = self.cycle
        if self._refused or self._upgrading or cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        if self._refused or self._declined:
            return
        self._incomplete = False
        if self._lookout is not None:
            self._lookout.cancel()
            self._lookout = None
        if self._upgrading:
            return
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.more_body = False
            cycle.message_event.set()
        elif not self.transport.is_closing():
            # Refused before all of it had come; the time may have run out in between.
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
