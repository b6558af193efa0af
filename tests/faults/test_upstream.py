"""A provider that fails in every way, before a real process: alone, and with a second one that is well."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter

import pytest
from msgspec import Struct
from pyreqwest.client import Client, ClientBuilder

from ai_gateway.dialects.sse import MAX_EVENT_BYTES
from tests.clients.conftest import Process, start_gateway
from tests.faults.load import percentile
from tests.faults.upstream import FAULTS, Fault, good
from tests.faults.vitals import open_files, resident
from tests.figures import Figure
from tests.serving import Provider, Script, get, providing

pytestmark = pytest.mark.slow

CHAT = "/v1/chat/completions"
CALLS = 60
"""Of each kind, by AT_ONCE callers."""
AT_ONCE = 6
CONFIG = """
providers:
  ill: {{base_url: "{ill}"}}
  well: {{base_url: "{well}"}}
routes:
  alone: {{targets: [{{model: ill/m}}], attempt_timeout: 0.5, retries: 0}}
  both: {{targets: [{{model: ill/m}}, {{model: well/m}}], attempt_timeout: 0.5}}
  streamed: {{targets: [{{model: ill/s}}, {{model: well/s}}], attempt_timeout: 0.5}}
  usual: {{targets: [{{model: well/m}}]}}
"""
CANARY = "canary-credential"


class Seen(Struct, frozen=True):
    status: int
    seconds: float
    body: bytes
    attempts: int

    @property
    def whole(self) -> bool:
        return self.status == 200 and b'"error"' not in self.body and b"word" in self.body

    @property
    def ends_in_one_error(self) -> bool:
        """Whole events, of which the last is the only error."""
        events = self.body.decode().strip().split("\n\n")
        return self.body.endswith(b"\n\n") and [b'"error"' in e.encode() for e in events] == [
            *[False] * (len(events) - 1),
            True,
        ]


@asynccontextmanager
async def ill_and_well(
    script: Script, directory: Path
) -> AsyncGenerator[tuple[Process, Provider, Provider], None]:
    async with providing(script) as ill, providing(good) as well:
        config = directory / "gateway.yaml"
        config.write_text(CONFIG.format(ill=ill.url, well=well.url))
        gateway = await asyncio.to_thread(
            lambda: start_gateway(
                directory, CONFIG=str(config), CACHE_TTL="0", DATA_DIR=str(directory / "data"),
                TOTAL_TIMEOUT="10", FIRST_BYTE_TIMEOUT="0.5", IDLE_TIMEOUT="0.5",
                MAX_ANSWER_BYTES="8000000",
            )
        )  # fmt: skip
        try:
            yield gateway, ill, well
        finally:
            await asyncio.to_thread(gateway.stop)


async def call(client: Client, url: str, model: str, stream: bool) -> Seen:
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": CANARY}]}
    started = perf_counter()
    response = await client.post(url + CHAT).body_json(body).build().send()
    answer = (await response.bytes()).to_bytes()
    attempts = int(response.headers.get("x-gateway-attempts", "0"))
    return Seen(response.status, perf_counter() - started, answer, attempts)


async def many(url: str, model: str, stream: bool, calls: int = CALLS) -> list[Seen]:
    left = iter(range(calls))
    found: list[Seen] = []
    async with ClientBuilder().build() as client:

        async def caller() -> None:
            found.extend([await call(client, url, model, stream) for _ in left])

        await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    return found


def p99(seen: list[Seen]) -> float:
    return percentile(sorted(one.seconds for one in seen), 0.99)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.number}: {fault.name}")
async def test_with_a_second_provider_no_answer_is_lost_that_had_not_begun(
    fault: Fault, tmp_path: Path, figure: Figure
) -> None:
    async with ill_and_well(fault.script, tmp_path) as (gateway, ill, well):
        usual = await many(gateway.url, "usual", stream=False)
        before, files = resident(gateway), open_files(gateway)
        asked = len(ill.got) + len(well.got)
        whole = await many(gateway.url, "both", stream=False)
        streamed = await many(gateway.url, "streamed", stream=True)
        asked = len(ill.got) + len(well.got) - asked
        alone = [
            one
            for stream in (False, True)
            for one in await many(gateway.url, "alone", stream=stream, calls=AT_ONCE)
        ]
        await asyncio.sleep(0.2)
        grown, more = resident(gateway) - before, open_files(gateway) - files
        health = await get(gateway.url + "/health")
        in_flight = (await get(gateway.url + "/metrics")).body
    lost = sum(not one.whole for one in whole) + sum(not one.whole for one in streamed)
    figure(
        f"{fault.name}:",
        f"{2 * CALLS - lost} of {2 * CALLS} whole, {asked / (2 * CALLS):.2f} asked a call, p99 "
        f"{p99(usual) * 1000:.0f} -> {p99(whole) * 1000:.0f} ms, memory {grown / 1024:+.0f} MiB",
    )
    assert all(one.whole for one in whole), Counter(one.status for one in whole)
    if fault.stream == "error event":
        # Until the breaker opens each one ends in its error; from then on the second one answers.
        assert all(one.whole or one.ends_in_one_error for one in streamed)
        assert any(one.ends_in_one_error for one in streamed)
    else:
        assert all(one.whole for one in streamed), Counter(one.status for one in streamed)
    if fault.stream == "whole" or fault.whole == "whole":
        assert len(ill.got) > CALLS
    assert max(one.attempts for one in whole + streamed) <= 4
    for one in alone:
        told = (*fault.alone, 503)  # the breaker may be open by then
        assert one.status in told, one.body
        assert one.whole or b'"error"' in one.body
        assert CANARY.encode() not in one.body
        assert one.seconds < 3.5
    assert health.status == 200
    assert b"\ngateway_in_flight 0" in in_flight
    # What callers at once may have had in hand, of which an allocator need not give all back.
    held = AT_ONCE * MAX_EVENT_BYTES // 1024 if fault.number == 14 else 0
    assert grown < 48 * 1024 + held
    assert more <= 2 * AT_ONCE


async def test_a_provider_that_refuses_connections_is_passed_over(
    tmp_path: Path, figure: Figure
) -> None:
    async with ill_and_well(good, tmp_path) as (gateway, _, well):
        usual = await many(gateway.url, "usual", stream=False)
        config = tmp_path / "gateway.yaml"
        config.write_text(CONFIG.format(ill="http://127.0.0.1:1/v1", well=well.url))
        for _ in range(100):
            await asyncio.sleep(0.1)
            async with ClientBuilder().build() as client:
                seen = await call(client, gateway.url, "alone", stream=False)
            if seen.status != 200:
                break
        assert seen.status == 502
        assert json.loads(seen.body)["error"]["code"] == "upstream_connect"
        both = [
            one
            for stream in (False, True)
            for one in await many(gateway.url, "both", stream=stream)
        ]
    figure(
        "refused:",
        f"{sum(one.whole for one in both)} of {len(both)} whole, p99 {p99(usual) * 1000:.0f} -> "
        f"{p99(both) * 1000:.0f} ms",
    )
    assert all(one.whole for one in both)
