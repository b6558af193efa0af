"""Callers that leave, do not read, or send drop by drop: a real process, watched from outside."""

import asyncio
import json
import re
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import Process, start_gateway
from tests.faults.load import Callers, percentile
from tests.faults.upstream import good
from tests.faults.vitals import open_files, resident
from tests.figures import Figure
from tests.serving import Got, Provider, Script, ask, get, in_front_of, providing, streams

ADMIN = "admin-key-of-this-test-0123456789"
CHUNK = b'data: {"id":"c","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"word"},"finish_reason":null}]}\n\n'
END = b'data: {"id":"c","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
BODY = json.dumps(
    {
        "model": "gpt-4o",
        "stream": True,
        "messages": [{"role": "user", "content": "Count to a thousand."}],
    }
).encode()
HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n" % len(BODY)
)


@asynccontextmanager
async def gateway(
    script: Script, directory: Path, **environ: str
) -> AsyncGenerator[tuple[Process, Provider], None]:
    async with providing(script) as provider:
        given = {**in_front_of(provider), "CACHE_TTL": "0", "ADMIN_KEY": ADMIN, "ACCESS": "open"}
        given |= {"DATA_DIR": str(directory / "data"), **environ}
        running = await asyncio.to_thread(lambda: start_gateway(directory, **given))
        try:
            yield running, provider
        finally:
            await asyncio.to_thread(running.stop)


