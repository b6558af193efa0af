"""Two replicas as processes of their own, on one Redis: one asking, and its asker killed."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec import Struct
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import RequestError

from tests.clients.conftest import Process, start_gateway, start_simulator
from tests.figures import Figure
from tests.ports import free_port
from tests.redis_server import redis_server
from tests.serving import get

BODY = json.dumps(
    {"model": "gpt-4o", "messages": [{"role": "user", "content": "The same."}]}
).encode()
STREAM = BODY[:-1] + b', "stream": true}'


class Pair(Struct):
    one: Process
    other: Process
    simulator: Process

    async def asked(self) -> int:
        """How often the provider was."""
        return len(json.loads((await get(self.simulator.url + "/v1/simulator/calls")).body))


@asynccontextmanager
async def pair(directory: Path, first_token_ms: int) -> AsyncGenerator[Pair, None]:
    with redis_server() as redis:
        simulator = start_simulator(
            directory, free_port(), "keep_calls=10000", f"first_token_ms={first_token_ms}"
        )
        running: list[Process] = []
        try:
            running += [
                await asyncio.to_thread(
                    start_gateway,
                    directory,
                    OPENAI_API_KEY="sk-simulated",
                    OPENAI_BASE_URL=f"{simulator.url}/v1",
                    DATA_DIR=str(directory / name),
                    REDIS_ADDR=redis.address,
                )
                for name in ("one", "other")
            ]
            yield Pair(running[0], running[1], simulator)
        finally:
            for process in running:
                process.process.kill()
                process.process.wait()
            simulator.stop()


async def call(client: Client, url: str, body: bytes = BODY) -> tuple[int, str | None, bytes]:
    """Status, what the cache says, the answer; status 0 where the connection broke."""
    headers = {"content-type": "application/json"}
    request = client.post(url + "/v1/chat/completions").headers(headers).body_bytes(body).build()
    try:
        response = await request.send()
        answer = (await response.bytes()).to_bytes()
    except RequestError:
        return 0, None, b""
    return response.status, response.headers.get("x-gateway-cache"), answer


@pytest.mark.parametrize("body", [BODY, STREAM], ids=["whole", "stream"])
async def test_a_thousand_identical_calls_over_two_replicas_are_asked_once(
    body: bytes, tmp_path: Path, figure: Figure
) -> None:
    async with pair(tmp_path, 1500) as both, ClientBuilder().build() as client:
        urls = (both.one.url, both.other.url)
        got = await asyncio.gather(*(call(client, urls[n % 2], body) for n in range(1000)))
        asked = await both.asked()
    figure("1,000 identical calls over two replicas:", f"{asked} asked of the provider")
    assert asked == 1
    assert {status for status, _, _ in got} == {200}
    assert len({answer for _, _, answer in got}) == 1
    assert Counter(how for _, how, _ in got)["miss"] == 1


async def test_when_the_asking_replica_is_killed_the_other_asks_and_no_caller_of_it_notices(
    tmp_path: Path, figure: Figure
) -> None:
    async with pair(tmp_path, 3000) as both, ClientBuilder().build() as client:
        leading = asyncio.create_task(call(client, both.one.url))
        await asyncio.sleep(0.5)
        waiting = [asyncio.create_task(call(client, both.other.url)) for _ in range(200)]
        await asyncio.sleep(0.7)
        both.one.process.kill()
        got = await asyncio.gather(*waiting)
        broken = await leading
        asked = await both.asked()
    failed = sum(status != 200 for status, _, _ in got)
    figure("the asking replica killed:", f"{failed} of 200 waiting failed, {asked} asked")
    assert broken[0] == 0
    assert {status for status, _, _ in got} == {200}
    assert asked <= 2
