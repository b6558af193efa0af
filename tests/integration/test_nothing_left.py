"""A call that is over is gone at once: nothing of it waits for the garbage collector."""

import asyncio
import gc
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from ai_gateway.model.call import Outcome
from tests.serving import Got, Script, answers, in_front_of, post, providing, serving, streams

CHAT = "/v1/chat/completions"
REFUSED = b'{"error":{"message":"no"}}'
ANSWER = (
    b'{"id":"c1","object":"chat.completion","created":7,"model":"gpt-4o","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"4"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6}}'
)
PIECES = (
    b'data: {"id":"c1","object":"chat.completion.chunk","created":7,"model":"gpt-4o","choices":'
    b'[{"index":0,"delta":{"content":"4"},"finish_reason":"stop"}]}\n\n',
    b"data: [DONE]\n\n",
)


async def hangs_up(got: Got, writer: asyncio.StreamWriter) -> None:
    writer.close()


@contextmanager
def uncollected() -> Generator[list[object], None, None]:
    """What only the garbage collector could free, of what was made inside."""
    found: list[object] = []
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield found
        gc.collect()
        found += gc.garbage
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.parametrize("cache", ["0", "5"], ids=["no-cache", "cache"])
@pytest.mark.parametrize(
    ("script", "stream", "status"),
    [
        pytest.param(answers(ANSWER), False, 200, id="answered"),
        pytest.param(streams(*PIECES), True, 200, id="streamed"),
        pytest.param(answers(REFUSED, 400), False, 400, id="refused"),
        pytest.param(answers(REFUSED, 400), True, 400, id="refused-stream"),
        pytest.param(answers(REFUSED, 500), False, 500, id="failed"),
        pytest.param(answers(REFUSED, 500), True, 500, id="failed-stream"),
        pytest.param(hangs_up, False, 502, id="hung-up"),
        pytest.param(hangs_up, True, 502, id="hung-up-stream"),
    ],
)
async def test_a_call_leaves_no_cycles_behind(
    script: Script, stream: bool, status: int, cache: str
) -> None:
    def asked(number: int) -> bytes:
        told = b"true" if stream else b"false"
        words = b'[{"role":"user","content":"%d"}]' % number
        return b'{"model":"openai/gpt-4o","stream":%b,"messages":%b}' % (told, words)

    async with (
        providing(script) as provider,
        serving({**in_front_of(provider), "CACHE_TTL": cache}) as running,
    ):
        # The first one imports things.
        assert (await post(running.url + CHAT, asked(0))).status == status
        with uncollected() as found:
            for number in range(1, 4):
                await post(running.url + CHAT, asked(number))
            await asyncio.sleep(0.05)
        assert [thing for thing in found if isinstance(thing, Outcome)] == []
