"""Ending under load, and standing more load than there is room for."""

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.clients.conftest import Process, start_gateway
from tests.faults.vitals import resident
from tests.ports import free_port
from tests.serving import Got, in_front_of, providing, streams

CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"word"},"finish_reason":null}]}\n\n'
END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
ANSWER = b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"word"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'
PLAIN = {"CACHE_TTL": "0", "RATE_LIMIT_CAPACITY": "0"}


def request(stream: bool) -> bytes:
    body = b'{"model":"gpt-4o","stream":%b,"messages":[{"role":"user","content":"x"}]}' % (
        b"true" if stream else b"false"
    )
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
        b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    )


async def call(port: int, stream: bool = False) -> tuple[int, float]:
    """(status, seconds); status 0 where the connection failed or the answer was cut."""
    started = time.perf_counter()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(stream))
        answer = await reader.read()
        writer.close()
    except OSError:
        return 0, time.perf_counter() - started
    status = int(answer[9:12]) if len(answer) > 12 else 0
    if status == 200 and not (answer.endswith(b"}") or b"[DONE]" in answer):
        status = 0
    return status, time.perf_counter() - started


@pytest.mark.slow
async def test_sigterm_with_200_open_streams_loses_none(tmp_path: Path) -> None:
    async with providing(streams(*[CHUNK] * 60, END, pause=0.05)) as provider:
        gateway = start_gateway(
            tmp_path, **{**in_front_of(provider), **PLAIN, "ENDPOINT_GRACE": "1"}
        )
        calls = [asyncio.ensure_future(call(gateway.port, stream=True)) for _ in range(200)]
        while len(provider.got) < 200:
            await asyncio.sleep(0.05)
        gateway.process.send_signal(signal.SIGTERM)
        statuses = Counter(status for status, _ in await asyncio.gather(*calls))
        assert statuses == {200: 200}
        assert await asyncio.to_thread(gateway.process.wait, 15) == 0


@pytest.mark.slow
async def test_three_times_the_load_there_is_room_for_leaves_goodput_whole(tmp_path: Path) -> None:
    """Room for 20 calls of 0.1 s is 200 a second. 600 a second come, for OVERLOAD_SECONDS (20)."""
    seconds = float(os.environ.get("OVERLOAD_SECONDS", "20"))

    async def answered(got: Got, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)
        )

    async def offered(port: int, rate: float, lasting: float) -> list[tuple[int, float]]:
        began, calls = time.perf_counter(), []
        while time.perf_counter() - began < lasting:
            calls.append(asyncio.ensure_future(call(port)))
            await asyncio.sleep(max(0.0, len(calls) / rate - (time.perf_counter() - began)))
        return await asyncio.gather(*calls)

    limits = {"MAX_IN_FLIGHT": "20", "MAX_QUEUE": "40", "QUEUE_TIMEOUT": "1"}
    async with providing(answered) as provider:
        gateway = start_gateway(tmp_path, **{**in_front_of(provider), **PLAIN, **limits})
        try:
            full = await offered(gateway.port, 190, 5)
            most = sum(status == 200 for status, _ in full) / 5
            before = resident(gateway)
            over = await offered(gateway.port, 600, seconds)
            good = [took for status, took in over if status == 200]
            assert {status for status, _ in over} == {200, 503}
            goodput, p99 = len(good) / seconds, sorted(good)[len(good) * 99 // 100]
            grown = resident(gateway) - before
            print(f"most {most:.0f}/s, goodput {goodput:.0f}/s, p99 {p99:.2f} s, grown {grown} KiB")
            assert goodput >= 0.9 * most
            assert p99 < 1.0
            assert grown < 20_000
        finally:
            gateway.stop()


HAPROXY = """global
 nbthread 1
defaults
 mode http
 timeout connect 2s
 timeout client 30s
 timeout server 30s
 timeout check 5s
 option redispatch
 retries 3
listen gateway
 bind 127.0.0.1:{port}
 option httpchk GET /ready
 default-server check inter 200ms fall 1 rise 1
 server one 127.0.0.1:{one}
 server two 127.0.0.1:{two}
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not on this machine")
async def test_a_rolling_restart_behind_haproxy_fails_no_call(tmp_path: Path) -> None:
    """ROLLING_CALLS (20,000) calls while both replicas are ended and started again in turn."""
    total = int(os.environ.get("ROLLING_CALLS", "20000"))

    async def answered(got: Got, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.01)
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)
        )

    ports = [free_port(), free_port(), free_port()]
    config = tmp_path / "haproxy.cfg"
    config.write_text(HAPROXY.format(port=ports[2], one=ports[0], two=ports[1]))
    async with providing(answered) as provider:
        environ = {**in_front_of(provider), **PLAIN, "ENDPOINT_GRACE": "2"}

        def started(number: int) -> Process:
            own = tmp_path / str(number)
            own.mkdir(exist_ok=True)
            return start_gateway(own, **{**environ, "PORT": str(ports[number])})

        replicas = [started(0), started(1)]
        proxy = subprocess.Popen(["haproxy", "-db", "-f", str(config)], stderr=subprocess.DEVNULL)
        left, statuses = total, Counter[int]()

        async def caller() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                statuses[(await call(ports[2]))[0]] += 1

        try:
            await asyncio.sleep(1)
            callers = [asyncio.ensure_future(caller()) for _ in range(16)]
            restarts = 0
            while not all(c.done() for c in callers):
                number = restarts % 2
                await asyncio.sleep(1)
                replicas[number].process.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(replicas[number].process.wait, 40) == 0
                replicas[number] = await asyncio.to_thread(started, number)
                restarts += 1
            await asyncio.gather(*callers)
            print(f"{restarts} restarts, {dict(statuses)}")
            assert restarts >= 2
            assert statuses == {200: total}
        finally:
            proxy.terminate()
            proxy.wait(10)
            for replica in replicas:
                replica.stop()
