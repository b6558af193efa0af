"""What callers notice while one of two providers fails, route by route, fault by fault.

    python -m benchmarks.reliability [faults|streams|breaker|splits|all] [CALLS] [STRATEGY ...]
        [--table FILE] [--jobs N]

A process holds the gateway, served as always over TCP, two or three scripted providers and the
callers. `faults` prints, for each upstream fault and strategy, the share of good answers, the attempts a
call, and the 99th percentile beside that of two healthy providers; `streams` the same for streams, with
the share of those that broke after their first byte and said so by an error event (`told`). Both write their rows
into `--table` as they are found, and leave out those it has; `--jobs` runs so many strategies at once, and puts
the table in order at the end.
`breaker` times opening and closing at 200 calls a second. `splits` shows where calls went, at what cost and in
what time.
"""

import argparse
import asyncio
import json
import ssl
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter

import trustme
import uvloop
from msgspec.structs import asdict

from ai_gateway.app import open_gateway
from ai_gateway.server import GatewayServer, listen
from ai_gateway.settings.load import load_settings

from .fault_table import FaultTable, Row
from .faulty import FAULTS, GOOD, STREAM_FAULTS, Provider, abort_connections, status_answer

CALLERS = 20
_WARM_UP = 500
TOLD = 299
"""Stands for a stream that broke and said so."""

STRATEGIES = ("priority", "weighted", "round-robin", "least-busy", "fastest", "cheapest", "balanced", "sticky")  # fmt: skip


