"""What callers notice while one of two providers fails, route by route, fault by fault.

    python -m benchmarks.reliability [faults|streams|breaker|splits|all] [CALLS] [STRATEGY ...]

One process holds the gateway, served as always over TCP, two or three scripted providers and the
callers. `faults` prints, for each upstream fault and strategy, the share of good answers, the attempts a
call, and the 99th percentile beside that of two healthy providers; `streams` the same for streams, with
the share of those that broke after their first byte and said so by an error event (`told`). `breaker` times opening and closing
at 200 calls a second. `splits` shows where calls went, at what cost and in what time.
"""

import asyncio
import json
import ssl
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import cast

import trustme
import uvloop

from ai_gateway.app import open_gateway
from ai_gateway.server import GatewayServer, listen
from ai_gateway.settings.load import load_settings

from .upstream import CHAT, CHAT_EVENTS

CALLERS = 20
GOOD = CHAT
_STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n"
    % sum(map(len, CHAT_EVENTS))
) + b"".join(CHAT_EVENTS)
_OPEN_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
_ERROR_EVENT = b'data: {"error":{"message":"overloaded","type":"server_error","code":null}}\n\n'
_LONG_LINE = b'data: {"id":"c","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":null}]}\n\n'
TOLD = 299
"""Stands for a stream that broke and said so."""


def _status(status: int, *headers: str) -> bytes:
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
    "15 429, retry-after 10^9": lambda n: _status(429, "retry-after: 1000000000"),
    "15 429, retry-after garbage": lambda n: _status(429, "retry-after: soon"),
    "16 500 in bursts of 50": lambda n: _status(500) if n // 50 % 2 == 0 else GOOD,
    "16 503": lambda n: _status(503),
    "16 529": lambda n: _status(529),
    "17 every third fails": lambda n: _status(500) if n % 3 == 0 else GOOD,
    "20 invalid UTF-8": lambda n: _ok(b'{"choices":[],"model":"\xff"}'),
    "21 gzip unasked": lambda n: _ok(b"\x1f\x8b\x08\x00"),
    "22 redirects elsewhere": lambda n: _status(302, "location: http://127.0.0.1:1/"),
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
    "15 429, retry-after 10^9": lambda n: _status(429, "retry-after: 1000000000"),
    "16 503": lambda n: _status(503),
    "17 every third fails": lambda n: _status(500) if n % 3 == 0 else GOOD,
}
STRATEGIES = ("priority", "weighted", "round-robin", "least-busy", "fastest", "cheapest", "balanced", "sticky")  # fmt: skip


class Bench:
    def __init__(self, port: int, providers: list[Provider]) -> None:
        self.port = port
        self.providers = providers
        self.stream = False

    async def call(self, model: str, user: str = "u") -> tuple[int, float, str]:
        """(status, seconds, provider); status 0 where the connection broke."""
        body = b'{"model":"%b","messages":[{"role":"user","content":"hello"}]%b}' % (
            model.encode(),
            b',"stream":true' if self.stream else b"",
        )
        started = perf_counter()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
                b"content-type: application/json\r\nx-user-id: %b\r\ncontent-length: %d\r\n\r\n%b"
                % (user.encode(), len(body), body)
            )
            answer = await reader.read()
            writer.close()
        except OSError:
            return 0, perf_counter() - started, ""
        head = answer.split(b"\r\n\r\n", 1)[0]
        at = head.find(b"x-gateway-provider: ")
        provider = head[at + 20 :].split(b"\r\n", 1)[0].decode() if at >= 0 else ""
        status = int(head[9:12] or b"0")
        if self.stream and status == 200 and b'"finish_reason":"stop"' not in answer[-2000:]:
            status = TOLD if b'"error"' in answer[-2000:] else 0
        return status, perf_counter() - started, provider

    async def many(self, model: str, count: int) -> list[tuple[int, float, str]]:
        """A closed loop of CALLERS."""
        found: list[tuple[int, float, str]] = []
        left = count

        async def caller() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                found.append(await self.call(model, f"user-{left % 500}"))

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        return found

    async def steadily(self, model: str, rate: float, seconds: float) -> list[tuple[float, int, float, str]]:  # fmt: skip
        """An open loop: (second it began, status, seconds, provider)."""
        began = perf_counter()
        out: list[tuple[float, int, float, str]] = []

        async def one(at: float) -> None:
            status, took, provider = await self.call(model, f"user-{int(at * 1000) % 500}")
            out.append((at, status, took, provider))

        tasks: list[asyncio.Task[None]] = []
        while (at := perf_counter() - began) < seconds:
            tasks.append(asyncio.ensure_future(one(at)))
            await asyncio.sleep(max(0.0, len(tasks) / rate - (perf_counter() - began)))
        await asyncio.gather(*tasks)
        return sorted(out)