async def becomes(what: str, true: Callable[[], Awaitable[bool]], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not await true():
        assert time.monotonic() < deadline, f"never came true: {what}"
        await asyncio.sleep(0.02)


async def page(running: Process) -> str:
    return (await get(running.url + "/metrics")).body.decode()


async def records(running: Process) -> list[dict[str, Any]]:
    got = await ask("GET", running.url + "/admin/calls?limit=1000", key=ADMIN)
    return json.loads(got.body)["data"] if got.status == 200 else []


def _asked(metrics: str) -> int:
    """How often a provider was, by the gateway's own count."""
    found = re.findall(r"^llm_attempts_total\{.*\} (\d+)", metrics, re.MULTILINE)
    return sum(map(int, found))


async def test_two_hundred_callers_who_leave_leave_nothing_behind(
    tmp_path: Path, figure: Figure
) -> None:
    """Before the first byte, in the stream, and after its end, some with a reset."""
    closed_at: dict[str, float] = {}
    left_at: dict[str, float] = {}

    async def slow_stream(got: Got, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.sleep(0.2)
            await streams(*[CHUNK] * 400, pause=0.01)(got, writer)
        finally:
            closed_at[json.loads(got.body)["user"]] = time.monotonic()

    async with gateway(slow_stream, tmp_path) as (running, _):

        async def leave(number: int) -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            id = f"call-{number}"
            body = BODY[:-1] + f', "user": "{id}"}}'.encode()
            writer.write(HEAD.replace(b"%d" % len(BODY), b"%d" % len(body)) + body)
            await asyncio.sleep(0.02)
            if number % 3:
                await reader.readuntil(b"word")
                await asyncio.sleep(0.01 * (number % 20))
            left_at[id] = time.monotonic()
            writer.close() if number % 4 else writer.transport.abort()

        await leave(1000)
        await asyncio.sleep(0.5)
        before = open_files(running)
        await asyncio.gather(*(leave(number) for number in range(200)))

        async def none_left() -> bool:
            return "gateway_in_flight 0" in await page(running)

        await becomes("no call is in flight", none_left)
        await asyncio.sleep(0.3)
        slowest = max(closed_at[id] - left_at[id] for id in closed_at)
        figure("slowest provider let go after", f"{slowest:.2f} s")
        left = open_files(running) - before
        figure("files left open", max(0, left))

        async def all_settled() -> bool:
            # One that left before the provider was asked has none.
            return len(await records(running)) == _asked(await page(running)) >= len(closed_at)

        await becomes("each is in the ledger once", all_settled)
        kept = await records(running)
    assert slowest < 1
    assert left <= 10  # a few kept connections at most
    assert {record["error"] for record in kept} == {"cancelled"}
    # What the prompt and the words so far come to is estimated, since the provider never said.
    # Two in three had begun to read.
    assert sum(record["input_tokens"] > 0 for record in kept) > 120
    assert sum(record["output_tokens"] > 0 for record in kept) > 120


async def test_callers_who_do_not_read_cost_no_memory(tmp_path: Path, figure: Figure) -> None:
    """Fifty callers, 40 MB for each, and not one byte read."""
    sent = 0

    async def flood(got: Got, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        big = CHUNK.replace(b"word", b"w" * 100_000)
        for _ in range(400):
            writer.write(big)
            await writer.drain()
            sent += len(big)

    async with gateway(flood, tmp_path) as (running, _):
        before = resident(running)
        writers: list[asyncio.StreamWriter] = []
        for _ in range(50):
            connection = socket.create_connection(("127.0.0.1", running.port))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            _, writer = await asyncio.open_connection(sock=connection, limit=1000)
            writer.write(HEAD + BODY)
            writers.append(writer)
        first = -1
        # The kernel's own buffers grow for a while.
        for _ in range(20):
            await asyncio.sleep(1)
            if sent == first:
                break
            first = sent
        grown = (resident(running) - before) / 50
        figure("memory a caller", f"{grown:.0f} KiB")
        figure("taken from the provider for each", f"{sent / 50 / 1e6:.1f} of 40 MB")
        healthy = await get(running.url + "/health")
        for writer in writers:
            writer.transport.abort()
    assert healthy.status == 200
    assert sent == first  # it stands still
    assert grown < 2048


@pytest.mark.slow
async def test_a_thousand_connections_that_drip_are_ended_and_hold_nobody_up(
    tmp_path: Path, figure: Figure
) -> None:
    """Half of them in the head, half in the body; a byte a second. Others call meanwhile."""
    async with gateway(good, tmp_path) as (running, _):
        callers = Callers(running.url, None, at_once=4)
        callers.start()
        loop = asyncio.get_running_loop()
        await asyncio.sleep(2)
        dripping = loop.time()
        ended: dict[int, float] = {}
        heads = 0

        async def drip(number: int) -> None:
            nonlocal heads
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            in_head = number % 2 == 0
            writer.write(HEAD[:60] if in_head else HEAD + BODY[:5])
            began = loop.time()
            over = asyncio.ensure_future(reader.read())
            # The others' bodies stop coming: one that grows is waited for.
            while not over.done() and loop.time() - began < 90:
                await asyncio.wait([over], timeout=1)
                if in_head and not over.done():
                    writer.write(b"x")
            answer = over.result() if over.done() else b""
            assert b" 408 " in answer.split(b"\r\n")[0], answer[:100]
            heads += in_head
            ended[number] = loop.time() - began
            writer.close()

        await asyncio.gather(*(drip(number) for number in range(1000)))
        await callers.stop()
        before = callers.seconds(until=dripping)
        during = callers.seconds(since=dripping)
    usual, worst = percentile(before, 0.99), percentile(during, 0.99)
    figure("ended after", f"{min(ended.values()):.0f} to {max(ended.values()):.0f} s")
    figure("p99 of others before and meanwhile", f"{usual * 1000:.0f} and {worst * 1000:.0f} ms")
    assert callers.statuses() == {200: len(callers.answered)}
    # A head after 30 s; a body after 30 s in which nothing came, looked at every 30 s.
    assert max(ended.values()) < 75
    # Each is waited for by one loop: a caller held up by them would wait for seconds.
    assert worst < 2 * usual + 0.1


@pytest.mark.slow
async def test_idle_sockets_stay_and_dead_ones_go(tmp_path: Path, figure: Figure) -> None:
    """A peer that answers no ping is gone after a minute; one that does may be silent for ever."""
    from websockets.asyncio.client import connect

    async with gateway(streams(CHUNK, END), tmp_path) as (running, _):
        before = resident(running)
        idle = [
            await connect(running.url.replace("http", "ws") + "/v1/chat/completions", ping_interval=None)
            for _ in range(100)
        ]  # fmt: skip
        dead: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        for _ in range(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            writer.write(
                b"GET /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\n"
                b"upgrade: websocket\r\nsec-websocket-version: 13\r\n"
                b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            await reader.readuntil(b"\r\n\r\n")
            dead.append((reader, writer))
        figure("memory a socket", f"{(resident(running) - before) / 120:.0f} KiB")
        started = time.monotonic()
        await asyncio.wait_for(asyncio.gather(*(reader.read() for reader, _ in dead)), 60)
        figure("silent peers ended after", f"{time.monotonic() - started:.0f} s")
        for _, writer in dead:
            writer.close()
        await idle[0].send(BODY.decode().replace("true", "false"))
        assert "error" in str(await idle[0].recv())  # the scripted provider streams: it was asked
        assert all(socket.state.name == "OPEN" for socket in idle)
        await asyncio.gather(*(socket.close() for socket in idle))
