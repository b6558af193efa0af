"""Connections to a provider: kept, reused, given up when stale, and read however HTTP allows."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest

from ai_gateway.upstream.client import Timeouts, UpstreamClient, UpstreamRequest, address
from ai_gateway.upstream.faults import UpstreamFault

Answer = Callable[[int], bytes]


class Server:
    """Answers the n-th request of all with `answer(n)`; an empty answer closes the connection."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.connections = 0
        self.requests = 0
        self.port = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(size)
                self.requests += 1
                data = self.answer(self.requests)
                if not data:
                    break
                writer.write(data)
                await writer.drain()
                framed = b"content-length" in data or b"chunked" in data
                if b"connection: close" in data or not framed:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def request(self) -> UpstreamRequest:
        where = address(f"http://127.0.0.1:{self.port}/v1/x", [("a", "b")])
        return UpstreamRequest(address=where, body=b"{}")


@asynccontextmanager
async def server(answer: Answer) -> AsyncGenerator[tuple[Server, UpstreamClient], None]:
    made = Server(answer)
    listening = await asyncio.start_server(made.handle, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    client = UpstreamClient(Timeouts(connect=1, total=2), max_answer_bytes=1000)
    try:
        yield made, client
    finally:
        client.close()
        listening.close()


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def test_a_connection_is_kept_and_used_again() -> None:
    async with server(lambda n: OK) as (made, client):
        for _ in range(5):
            assert (await client.fetch(made.request())).body == b"ok"
        assert (made.connections, made.requests) == (1, 5)


async def test_calls_at_once_have_connections_of_their_own() -> None:
    async with server(lambda n: OK) as (made, client):
        found = await asyncio.gather(*(client.fetch(made.request()) for _ in range(20)))
        assert [answer.body for answer in found] == [b"ok"] * 20
        assert made.connections == 20
        await asyncio.gather(*(client.fetch(made.request()) for _ in range(20)))
        assert made.connections == 20


async def test_a_kept_connection_that_went_stale_is_replaced_in_silence() -> None:
    async with server(lambda n: OK if n != 2 else b"") as (made, client):
        assert (await client.fetch(made.request())).body == b"ok"
        assert (await client.fetch(made.request())).body == b"ok"
        assert (made.connections, made.requests) == (2, 3)


async def test_a_new_connection_that_breaks_is_not_tried_again() -> None:
    async with server(lambda n: b"") as (made, client):
        with pytest.raises(UpstreamFault) as caught:
            await client.fetch(made.request())
        assert caught.value.cause == "reset"
        assert made.requests == 1


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
FORMS = {
    "in chunks": CHUNKED + b"1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
    "in chunks with trailers": CHUNKED + b"2\r\nok\r\n0\r\nx-late: y\r\n\r\n",
    "after interim answers": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\n"
    + OK,
    "up to the end of the connection": b"HTTP/1.1 200 OK\r\n\r\nok",
    "and then closed": b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
    "by HTTP/1.0": b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
}


@pytest.mark.parametrize("form", FORMS)
async def test_a_body_is_read_in_every_form(form: str) -> None:
    async with server(lambda n: FORMS[form]) as (made, client):
        for _ in range(2):
            answer = await client.fetch(made.request())
            assert (answer.status, answer.body) == (200, b"ok")
        stream = client.stream(made.request())
        await stream.open()
        async with stream:
            assert await stream.read_all(100) == b"ok"


async def test_an_answer_larger_than_allowed_is_given_up() -> None:
    big = b"HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n" + b"x" * 2000
    async with server(lambda n: big) as (made, client):
        with pytest.raises(UpstreamFault) as caught:
            await client.fetch(made.request())
        assert caught.value.cause == "too_large"


async def test_bytes_out_of_turn_end_a_connection() -> None:
    async with server(lambda n: OK + (b"HTTP/1.1 200 OK\r\n" if n == 1 else b"")) as (made, client):
        await client.fetch(made.request())
        await asyncio.sleep(0.05)
        assert (await client.fetch(made.request())).body == b"ok"


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nb", "a\0b"])
def test_nothing_can_split_a_head(value: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        address("http://h/", [("a", value)])