@asynccontextmanager
async def bench(count: int = 2, prices: str = "", first: str = "") -> AsyncGenerator[Bench, None]:
    """`first`: the first provider's address in place of its own, or `tls`, which nobody vouches for."""
    providers = [Provider() for _ in range(count)]
    tls = None
    if first == "tls":
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
    for provider in providers:
        await provider.start(tls if provider is providers[0] else None)
    urls = [f"http://127.0.0.1:{provider.port}/v1" for provider in providers]
    if first:
        urls[0] = f"https://127.0.0.1:{providers[0].port}/v1" if tls is not None else first
    names = "abc"[:count]
    with tempfile.TemporaryDirectory() as directory:
        lines = ["providers:"]
        for name, url in zip(names, urls, strict=True):
            lines += [f"  {name}:", f"    base_url: {url}"]
        lines.append("routes:")
        for strategy in STRATEGIES:
            lines += [f"  {strategy}:", f"    strategy: {strategy}", "    attempt_timeout: 0.5"]
            lines += ["    targets:", *(f"      - model: {name}/m" for name in names)]
        config = Path(directory, "gateway.yaml")
        config.write_text("\n".join(lines) + "\n")
        environ = {
            "LOG_LEVEL": "error", "CACHE_TTL": "0", "RATE_LIMIT_CAPACITY": "0", "LEDGER": "off",
            "DATA_DIR": directory, "PRICES": prices, "IDLE_TIMEOUT": "0.5",
        }  # fmt: skip
        settings = load_settings(environ, config)
        async with open_gateway(settings, config, environ) as gateway:
            server = GatewayServer(
                gateway.app, listener=listen("127.0.0.1", 0), endpoint_grace=0, drain_timeout=1,
                max_message_bytes=1 << 20, on_drain=lambda: None,
            )  # fmt: skip
            serving = asyncio.ensure_future(server.run_until_stopped())
            while not server.started:
                await asyncio.sleep(0.01)
            try:
                yield Bench(server.port, providers)
            finally:
                server.should_exit = server.force_exit = True
                await serving
    for provider in providers:
        await provider.stop()


