"""Hours of mixed traffic on one gateway with Redis and PostgreSQL: what it takes must stay what it takes.

    python -m benchmarks.endurance [--minutes 120] [--rate 100] [--write]

Calls come at a steady rate, whatever the answers take: new questions, known ones (Zipf), streams, another
dialect, a provider that fails now and then, callers that leave in mid-stream, wrong calls and unknown
keys. Meanwhile keys are made and deleted, `gateway.yaml` is changed and read anew, and the metrics and
the usage are looked at. Every ten seconds the process is weighed from outside. `--write` puts the
figures and their plot into docs/reliability.md.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import linear_regression, mean, median
from typing import Any

import uvloop
from msgspec import Struct
from pyreqwest.client import Client, ClientBuilder
from tests.clients.conftest import Process, start_gateway, start_simulator
from tests.faults.vitals import cpu_seconds, open_files, resident
from tests.ports import free_port
from tests.postgresql import own_postgresql
from tests.redis_server import redis_server

from benchmarks.scaling.plot import Panel, drawn

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reliability.md"
PLOT = ROOT / "docs" / "images" / "endurance.svg"
BEGIN, END = "<!-- endurance -->\n", "<!-- end of endurance -->\n"
ADMIN = "admin-key-of-the-endurance-run"
EVERY = 10.0
"""Seconds between two looks."""
WARM = 0.5
"""The part of the run in which caches fill; it is drawn, and not judged."""
CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
CONFIG = """
routes:
  steady:
    strategy: weighted
    targets: [{{model: openai/gpt-4o, weight: {weight}}}, {{model: flaky/gpt-4o, weight: 1}}]
providers:
  flaky: {{base_url: "{flaky}/v1", key: "env:FLAKY_KEY"}}
