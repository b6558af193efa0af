"""Asking providers over HTTP, with pyreqwest (Rust's reqwest: pooling, HTTP/1.1 and HTTP/2, rustls).

Everything that knows the HTTP client is in this file, so that it can be replaced in one place.
Redirects are never followed (a redirect must not carry credentials to another host), nothing is
decompressed (no `accept-encoding` is sent, so answers come as they are), and cookies are not kept.
"""

from collections.abc import Sequence
from datetime import timedelta
from time import monotonic
from types import TracebackType
from typing import Self

from msgspec import Struct
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import (
    ConnectError,
    ConnectTimeoutError,
    PyreqwestError,
    RequestTimeoutError,
)
from pyreqwest.request import RequestBuilder
from pyreqwest.response import Response

from .faults import UpstreamFault

_CLOCK_SLACK = 0.05


class Timeouts(Struct, frozen=True, kw_only=True):
    """In seconds."""

    connect: float = 5.0
    first_byte: float = 60.0
    """Until a stream's head, and between any two pieces of it (`idle`) unless that is set apart."""
    idle: float = 60.0
    total: float = 600.0


class UpstreamRequest(Struct, frozen=True, kw_only=True):
    url: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    timeout: float | None = None
    """A shorter total time for this one, in seconds."""


class UpstreamAnswer(Struct, frozen=True, kw_only=True):
    """A whole answer. `header(name)` looks up a header, in any case; None where absent."""

    status: int
    body: bytes
    response: Response

    def header(self, name: str) -> str | None:
        return self.response.get_header(name)


class UpstreamStream:
    """An answer under way. Leaving it closes the connection, and with it the provider's work."""

    __slots__ = ("_context", "_deadline", "_reader", "_response")

    def __init__(self, request: RequestBuilder, timeout: float) -> None:
        self._context = request.build_streamed()
        self._deadline = monotonic() + timeout

    async def __aenter__(self) -> Self:
        try:
            self._response = await self._context.__aenter__()
        except PyreqwestError as error:
            raise self._fault(error) from None
        self._reader = self._response.body_reader
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._context.__aexit__(kind, error, trace)

    @property
    def status(self) -> int:
        return self._response.status

    def header(self, name: str) -> str | None:
        return self._response.get_header(name)

    async def read(self) -> bytes:
        """The next piece, of whatever size came; `b""` at the end."""
        try:
            chunk = await self._reader.read_chunk()
        except PyreqwestError as error:
            raise self._fault(error) from None
        return b"" if chunk is None else chunk.to_bytes()

    def _fault(self, error: PyreqwestError) -> UpstreamFault:
        """The library's own text is left out: it holds the URL.

        It also calls a total time-out a connect time-out while no answer has begun, so the clock
        decides between the two.
        """
        match error:
            case RequestTimeoutError() if monotonic() >= self._deadline - _CLOCK_SLACK:
                return UpstreamFault("timeout", "the provider did not answer in time")
            case ConnectTimeoutError():
                return UpstreamFault("connect", "the provider could not be reached in time")
            case RequestTimeoutError():
                return UpstreamFault("timeout", "the provider did not answer in time")
            case ConnectError():
                return UpstreamFault("connect", "the provider could not be reached")
            case _:
                return UpstreamFault("reset", "the connection to the provider broke")

    async def whole(self, limit: int) -> UpstreamAnswer:
        body = await self.read_all(limit)
        return UpstreamAnswer(status=self.status, body=body, response=self._response)

    async def read_all(self, limit: int) -> bytes:
        """The rest as one, at most `limit` bytes."""
        pieces: list[bytes] = []
        size = 0
        while piece := await self.read():
            size += len(piece)
            if size > limit:
                raise _too_large(limit)
            pieces.append(piece)
        return b"".join(pieces)


class UpstreamClient:
    """Holds the connection pools. One per process."""

    def __init__(self, timeouts: Timeouts, *, max_answer_bytes: int, user_agent: str) -> None:
        self._max_answer_bytes = max_answer_bytes
        self._total = timeouts.total
        # Whole answers may think long before the first byte: only the total bounds them. Streams
        # must keep moving: their client bounds every read, the wait for the head included.
        self._whole = _client(timeouts, user_agent).build()
        idle = timedelta(seconds=max(timeouts.first_byte, timeouts.idle))
        self._streaming = _client(timeouts, user_agent).read_timeout(idle).build()

    async def fetch(self, request: UpstreamRequest) -> UpstreamAnswer:
        """Raises UpstreamFault."""
        async with self._open(self._whole, request) as stream:
            return await stream.whole(self._max_answer_bytes)

    def stream(self, request: UpstreamRequest) -> UpstreamStream:
        """To be entered with `async with`; raises UpstreamFault then and on reading."""
        return self._open(self._streaming, request)

    def _open(self, client: Client, request: UpstreamRequest) -> UpstreamStream:
        builder = client.post(request.url).headers(request.headers).body_bytes(request.body)
        timeout = self._total
        if request.timeout is not None and request.timeout < timeout:
            timeout = request.timeout
            builder = builder.timeout(timedelta(seconds=timeout))
        return UpstreamStream(builder, timeout)

    async def close(self) -> None:
        await self._whole.close()
        await self._streaming.close()


def _client(timeouts: Timeouts, user_agent: str) -> ClientBuilder:
    return (
        ClientBuilder()
        .connect_timeout(timedelta(seconds=timeouts.connect))
        .timeout(timedelta(seconds=timeouts.total))
        .follow_redirects(False)
        .referer(False)
        .gzip(False)
        .brotli(False)
        .zstd(False)
        .deflate(False)
        .user_agent(user_agent)
        .error_for_status(False)
    )


def _too_large(limit: int) -> UpstreamFault:
    return UpstreamFault(
        "too_large", f"the provider's answer is larger than the gateway takes ({limit} bytes)"
    )