def _p99(seconds: list[float]) -> float:
    return sorted(seconds)[len(seconds) * 99 // 100] * 1000


async def faults(
    calls: int, strategies: tuple[str, ...] = STRATEGIES, *, stream: bool = False
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for strategy in strategies:
        async with bench() as healthy:
            healthy.stream = stream
            usual = _p99([s for _, s, _ in await healthy.many(strategy, min(calls, 1000))])
        for fault, behaviour in (STREAM_FAULTS if stream else FAULTS).items():
            first = {"18": "http://nowhere.invalid/v1", "19": "tls"}.get(fault.split(" ")[0], "")
            async with bench(first=first) as running:
                running.stream = stream
                ill = running.providers[0]
                await running.many(strategy, 40)
                if fault.startswith("1 "):
                    await ill.stop()
                    for connection in list(_connections):
                        connection.abort()
                ill.behaviour = behaviour
                before = sum(p.calls for p in running.providers)
                found = await running.many(strategy, calls)
                asked = sum(p.calls for p in running.providers) - before
                row: dict[str, object] = {
                    "strategy": strategy, "fault": fault, "calls": calls,
                    "success_%": _share(found, 200),
                    "upstream_a_call": round(asked / calls, 4),
                    "added_p99_ms": round(_p99([s for _, s, _ in found]) - usual, 1),
                }  # fmt: skip
                if stream:
                    row["told_%"] = _share(found, TOLD)
                rows.append(row)
                print(json.dumps(row), flush=True)
    return rows


def _share(found: list[tuple[int, float, str]], wanted: int) -> float:
    return round(sum(status == wanted for status, _, _ in found) / len(found) * 100, 3)


async def breaker() -> dict[str, object]:
    """A hard outage of the first target at second 3, its end at second 8."""
    async with bench() as running:
        ill, told = running.providers[0], 0.0

        async def outage() -> None:
            nonlocal told
            await asyncio.sleep(3)
            ill.behaviour = lambda n: _status(500)
            await asyncio.sleep(5)
            ill.behaviour = lambda n: GOOD
            told = float(ill.calls)

        task = asyncio.ensure_future(outage())
        counts: list[tuple[float, int]] = []

        async def watch() -> None:
            began = perf_counter()
            while True:
                counts.append((perf_counter() - began, ill.calls))
                await asyncio.sleep(0.05)

        watching = asyncio.ensure_future(watch())
        found = await running.steadily("priority", 200, 22)
        watching.cancel()
        await task
        quiet = next(
            (
                at
                for (at, n), (_, later) in zip(counts, counts[4:], strict=False)
                if at > 3 and later == n
            ),
            None,
        )
        back = next((at for at, status, _, provider in found if at > 8.2 and provider == "a"), None)
        during = next(n for at, n in counts if at >= 7.9) - next(n for at, n in counts if at >= 3)
        return {
            "failed_calls": sum(status != 200 for _, status, _, _ in found),
            "calls": len(found),
            "opens_after_s": None if quiet is None else round(quiet - 3, 2),
            "asked_while_out": during,
            "first_answer_again_after_s": None if back is None else round(back - 8, 2),
        }


async def splits() -> list[dict[str, object]]:
    """Three providers: a cheap and slow, b middling, c dear and quick."""
    with tempfile.TemporaryDirectory() as directory:
        prices = Path(directory, "prices.json")
        kinds = {"a": (0.2, 0.06), "b": (1.0, 0.03), "c": (4.0, 0.01)}
        book = {
            name: [{"id": "m", "match": ["equals", "m"],
                    "prices": {"input": {"base": str(price)}, "output": {"base": str(price)}}}]
            for name, (price, _) in kinds.items()
        }  # fmt: skip
        prices.write_text(
            json.dumps({"source": "bench", "version": "1", "date": "2026-01-01", "providers": book})
        )
        rows: list[dict[str, object]] = []
        for strategy in ("round-robin", "cheapest", "fastest", "balanced"):
            async with bench(3, str(prices)) as running:
                for provider, (_, delay) in zip(running.providers, kinds.values(), strict=True):
                    provider.delay = delay
                found = await running.steadily(strategy, 150, 6)
                split = Counter(provider for *_, provider in found)
                cost = sum(kinds[p][0] * 320 / 1e6 for *_, p in found if p)
                row: dict[str, object] = {
                    "strategy": strategy,
                    "split_%": {
                        p: round(n / len(found) * 100, 1) for p, n in sorted(split.items())
                    },
                    "usd_a_1000_calls": round(cost / len(found) * 1000, 4),
                    "mean_ms": round(sum(s for _, _, s, _ in found) / len(found) * 1000, 1),
                }
                if strategy == "fastest":
                    running.providers[2].delay = 0.5
                    after = await running.steadily(strategy, 150, 8)
                    late = [at for at, _, _, p in after if p == "c"]
                    in_second = Counter(int(at) for at in late)
                    row["share_of_the_slowed_by_second_%"] = [
                        round(in_second[s] / 150 * 100, 1) for s in range(8)
                    ]
                rows.append(row)
                print(json.dumps(row), flush=True)
        return rows


async def main(part: str, calls: int, strategies: tuple[str, ...]) -> None:
    if part in ("breaker", "all"):
        print(json.dumps({"breaker": await breaker()}), flush=True)
    if part in ("splits", "all"):
        await splits()
    if part in ("faults", "all"):
        await faults(calls, strategies)
    if part in ("streams", "all"):
        await faults(calls, strategies, stream=True)


if __name__ == "__main__":
    asked = [*sys.argv[1:], *("all", "1000")[len(sys.argv) - 1 :]]
    uvloop.run(main(asked[0], int(asked[1]), tuple(asked[2:]) or STRATEGIES))