"""


class Look(Struct, frozen=True):
    minute: float
    memory: float
    """MiB, resident."""
    files: int
    tasks: int
    p50: float
    p99: float
    """Of plain calls in these ten seconds, in ms."""
    direct: float
    """The p99 of the same calls made to the provider directly: what the machine itself adds."""
    cpu: float
    """Of one core, in per cent."""


class Traffic:
    """`odd` counts what no caller should have met: its kind and status."""

    def __init__(self, gateway: Process, provider: Process, key: str) -> None:
        self.gateway = gateway
        self.provider = provider
        self.key = key
        self.odd: Counter[str] = Counter()
        self.made: Counter[str] = Counter()
        self.plain: list[float] = []
        """Seconds that plain calls took since the last look."""
        self.direct: list[float] = []
        """Those made to the provider, without the gateway."""
        self._random = random.Random(1)
        self._zipf = [1 / (n + 1) ** 1.1 for n in range(500)]
        self._number = 0
        kinds: dict[str, tuple[int, Callable[[Client], Awaitable[None]]]] = {
            "new": (35, self._new), "direct": (10, self._direct), "known": (25, self._known), "stream": (15, self._stream),
            "messages": (8, self._messages), "route": (7, self._route), "left": (5, self._leave),
            "wrong": (5, self._wrong),
        }  # fmt: skip
        self._kinds = {kind: call for kind, (_, call) in kinds.items()}
        self._shares = [share for share, _ in kinds.values()]

    async def run(self, rate: float, seconds: float) -> None:
        builder = ClientBuilder().timeout(timedelta(seconds=60))
        async with builder.build() as client:
            began, tasks = time.perf_counter(), set[asyncio.Task[None]]()
            sent = 0
            while (now := time.perf_counter() - began) < seconds:
                while sent < now * rate:
                    sent += 1
                    kind = self._random.choices(list(self._kinds), self._shares)[0]
                    task = asyncio.ensure_future(self._one(kind, client))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                await asyncio.sleep(1 / rate)
            await asyncio.gather(*tasks)

    async def _one(self, kind: str, client: Client) -> None:
        self.made[kind] += 1
        try:
            await self._kinds[kind](client)
        except Exception as error:
            self.odd[f"{kind}: {type(error).__name__}"] += 1

    async def _post(
        self, client: Client, path: str, body: object, key: str | None = None, **headers: str
    ) -> tuple[int, bytes]:
        request = client.post(self.gateway.url + path).body_json(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = request.headers({"authorization": f"Bearer {key or self.key}", **named})
        response = await request.build().send()
        return response.status, (await response.bytes()).to_bytes()

    def _asked(self, text: str, **more: object) -> dict[str, object]:
        return {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], **more}

    def _text(self) -> str:
        self._number += 1
        return f"Question {self._number}: " + "word " * self._random.randint(1, 200)

    def _expect(self, kind: str, good: bool, status: int) -> None:
        if not good:
            self.odd[f"{kind}: {status}"] += 1

    async def _new(self, client: Client) -> None:
        started = time.perf_counter()
        user = f"user-{self._random.randrange(2000)}"
        status, _ = await self._post(client, CHAT, self._asked(self._text()), X_User_ID=user)
        self.plain.append(time.perf_counter() - started)
        self._expect("new", status == 200, status)

    async def _direct(self, client: Client) -> None:
        started = time.perf_counter()
        request = client.post(f"{self.provider.url}{CHAT}").body_json(self._asked(self._text()))
        response = await request.build().send()
        await response.bytes()
        self.direct.append(time.perf_counter() - started)

    async def _known(self, client: Client) -> None:
        started = time.perf_counter()
        number = self._random.choices(range(len(self._zipf)), self._zipf)[0]
        status, _ = await self._post(client, CHAT, self._asked(f"Known question {number}"))
        self.plain.append(time.perf_counter() - started)
        self._expect("known", status == 200, status)

    async def _stream(self, client: Client) -> None:
        status, body = await self._post(client, CHAT, self._asked(self._text(), stream=True))
        self._expect("stream", status == 200 and body.endswith(b"data: [DONE]\n\n"), status)

    async def _messages(self, client: Client) -> None:
        stream = self._random.random() < 0.5
        asked = self._asked(self._text(), stream=stream, max_tokens=64)
        status, body = await self._post(client, MESSAGES, asked)
        whole = body.endswith(b'data: {"type":"message_stop"}\n\n') if stream else True
        self._expect("messages", status == 200 and whole, status)

    async def _route(self, client: Client) -> None:
        """Of its two targets one fails every fifth call."""
        status, _ = await self._post(client, CHAT, {**self._asked(self._text()), "model": "steady"})
        self._expect("route", status == 200, status)

    async def _leave(self, client: Client) -> None:
        body = json.dumps(self._asked(self._text(), stream=True)).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.gateway.port)
        writer.write(
            b"POST %s HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            b"authorization: Bearer %s\r\ncontent-length: %d\r\n\r\n%b"
            % (CHAT.encode(), self.key.encode(), len(body), body)
        )
        if self._random.random() < 0.7:
            await reader.read(200)
        writer.close() if self._random.random() < 0.5 else writer.transport.abort()

    async def _wrong(self, client: Client) -> None:
        match self._random.randrange(4):
            case 0:
                asked, key, expected = {"model": "gpt-4o", "messages": "x"}, None, 400
            case 1:
                name = f"no-such-model-{self._random.randrange(10**9)}"
                asked, key, expected = {**self._asked("x"), "model": name}, None, 404
            case 2:
                key = f"sk-gw-{self._random.getrandbits(128):032x}"
                asked, expected = self._asked("x"), 401
            case _:
                asked, key, expected = self._asked("x", temperature=99), None, 400
        status, _ = await self._post(client, CHAT, asked, key)
        self._expect("wrong", status == expected, status)


class Churn(Struct):
    """What operators do meanwhile."""

    traffic: Traffic
    config: Path
    flaky: str
    keys: int = 0
    reloads: int = 0

    async def run(self, client: Client) -> None:
        # A key goes a while after its last call came, so that none still under way has it.
        kept: list[str] = []
        while True:
            await asyncio.sleep(5)
            made = await self._admin(client, "POST", "/admin/keys", {"name": f"k{self.keys}"})
            self.keys += 1
            self.traffic.key = made["key"]
            kept.append(made["details"]["id"])
            if len(kept) > 6:
                await self._admin(client, "DELETE", f"/admin/keys/{kept.pop(0)}")
            if self.keys % 4 == 0:
                self.config.write_text(
                    CONFIG.format(weight=1 + self.keys // 4 % 3, flaky=self.flaky)
                )
                self.reloads += 1
            await self._admin(client, "GET", "/admin/usage?group_by=user")

    async def _admin(self, client: Client, method: str, path: str, body: object = None) -> Any:
        request = client.request(method, self.traffic.gateway.url + path)
        if body is not None:
            request = request.body_json(body)
        response = await request.headers({"authorization": f"Bearer {ADMIN}"}).build().send()
        answer = (await response.bytes()).to_bytes()
        if response.status >= 300:
            self.traffic.odd[f"{method} {path.split('?')[0][:20]}: {response.status}"] += 1
            raise RuntimeError(answer)
        return json.loads(answer) if answer else None


async def look(traffic: Traffic, client: Client, began: float, spent: float) -> Look:
    request = client.get(traffic.gateway.url + "/metrics")
    response = await request.headers({"authorization": f"Bearer {ADMIN}"}).build().send()
    page = (await response.bytes()).to_bytes().decode()
    tasks = next(li for li in page.splitlines() if li.startswith("gateway_tasks "))
    taken, traffic.plain = sorted(traffic.plain), []
    direct, traffic.direct = sorted(traffic.direct), []
    return Look(
        minute=(time.monotonic() - began) / 60,
        memory=resident(traffic.gateway) / 1024,
        files=open_files(traffic.gateway),
        tasks=int(float(tasks.split()[1])),
        p50=taken[len(taken) // 2] * 1000 if taken else 0.0,
        p99=taken[len(taken) * 99 // 100] * 1000 if taken else 0.0,
        direct=direct[len(direct) * 99 // 100] * 1000 if direct else 0.0,
        cpu=(cpu_seconds(traffic.gateway) - spent) / EVERY * 100,
    )


class Verdict(Struct, frozen=True):
    what: str
    figure: str
    holds: bool


def slope(looks: Sequence[Look], of: Callable[[Look], float]) -> tuple[float, float]:
    """By the hour, and its standard error."""
    hours, values = [look.minute / 60 for look in looks], [of(look) for look in looks]
    line = linear_regression(hours, values)
    left = [v - line.intercept - line.slope * h for h, v in zip(hours, values, strict=True)]
    spread = sum((h - mean(hours)) ** 2 for h in hours)
    return line.slope, (sum(r * r for r in left) / max(1, len(left) - 2) / spread) ** 0.5


def calm_p99(looks: Sequence[Look]) -> float:
    """The median of the half in which the provider itself, asked directly, was quickest."""
    calm = sorted(looks, key=lambda at: at.direct)[: len(looks) // 2]
    return median(at.p99 for at in calm)


def verdicts(looks: Sequence[Look], traffic: Traffic) -> list[Verdict]:
    judged = looks[int(len(looks) * WARM) :]
    third = len(judged) // 3
    first, last = judged[:third], judged[-third:]
    found: list[Verdict] = []
    grows, error = slope(judged, lambda at: at.memory)
    usual = mean(at.memory for at in judged)
    hours = (judged[-1].minute - judged[0].minute) / 60
    found.append(
        Verdict(
            "memory",
            f"{min(at.memory for at in judged):.0f} to {max(at.memory for at in judged):.0f} MiB, slope "
            f"{grows:+.1f} ± {2 * error:.1f} MiB an hour",
            # Flat: no growth that can be told from none, or less than 2 % over all that was judged.
            grows - 2 * error <= 0 or grows * hours < 0.02 * usual,
        )
    )
    for what, of in (
        ("open files", lambda at: float(at.files)),
        ("tasks", lambda at: float(at.tasks)),
    ):
        # Calls under way have theirs; what is left behind shows in the least there are.
        before, after = min(of(at) for at in first), min(of(at) for at in last)
        figure = f"at least {before:.0f} at first, {after:.0f} at last"
        found.append(Verdict(what, figure, after <= before * 1.1 + 10))
    before, after = calm_p99(first), calm_p99(last)
    found.append(
        Verdict(
            "p99 of plain calls, while the machine is calm",
            f"{before:.0f} ms at first, {after:.0f} ms at last",
            after <= before * 1.25 + 10,
        )
    )
    odd = sum(traffic.odd.values())
    found.append(
        Verdict(
            "answers other than they should be",
            f"{odd} of {sum(traffic.made.values()):,}" + (f" {dict(traffic.odd)}" if odd else ""),
            odd == 0,
        )
    )
    return found


def picture(looks: Sequence[Look]) -> str:
    end = looks[-1].minute
    step = next(s for s in (1, 2, 5, 10, 20, 60) if end / s <= 12)
    ticks = [(minute / end, f"{minute} min") for minute in range(0, int(end) + 1, step)]
    return drawn(
        "Endurance: one gateway under mixed traffic",
        [
            Panel(title="resident memory, MiB", curves={"memory": [at.memory for at in looks]}),
            Panel(title="open files and tasks", curves={
                "open files": [float(at.files) for at in looks], "tasks": [float(at.tasks) for at in looks]}),
            Panel(title="plain calls, ms", curves={
                "p50": [at.p50 for at in looks], "p99": [at.p99 for at in looks],
                "p99 straight to the provider": [at.direct for at in looks]}),
            Panel(title="CPU, % of a core", curves={"CPU": [at.cpu for at in looks]}),
        ],
        ticks,
    )  # fmt: skip


async def endure(minutes: float, rate: float) -> tuple[list[Look], Traffic, Churn]:
    looks: list[Look] = []
    with ExitStack() as stack:
        directory = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="endure-", dir="/tmp"))
        )
        redis = stack.enter_context(redis_server())
        postgresql = stack.enter_context(own_postgresql())
        pace = ("first_token_ms=30", "tokens_per_second=400")
        good = start_simulator(directory, free_port(), *pace)
        stack.callback(good.stop)
        flaky = start_simulator(directory, free_port(), *pace, "error_rate=0.2")
        stack.callback(flaky.stop)
        config = directory / "gateway.yaml"
        config.write_text(CONFIG.format(weight=1, flaky=flaky.url))
        environ = {
            "CONFIG": str(config), "OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": f"{good.url}/v1",
            "FLAKY_KEY": "sk-y", "ADMIN_KEY": ADMIN, "DATA_DIR": str(directory / "data"),
            "REDIS_ADDR": redis.address, "DATABASE_URL": postgresql.url(), "CACHE_TTL": "2",
            "RATE_LIMIT_CAPACITY": "100000", "RATE_LIMIT_REFILL_RATE": "1000",
            "CACHE_MEMORY_BYTES": str(4 * 1024 * 1024),
        }  # fmt: skip
        gateway = start_gateway(directory, **environ)
        stack.callback(gateway.stop)
        async with ClientBuilder().build() as client:
            traffic = Traffic(gateway, good, "")
            churn = Churn(traffic, config, flaky.url)
            made = await churn._admin(client, "POST", "/admin/keys", {"name": "first"})
            traffic.key = made["key"]
            began = time.monotonic()
            calling = asyncio.ensure_future(traffic.run(rate, minutes * 60))
            churning = asyncio.ensure_future(churn.run(client))
            while not calling.done():
                spent = cpu_seconds(gateway)
                await asyncio.wait([calling], timeout=EVERY)
                if calling.done():
                    break
                looks.append(await look(traffic, client, began, spent))
                at = looks[-1]
                print(
                    f"{at.minute:6.1f} min  {at.memory:6.1f} MiB  {at.files:4d} files  {at.tasks:4d} "
                    f"tasks  p50 {at.p50:6.1f}  p99 {at.p99:6.1f} ms  {at.cpu:5.1f} % CPU  "
                    f"odd {sum(traffic.odd.values())}",
                    flush=True,
                )
            churning.cancel()
            await asyncio.wait([churning])
            if not churning.cancelled():
                churning.result()
            await calling
    return looks, traffic, churn


def written(minutes: float, rate: float, churn: Churn, found: Sequence[Verdict]) -> list[str]:
    made = churn.traffic.made
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in made.most_common())
    return [
        f"{minutes:.0f} minutes at {rate:.0f} calls a second with Redis and PostgreSQL, "
        f"on {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores shared with other work: {kinds}; "
        f"{churn.keys} keys made and deleted, the file read anew {churn.reloads} times. The first half, "
        "in which caches fill, is drawn and not judged.",
        "",
        "| | measured | holds |",
        "| --- | --- | --- |",
        *(f"| {v.what} | {v.figure} | {'yes' if v.holds else '**NO**'} |" for v in found),
        "",
        "![memory, files, tasks, latency and CPU over time](images/endurance.svg)",
        "",
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--rate", type=float, default=100, help="calls a second")
    parser.add_argument("--write", action="store_true", help="into docs/reliability.md")
    given = parser.parse_args()
    looks, traffic, churn = uvloop.run(endure(given.minutes, given.rate))
    found = verdicts(looks, traffic)
    lines = written(given.minutes, given.rate, churn, found)
    print("\n".join(lines))
    if given.write:
        PLOT.write_text(picture(looks))
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(before + BEGIN + "\n" + "\n".join(lines) + END + rest.partition(END)[2])
    return 0 if all(v.holds for v in found) else 1


if __name__ == "__main__":
    sys.exit(main())
