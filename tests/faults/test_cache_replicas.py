"""Two replicas as processes of their own, on one Redis: one asking, and its asker killed."""

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import RequestError

from tests.faults.replicas import replicas
from tests.figures import Figure

BODY = json.dumps(
    {"model": "gpt-4o", "messages": [{"role": "user", "content": "The same."}]}
).encode()
STREAM = BODY[:-1] + b', "stream": true}'


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
    async with replicas(tmp_path, "first_token_ms=1500") as both, ClientBuilder().build() as client:
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
    async with replicas(tmp_path, "first_token_ms=3000") as both, ClientBuilder().build() as client:
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
