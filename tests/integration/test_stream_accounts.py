"""What a stream used is in its account, whenever the provider tells it and whenever the caller leaves."""

import asyncio
import json

import pytest

from tests.integration.test_caching import STREAM, USAGE, asked, call
from tests.serving import Running, get, in_front_of, post, providing, serving, streams

CHAT = "/v1/chat/completions"


async def counted(running: Running, name: str) -> float:
    page = (await get(f"{running.url}/metrics")).body.decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line.startswith(name))


async def settled(running: Running) -> None:
    for _ in range(200):
        if not running.gateway.metrics.in_flight:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("a call is still in flight")


@pytest.mark.parametrize("ttl", ["0", "60"], ids=["not cached", "cached"])
@pytest.mark.parametrize("pause", [0.0, 0.03], ids=["at once", "event by event"])
async def test_what_a_whole_stream_used_is_charged(ttl: str, pause: float) -> None:
    told = json.loads(USAGE[len("data: ") :])["usage"]
    async with (
        providing(streams(*STREAM, pause=pause)) as provider,
        serving({**in_front_of(provider), "CACHE_TTL": ttl}) as running,
    ):
        await post(running.url + CHAT, asked(stream=True))
        await settled(running)
        assert await counted(running, 'llm_tokens_used_total{model="gpt-4o"') == (
            told["prompt_tokens"] + told["completion_tokens"]
        )
        assert await counted(running, "llm_cost_usd_total{") > 0


@pytest.mark.parametrize("ttl", ["0", "60"], ids=["not cached", "cached"])
async def test_who_leaves_between_finish_and_usage_is_charged_an_estimate(ttl: str) -> None:
    async with (
        providing(streams(*STREAM, pause=0.2)) as provider,
        serving({**in_front_of(provider), "CACHE_TTL": ttl}) as running,
    ):
        reader, writer = await call(running, asked(stream=True))
        await reader.readuntil(b'"stop"')
        writer.close()
        await settled(running)
        assert await counted(running, "llm_cost_usd_total{") > 0
