"""A stream asked for on one replica and followed on another: live, across dialects, its asker killed.

Two replicas as processes of their own, on one Redis.
"""

import asyncio
import json
from pathlib import Path
from time import monotonic

from msgspec import Struct
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import RequestError

from tests.faults.replicas import Replicas, replicas
from tests.faults.test_cache_replicas import call
from tests.figures import Figure

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
WHOLE = json.dumps(
    {"model": "gpt-4o", "max_tokens": 500, "messages": [{"role": "user", "content": "The same."}]}
).encode()
STREAM = WHOLE[:-1] + b', "stream": true, "stream_options": {"include_usage": true}}'
PLAIN_STREAM = WHOLE[:-1] + b', "stream": true}'
TOKENS, RATE = 60, 20
ANSWER = f"answer_tokens={TOKENS}"
SECONDS = TOKENS / RATE
"""What the provider takes for one answer."""


class Read(Struct):
    """A stream as its caller got it."""

    started: float
    how: str | None = None
    status: int = 0
    times: list[float] = []
    data: bytes = b""
    broken: bool = False

    @property
    def first(self) -> float:
        return self.times[0] - self.started

    @property
    def last(self) -> float:
        return self.times[-1] - self.started


def copied(both: Replicas) -> int:
    return len(both.state.keys("gw:live:*"))  # pyright: ignore


async def read(client: Client, url: str, path: str = CHAT, body: bytes = STREAM) -> Read:
    got = Read(monotonic())
    headers = {"content-type": "application/json"}
    request = (
        client.post(url + path)
        .headers(headers)
        .body_bytes(body)
        .streamed_read_buffer_limit(0)
        .build_streamed()
    )
    try:
        async with request as response:
            got.status, got.how = response.status, response.headers.get("x-gateway-cache")
            while (piece := await response.body_reader.read_chunk()) is not None:
                got.times.append(monotonic())
                got.data += bytes(piece)
    except RequestError:
        got.broken = True
    return got


async def test_a_late_caller_of_another_replica_gets_what_has_come_and_then_follows(
    tmp_path: Path, figure: Figure
) -> None:
    async with (
        replicas(tmp_path, ANSWER, f"tokens_per_second={RATE}") as both,
        ClientBuilder().build() as client,
    ):
        leading = asyncio.create_task(read(client, both.one.url))
        await asyncio.sleep(SECONDS / 2)
        unwatched = copied(both)
        late = await asyncio.gather(*(read(client, both.other.url) for _ in range(20)))
        leader = await leading
        asked, copies = await both.asked(), copied(both)
    first, last = max(one.first for one in late), min(one.last for one in late)
    figure(
        "a stream joined halfway from another replica:",
        f"first piece after {first * 1e3:.0f} ms at most, the end after {last:.2f} s",
    )
    assert (asked, unwatched) == (1, 0)
    assert {one.data for one in late} == {leader.data}
    assert {one.how for one in late} == {"joined"}
    assert first < SECONDS / 4
    assert SECONDS / 4 < last < SECONDS
    assert all(len(one.times) > 5 for one in late)
    assert copies == 0, "what was copied goes with its last reader"


async def test_it_is_followed_in_another_dialect_too(tmp_path: Path) -> None:
    async with (
        replicas(tmp_path, ANSWER, f"tokens_per_second={RATE}") as both,
        ClientBuilder().build() as client,
    ):
        leading = asyncio.create_task(read(client, both.one.url))
        await asyncio.sleep(SECONDS / 4)
        late = await read(client, both.other.url, MESSAGES, PLAIN_STREAM)
        await leading
        asked = await both.asked()
    assert (asked, late.how) == (1, "joined")
    assert late.first < SECONDS / 4
    assert late.data.rstrip().endswith(b'data: {"type":"message_stop"}')


async def test_with_the_asker_killed_before_the_first_byte_no_waiting_stream_notices(
    tmp_path: Path, figure: Figure
) -> None:
    async with (
        replicas(tmp_path, ANSWER, "first_token_ms=3000") as both,
        ClientBuilder().build() as client,
    ):
        leading = asyncio.create_task(read(client, both.one.url))
        await asyncio.sleep(0.5)
        waiting = [asyncio.create_task(read(client, both.other.url)) for _ in range(100)]
        await asyncio.sleep(0.7)
        both.one.process.kill()
        got = await asyncio.gather(*waiting)
        assert (await leading).broken
        asked = await both.asked()
    whole = sum(one.data.rstrip().endswith(b"[DONE]") for one in got)
    figure(
        "the asker killed before its first byte:", f"{whole} of 100 streams whole, {asked} asked"
    )
    assert (whole, asked) == (100, 2)
    assert len({one.data for one in got}) == 1


async def test_with_the_asker_killed_mid_stream_those_who_follow_are_told_and_others_are_asked_for_once(
    tmp_path: Path, figure: Figure
) -> None:
    async with (
        replicas(tmp_path, ANSWER, f"tokens_per_second={RATE}") as both,
        ClientBuilder().build() as client,
    ):
        leading = asyncio.create_task(read(client, both.one.url))
        await asyncio.sleep(SECONDS / 4)
        following = [asyncio.create_task(read(client, both.other.url)) for _ in range(20)]
        await asyncio.sleep(SECONDS / 4)
        both.one.process.kill()
        killed = monotonic()
        cut = await asyncio.gather(*following)
        told = monotonic() - killed
        whole = await asyncio.gather(*(call(client, both.other.url, WHOLE) for _ in range(20)))
        await leading
        asked = await both.asked()
    figure(
        "the asker killed mid-stream:",
        f"its followers told after {told:.1f} s; 20 who came then answered, {asked} asked",
    )
    assert all(one.status == 200 and b'"error"' in one.data for one in cut)
    assert not any(
        one.data.rstrip().endswith(b"[DONE]") and b'"error"' not in one.data for one in cut
    )
    assert {status for status, _, _ in whole} == {200}
    assert asked == 2
