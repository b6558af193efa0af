"""A load generator: bare asyncio protocols on uvloop, prebuilt requests, every answer checked.

    python -m benchmarks.load URL KIND CONNECTIONS SECONDS [RATE]

Closed loop: each connection asks again once it has its answer. With a RATE (requests a second) the
loop is open: each request has its intended start, and latency counts from there, whether or not a
connection was free, so that a stall is not hidden (no coordinated omission). Prints one JSON object.
"""

import asyncio
import json
import sys
from time import perf_counter
from typing import cast
from urllib.parse import urlsplit

import uvloop

TEXT = "You are helpful. " * 10
PROMPT = "x" * 300


def body_of(kind: str) -> bytes:
    """The 600-byte chat, its streaming twin, and their like."""
    chat = {
        "model": "gpt-4o-mini",
        "messages": [{"role": "system", "content": TEXT}, {"role": "user", "content": PROMPT}],
        "temperature": 0.7,
        "max_tokens": 100,
    }
    match kind:
        case "chat":
            given: dict[str, object] = chat
        case "stream":
            given = {**chat, "stream": True, "stream_options": {"include_usage": True}}
        case "slow":
            given = {**chat, "model": "openai/gpt-4o-mini-slow", "stream": True}
        case "first":
            given = {**chat, "model": "openai/gpt-4o-mini-first", "stream": True}
        case "still":
            given = {**chat, "model": "openai/gpt-4o-mini-still", "stream": True}
        case "embeddings":
            given = {
                "model": "text-embedding-3-small",
                "input": PROMPT,
                "encoding_format": "base64",
            }
        case "messages":
            given = {"model": "gpt-4o-mini", "max_tokens": 100, "system": TEXT}
            given["messages"] = [{"role": "user", "content": PROMPT}]
        case "claude":
            given = {**chat, "model": "claude-haiku-4-5"}
        case _:
            raise SystemExit(f"unknown kind {kind}")
    return json.dumps(given, separators=(",", ":")).encode()


PATHS = {
    "chat": "/v1/chat/completions",
    "stream": "/v1/chat/completions",
    "slow": "/v1/chat/completions",
    "first": "/v1/chat/completions",
    "still": "/v1/chat/completions",
    "claude": "/v1/chat/completions",
    "embeddings": "/v1/embeddings",
    "messages": "/v1/messages",
}


class Caller(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._transport: asyncio.Transport | None = None
        self._done: asyncio.Future[None] | None = None
        self._seen = b""
        self._needed = -1
        self.first_byte = 0.0
        self.events = 0
        self.head = b""
        """The last answer's, in lower case."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(ConnectionError("the connection was lost"))

    async def ask(self, request: bytes | None = None) -> None:
        """The request of its own, or another."""
        assert self._transport is not None
        self._seen, self._needed, self.first_byte = b"", -1, 0.0
        self._done = asyncio.get_running_loop().create_future()
        self._transport.write(request or self._request)
        await self._done

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._needed == -1:
            self._seen += data
            end = self._seen.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self.head = self._seen[:end].lower()
            if not head.startswith(b"http/1.1 200"):
                self._fail(head[:60].decode())
                return
            at = head.find(b"content-length:")
            # -2: a stream in chunks, over when its last chunk has come.
            self._needed = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else -2
            data, self._seen = self._seen[end + 4 :], b""
        if self._needed == -2:
            found = data.count(b"data: ")
            if found and not self.first_byte:
                self.first_byte = perf_counter()
            self.events += found
            self._seen = (self._seen + data)[-5:]
            if self._seen == b"0\r\n\r\n":
                self._finish()
            return
        self._needed -= len(data)
        if self._needed <= 0:
            self._finish()

    def _finish(self) -> None:
        self._needed = -1
        if self._done is not None and not self._done.done():
            self._done.set_result(None)

    def _fail(self, why: str) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(RuntimeError(why))


async def callers(url: str, kind: str, count: int) -> list[Caller]:
    parts = urlsplit(url)
    body = body_of(kind)
    request = (
        f"POST {PATHS[kind]} HTTP/1.1\r\nhost: {parts.netloc}\r\nauthorization: Bearer bench\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode() + body
    loop = asyncio.get_running_loop()
    made: list[Caller] = []
    for _ in range(count):
        _, caller = await loop.create_connection(
            lambda: Caller(request), parts.hostname, parts.port
        )
        made.append(caller)
    return made


class Measured:
    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.first_bytes: list[float] = []
        self.errors = 0
        self.events = 0

    def report(self, seconds: float) -> dict[str, float]:
        ordered = sorted(self.latencies) or [0.0]
        first = sorted(self.first_bytes) or [0.0]
        return {
            "requests": len(self.latencies),
            "errors": self.errors,
            "per_second": len(self.latencies) / seconds,
            "events_per_second": self.events / seconds,
            "p50_ms": ordered[len(ordered) // 2] * 1000,
            "p99_ms": ordered[int(len(ordered) * 0.99)] * 1000,
            "first_byte_p50_ms": first[len(first) // 2] * 1000,
        }


async def closed_loop(url: str, kind: str, count: int, seconds: float) -> dict[str, float]:
    measured = Measured()
    made = await callers(url, kind, count)
    until = perf_counter() + seconds

    async def one(caller: Caller) -> None:
        while (started := perf_counter()) < until:
            try:
                await caller.ask()
            except (RuntimeError, ConnectionError):
                measured.errors += 1
                return
            measured.latencies.append(perf_counter() - started)
            if caller.first_byte:
                measured.first_bytes.append(caller.first_byte - started)

    started = perf_counter()
    await asyncio.gather(*(one(caller) for caller in made))
    measured.events = sum(caller.events for caller in made)
    taken = perf_counter() - started
    for caller in made:
        caller.close()
    return measured.report(taken)


async def open_loop(
    url: str, kind: str, count: int, seconds: float, rate: float
) -> dict[str, float]:
    measured = Measured()
    free = asyncio.Queue[Caller]()
    made = await callers(url, kind, count)
    for caller in made:
        free.put_nowait(caller)
    running: set[asyncio.Task[None]] = set()

    async def one(intended: float) -> None:
        caller = await free.get()
        try:
            await caller.ask()
            measured.latencies.append(perf_counter() - intended)
        except (RuntimeError, ConnectionError):
            measured.errors += 1
        finally:
            free.put_nowait(caller)

    started = perf_counter()
    sent = 0
    while (now := perf_counter() - started) < seconds:
        while sent < now * rate:
            task = asyncio.create_task(one(started + sent / rate))
            running.add(task)
            task.add_done_callback(running.discard)
            sent += 1
        await asyncio.sleep(0.0005)
    await asyncio.gather(*running)
    taken = perf_counter() - started
    for caller in made:
        caller.close()
    return measured.report(taken)


def main() -> None:
    url, kind, count, seconds, *rate = sys.argv[1:]
    if rate:
        work = open_loop(url, kind, int(count), float(seconds), float(rate[0]))
    else:
        work = closed_loop(url, kind, int(count), float(seconds))
    print(json.dumps(uvloop.run(work)))


if __name__ == "__main__":
    main()
