"""`python -m benchmarks.steps`: how many Python functions one call runs through, and which.

A count does not depend on how busy the machine is, so that it can guard against a path that grows
(`tests/benchmarks/test_steps.py`). The gateway serves on its loop in this thread, where calls are
counted by `sys.setprofile`; provider and client have threads of their own. `--list` names the functions.
"""

import argparse
import asyncio
import contextlib
import queue
import socket
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path
from types import FrameType

import uvloop
from tests.serving import serving

from .features import CONFIG, KEY
from .load import body_of
from .upstream import start

ON = {"CACHE_TTL": "60", "LOG_LEVEL": "info", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
      "OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}  # fmt: skip
OFF = {"LEDGER": "off", "LOG_LEVEL": "warning"}
CASES = {"everything off": (OFF, True), "everything on": (ON, True), "cached": (ON, False)}
_WARM, _COUNTED = 50, 50

Counts = Counter[tuple[str, str]]
"""By (file and line, function): Python functions and C functions alike."""


@contextlib.contextmanager
def provider() -> Generator[int, None, None]:
    """The bench's provider, in a thread with a loop of its own. Gives its port."""
    ports: queue.Queue[int] = queue.Queue()
    ended = threading.Event()

    async def serve() -> None:
        async with await start(0) as server:
            ports.put(server.sockets[0].getsockname()[1])
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=lambda: uvloop.run(serve()))
    thread.start()
    try:
        yield ports.get(timeout=10)
    finally:
        ended.set()
        thread.join()


def ask(port: int, calls: int, *, fresh: bool, first: int) -> None:
    """So many calls, one after another, on one connection."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for number in range(first, first + calls):
            word = b"%012d" % (number if fresh else 0)
            body = body_of("chat").replace(b"x" * 12, word, 1)
            connection.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
                b"authorization: Bearer %b\r\ncontent-length: %d\r\n\r\n%b"
                % (KEY.encode(), len(body), body)
            )
            _read_answer(connection)


def _read_answer(connection: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, rest = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"not a 200: {data.decode()}")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(rest) < length:
        rest += connection.recv(65536)


async def counted(environ: dict[str, str], *, fresh: bool) -> Counts:
    """What so many calls ran through, in all."""
    counts: Counts = Counter()
    with provider() as upstream, tempfile.TemporaryDirectory() as home:
        config = Path(home, "gateway.yaml")
        config.write_text(CONFIG)
        given = {
            "OPENAI_API_KEY": "bench", "OPENAI_BASE_URL": f"http://127.0.0.1:{upstream}/v1",
            "RATE_LIMIT_CAPACITY": "0", "BENCH_KEY": KEY, **environ,
        }  # fmt: skip
        on = environ is not OFF
        async with serving(given, config if on else None) as running:
            await asyncio.to_thread(ask, running.port, _WARM, fresh=fresh, first=0)
            watch = _counting(counts)
            sys.setprofile(watch)
            try:
                await asyncio.to_thread(ask, running.port, _COUNTED, fresh=fresh, first=_WARM)
            finally:
                sys.setprofile(None)
    return counts


def _counting(counts: Counts) -> Callable[[FrameType, str, object], None]:
    def watch(frame: FrameType, event: str, of: object) -> None:
        if event == "call":
            code = frame.f_code
            counts[f"{code.co_filename}:{code.co_firstlineno}", code.co_qualname] += 1
        elif event == "c_call":
            counts["C", getattr(of, "__qualname__", str(of))] += 1

    return watch


def per_call(counts: Counts) -> tuple[int, int]:
    """(Python functions, C functions) for each call. What is called less often than calls come is the
    background's: the ledger's replayer, a timer."""
    python = sum(n // _COUNTED for (where, _), n in counts.items() if where != "C")
    return python, sum(n // _COUNTED for (where, _), n in counts.items() if where == "C")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true")
    given = parser.parse_args()
    print(f"{'calls of functions, for each call of the gateway':<52}{'Python':>8}{'C':>8}")
    for name, (environ, fresh) in CASES.items():
        counts = uvloop.run(counted(environ, fresh=fresh))
        python, c = per_call(counts)
        print(f"{name:<52}{python:>8}{c:>8}")
        if given.list:
            for (where, function), n in counts.most_common():
                if n >= _COUNTED / 2:
                    print(
                        f"    {n / _COUNTED:>6.1f}  {where.rpartition('/src/')[2][-60:]} {function}"
                    )


if __name__ == "__main__":
    main()
