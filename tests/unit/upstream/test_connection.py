"""A connection to a provider, byte by byte."""

import asyncio

from ai_gateway.upstream.connection import Connection


async def test_trailers_are_no_headers() -> None:
    connection = Connection(asyncio.get_running_loop())
    connection.data_received(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n"
        b"2\r\nok\r\n0\r\ncontent-type: text/html\r\nx-request-id: late\r\n\r\n"
    )
    assert connection.complete
    assert connection.headers == {
        b"content-type": b"text/plain", b"transfer-encoding": b"chunked",
    }  # fmt: skip