class Line:
    """One caller's connection to the gateway, kept from call to call."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> bytes:
        """Head and body, as far as they came."""
        found = bytearray()
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            reader, writer = self._streams
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            found += head
            lower = head.lower()
            at = lower.find(b"content-length:")
            if at >= 0:
                found += await reader.readexactly(int(lower[at + 15 :].split(b"\r\n", 1)[0]))
            elif b"transfer-encoding: chunked" in lower:
                while size := int(await reader.readuntil(b"\r\n"), 16):
                    found += (await reader.readexactly(size + 2))[:-2]
                await reader.readexactly(2)
            if b"connection: close" in lower:
                self.close()
        except (OSError, asyncio.IncompleteReadError):
            self.close()
        return bytes(found)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class Bench:
    def __init__(self, port: int, providers: list[Provider]) -> None:
        self.port = port
        self.providers = providers
        self.stream = False

    async def call(self, line: "Line", model: str, user: str) -> tuple[int, float, str]:
        """(status, seconds, provider); status 0 where the connection broke."""
        body = b'{"model":"%b","messages":[{"role":"user","content":"hello"}]%b}' % (
            model.encode(),
            b',"stream":true' if self.stream else b"",
        )
        request = (
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            b"x-user-id: %b\r\ncontent-length: %d\r\n\r\n%b" % (user.encode(), len(body), body)
        )
        started = perf_counter()
        answer = await line.ask(request)
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
            line = Line(self.port)
            while left > 0:
                left -= 1
                found.append(await self.call(line, model, f"user-{left % 500}"))
            line.close()

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        return found

    async def steadily(self, model: str, rate: float, seconds: float) -> list[tuple[float, int, float, str]]:  # fmt: skip
        """An open loop: (second it began, status, seconds, provider)."""
        began = perf_counter()
        out: list[tuple[float, int, float, str]] = []

        async def one(at: float) -> None:
            line = Line(self.port)
            status, took, provider = await self.call(line, model, f"user-{int(at * 1000) % 500}")
            line.close()
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
            lines += [f"  {strategy}:", f"    strategy: {strategy}", "    attempt_timeout: 1.5"]
            lines += ["    targets:", *(f"      - model: {name}/m" for name in names)]
        config = Path(directory, "gateway.yaml")
        config.write_text("\n".join(lines) + "\n")
        environ = {
            "LOG_LEVEL": "error", "CACHE_TTL": "0", "RATE_LIMIT_CAPACITY": "0", "LEDGER": "off",
            "DATA_DIR": directory, "PRICES": prices, "IDLE_TIMEOUT": "1.5",
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


def _p99(found: list[tuple[int, float, str]]) -> float:
    """Milliseconds."""
    return sorted(seconds for _, seconds, _ in found)[len(found) * 99 // 100] * 1000


async def faults(
    calls: int, strategies: Sequence[str], table: FaultTable | None, *, stream: bool = False
) -> None:
    what = "stream" if stream else "whole"
    cells = [(s, f) for s in strategies for f in (STREAM_FAULTS if stream else FAULTS)]
    for strategy, fault in cells:
        if table is None or not table.has(what, fault, strategy, calls):
            row = await _cell(strategy, fault, calls, stream=stream)
            print(json.dumps(asdict(row)), flush=True)
            if table is not None:
                table.add(row)


async def _cell(strategy: str, fault: str, calls: int, *, stream: bool) -> Row:
    """What is usual is measured on the same gateway while both are well, where that can be."""
    began = perf_counter()
    first = {"18": "http://nowhere.invalid/v1", "19": "tls"}.get(fault.split(" ")[0], "")
    usual = 0.0
    if first:
        async with bench() as healthy:
            healthy.stream = stream
            await healthy.many(strategy, _WARM_UP)
            usual = _p99(await healthy.many(strategy, _WARM_UP))
    async with bench(first=first) as running:
        running.stream = stream
        ill = running.providers[0]
        await running.many(strategy, _WARM_UP)
        usual = usual or _p99(await running.many(strategy, _WARM_UP))
        if fault.startswith("1 "):
            await ill.stop()
            abort_connections()
        ill.behaviour = (STREAM_FAULTS if stream else FAULTS)[fault]
        ill.calls = 0
        asked_before = sum(p.calls for p in running.providers)
        found = await running.many(strategy, calls)
        asked = sum(p.calls for p in running.providers) - asked_before
    return Row(
        what="stream" if stream else "whole",
        fault=fault,
        strategy=strategy,
        calls=calls,
        good=_share(found, 200),
        told=_share(found, TOLD),
        asked=round(asked / calls, 4),
        added_p99=round(_p99(found) - usual, 1),
        seconds=round(perf_counter() - began, 1),
    )


def _share(found: list[tuple[int, float, str]], wanted: int) -> float:
    return round(sum(status == wanted for status, _, _ in found) / len(found) * 100, 3)


async def breaker() -> dict[str, object]:
    """A hard outage of the first target at second 3, its end at second 8."""
    async with bench() as running:
        ill, told = running.providers[0], 0.0

        async def outage() -> None:
            nonlocal told
            await asyncio.sleep(3)
            ill.behaviour = lambda n: status_answer(500)
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


async def main(part: str, calls: int, strategies: Sequence[str], table: FaultTable | None) -> None:
    if part in ("breaker", "all"):
        print(json.dumps({"breaker": await breaker()}), flush=True)
    if part in ("splits", "all"):
        await splits()
    if part in ("faults", "all"):
        await faults(calls, strategies, table)
    if part in ("streams", "all"):
        await faults(calls, strategies, table, stream=True)


def _in_processes(part: str, calls: int, strategies: Sequence[str], table: Path, jobs: int) -> None:
    """A process for each strategy, so many at once."""
    command = [sys.executable, "-m", "benchmarks.reliability", part, str(calls)]

    def run(strategy: str) -> None:
        done = subprocess.run([*command, strategy, "--table", table], check=False)
        if done.returncode:
            print(f"{strategy}: {done.returncode}", file=sys.stderr)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(run, strategies))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="benchmarks.reliability")
    parser.add_argument("part", nargs="?", default="all",
                        choices=("faults", "streams", "breaker", "splits", "all"))  # fmt: skip
    parser.add_argument("calls", nargs="?", type=int, default=1000)
    parser.add_argument("strategies", nargs="*", default=STRATEGIES)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    if given.jobs > 1:
        if given.table is None or given.part not in ("faults", "streams"):
            parser.error("--jobs goes with faults or streams, and --table")
        whole = FaultTable(given.table)
        _in_processes(given.part, given.calls, given.strategies, given.table, given.jobs)
        whole.put_in_order()
    else:
        kept = FaultTable(given.table) if given.table is not None else None
        uvloop.run(main(given.part, given.calls, given.strategies, kept))
