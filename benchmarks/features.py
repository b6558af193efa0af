"""What is switched on in a bench: nothing; everything, in memory; everything, in Redis and PostgreSQL.

Everything is: access by key, limits, budget, exact cache, ledger, metrics, a JSON log line a call, tracing
sampled at 1 % to an OTLP sink. What stands beside the gateway runs on the load's core.
"""

import asyncio
import re
import tempfile
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from tests.postgresql import PostgreSQL
from tests.redis_server import RedisServer

KEY = "sk-gw-bench-0123456789abcdef0123456789"
CONFIG = """
keys:
  bench:
    key: env:BENCH_KEY
    policy:
      budgets: [{per: key, amount: 1000000, period: month}]
      limits:
      - {per: key, capacity: 1000000000, refill: 1000000000}
      - {per: user, unit: tokens, capacity: 1000000000000, refill: 1000000000}
"""
OFF = {"LEDGER": "off", "RATE_LIMIT_CAPACITY": "0", "LOG_LEVEL": "warning"}


class Features:
    """The environments, and a data directory of its own for each gateway that is started."""

    def __init__(self, home: Path, sink: str, redis: str, database: str) -> None:
        config = home / "gateway.yaml"
        config.write_text(CONFIG)
        self.home = home
        self.off: Mapping[str, str] = OFF
        self.on: Mapping[str, str] = {
            "CONFIG": str(config), "BENCH_KEY": KEY, "CACHE_TTL": "5", "LOG_LEVEL": "info",
            "OTEL_EXPORTER_OTLP_ENDPOINT": sink, "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": "0.01",
        }  # fmt: skip
        self.shared: Mapping[str, str] = {
            **self.on,
            "REDIS_ADDR": redis,
            "DATABASE_URL": database,
        }
        self._numbers = count(1)

    def environ(self, name: str, **more: str) -> dict[str, str]:
        """`off`, `on` or `shared`."""
        given: Mapping[str, str] = getattr(self, name)
        return {**given, "DATA_DIR": str(self.home / f"data{next(self._numbers)}"), **more}


@contextmanager
def features() -> Generator[Features, None, None]:
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, otlp_sink() as sink:
        home = Path(directory)
        redis = RedisServer()
        redis.start()
        postgresql = PostgreSQL(home / "pg")
        try:
            yield Features(home, sink, redis.address, postgresql.url())
        finally:
            postgresql.stop()
            redis.kill()


@contextmanager
def otlp_sink() -> Generator[str, None, None]:
    """Takes traces and forgets them."""
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    port = 0

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
                await reader.readexactly(int(length[1]) if length else 0)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def serve() -> None:
        nonlocal port
        server = await asyncio.start_server(take, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        ready.set()

    def run() -> None:
        loop.run_until_complete(serve())
        loop.run_forever()

    threading.Thread(target=run, daemon=True).start()
    ready.wait(5)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
