"""A caller's connection is kept for its next call, and closed when it has been idle for long."""

import asyncio
from time import monotonic

import pytest

from ai_gateway import server
from tests.serving import Running, serving

IDLE = 0.4
ASK = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(ASK)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    await reader.readexactly(length)


async def connected(running: Running) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", running.port)


async def test_an_idle_connection_is_closed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "KEEP_ALIVE", IDLE)
    async with serving({}) as running:
        reader, writer = await connected(running)
        await ask(reader, writer)
        since = monotonic()
        assert await asyncio.wait_for(reader.read(), 10) == b""
        assert monotonic() - since >= IDLE * 0.9
        writer.close()


async def test_each_call_starts_the_time_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "KEEP_ALIVE", IDLE)
    async with serving({}) as running:
        reader, writer = await connected(running)
        for _ in range(6):
            await ask(reader, writer)
            await asyncio.sleep(IDLE / 2)
        assert not reader.at_eof()
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()


async def test_half_a_request_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "KEEP_ALIVE", IDLE)
    async with serving({}) as running:
        reader, writer = await connected(running)
        await ask(reader, writer)
        writer.write(ASK[:20])
        await asyncio.sleep(IDLE * 2)
        writer.write(ASK[20:])
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_a_refused_request_whose_body_comes_late_leaves_no_connection_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "KEEP_ALIVE", IDLE)
    async with serving({}) as running:
        reader, writer = await connected(running)
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
            b"content-type: text/plain\r\ncontent-length: 10\r\n\r\nhello"
        )
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 415")
        await asyncio.sleep(IDLE * 2)
        writer.write(b"world")
        await asyncio.wait_for(reader.read(), 10)
        writer.close()
