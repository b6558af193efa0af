"""Calls at a constant rate, their latency counted from when each was due: no coordinated omission.

    python -m benchmarks.steady URL KIND RATE SECONDS [KEY]

The kernel's timer says when a call is due (an event loop's own is no finer than a millisecond, and calls
would leave in bursts that queue behind each other). A call that finds no connection free waits for one,
and its latency runs. Every question is new. Prints one JSON object; `late_*` is how far behind its plan
the generator itself was: where that is much, the figures are of the generator.
"""

import asyncio
import ctypes
import gc
import json
import os
import sys
from collections import deque
from time import perf_counter
from typing import cast
from urllib.parse import urlsplit

import uvloop

from .load import PATHS, body_of

CONNECTIONS = 128
GRACE = 10.0
"""Seconds that answers are waited for once all calls are sent."""


class _Time(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Timer(ctypes.Structure):
    _fields_ = (("interval", _Time), ("first", _Time))


def timer(first: float, interval: float) -> int:
    """A file that can be read whenever `interval` seconds have passed since `first` (perf_counter's)."""
    c = ctypes.CDLL(None, use_errno=True)
    monotonic, non_blocking, absolute = 1, 0o4000, 1
    file = c.timerfd_create(monotonic, non_blocking)

    def of(seconds: float) -> _Time:
        return _Time(int(seconds), int(seconds % 1 * 1e9))

    wanted = _Timer(of(interval), of(first))
    if file < 0 or c.timerfd_settime(file, absolute, ctypes.byref(wanted), None):
        raise OSError(ctypes.get_errno(), "no timer")
    return int(file)


def quantile(values: list[float], share: float) -> float:
    """The nearest rank; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


class Plan:
    """Which calls are due, which wait for a connection, and what came of them."""

    def __init__(self, before: bytes, after: bytes) -> None:
        self._before, self._after = before, after
        self.free: list[Line] = []
        self.waiting = deque[float]()
        self.latencies: list[float] = []
        self.firsts: list[float] = []
        self.late: list[float] = []
        self.errors = 0
        self.sent = 0

    def due(self, intended: float) -> None:
        self.sent += 1
        if self.free:
            self._send(self.free.pop(), intended)
        else:
            self.waiting.append(intended)

    def done(self, line: "Line", first: float) -> None:
        now = perf_counter()
        self.latencies.append(now - line.intended)
        self.firsts.append((first or now) - line.intended)
        self.release(line)

    def release(self, line: "Line") -> None:
        if self.waiting:
            self._send(line, self.waiting.popleft())
        else:
            self.free.append(line)

    def _send(self, line: "Line", intended: float) -> None:
        number = b"%012d" % (int(intended * 1e7) % 10**12)
        self.late.append(perf_counter() - intended)
        line.ask(self._before + number + self._after, intended)

    @property
    def settled(self) -> bool:
        return len(self.latencies) + self.errors >= self.sent


class Line(asyncio.Protocol):
    """One connection, one call at a time."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.transport: asyncio.Transport | None = None
        self.intended = 0.0
        self._head = b""
        self._needed = -1
        self._tail = b""
        self._first = 0.0
        self._busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._busy:
            self._plan.errors += 1
        elif self in self._plan.free:
            self._plan.free.remove(self)

    def ask(self, request: bytes, intended: float) -> None:
        assert self.transport is not None
        self.intended, self._head, self._tail = intended, b"", b""
        self._needed, self._first, self._busy = -1, 0.0, True
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self._needed == -1:
            self._head += data
            head, found, data = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            head = head.lower()
            if not head.startswith(b"http/1.1 200"):
                self._plan.errors += 1
                self._busy = False
                if self.transport is not None:
                    self.transport.abort()
                return
            at = head.find(b"content-length:")
            # -2: in chunks, over when the last chunk has come.
            self._needed = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else -2
        if data and not self._first:
            self._first = perf_counter()
        if self._needed == -2:
            self._tail = (self._tail + data)[-5:]
            over = self._tail == b"0\r\n\r\n"
        else:
            self._needed -= len(data)
            over = self._needed <= 0
        if over:
            self._busy = False
            self._plan.done(self, self._first)


async def steady(url: str, kind: str, rate: float, seconds: float, key: str) -> dict[str, float]:
    parts = urlsplit(url)
    before, _, after = body_of(kind).partition(b"x" * 12)
    length = len(before) + 12 + len(after)
    head = (
        f"POST {PATHS[kind]} HTTP/1.1\r\nhost: {parts.netloc}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    ).encode()
    plan = Plan(head + before, after)
    loop = asyncio.get_running_loop()
    for _ in range(CONNECTIONS):
        _, line = await loop.create_connection(
            lambda: Line(plan), parts.hostname or "", parts.port or 80
        )
        plan.free.append(line)
    lines = list(plan.free)
    total = int(rate * seconds)
    first = perf_counter() + 0.05
    file = timer(first, 1 / rate)
    interval = int(1e9 / rate) / 1e9
    all_sent = asyncio.Event()

    def tick() -> None:
        for _ in range(int.from_bytes(os.read(file, 8), sys.byteorder)):
            if plan.sent == total:
                all_sent.set()
                return
            plan.due(first + plan.sent * interval)

    loop.add_reader(file, tick)
    await all_sent.wait()
    loop.remove_reader(file)
    os.close(file)
    until = perf_counter() + GRACE
    while not plan.settled and perf_counter() < until:
        await asyncio.sleep(0.01)
    for line in lines:
        if line.transport is not None:
            line.transport.abort()
    unanswered = plan.sent - len(plan.latencies) - plan.errors
    return {
        "requests": len(plan.latencies),
        "errors": plan.errors + unanswered,
        **{
            f"{name}_p{round(share * 100)}_ms": quantile(values, share) * 1000
            for name, values in (
                ("all", plan.latencies),
                ("first", plan.firsts),
                ("late", plan.late),
            )
            for share in (0.5, 0.99)
        },
    }


def main() -> None:
    url, kind, rate, seconds, *key = sys.argv[1:]
    gc.disable()
    work = steady(url, kind, float(rate), float(seconds), key[0] if key else "bench")
    print(json.dumps(uvloop.run(work)))


if __name__ == "__main__":
    main()
