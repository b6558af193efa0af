"""Cohere's own Chat behind callers of every dialect, through the whole gateway."""

import json
from typing import Any

import pytest

from ai_gateway.model.content import Text
from tests.serving import answers, post, providing, serving, streams
from tests.unit.dialects.scenarios import CALL_A, begun, streamed
from tests.unit.dialects.speakers import cohere_stream

TOLD = cohere_stream(
    streamed(
        (Text(text=""), ["I look", " it up."]),
        (begun(CALL_A), ['{"a":', '"b"}']),
        stop="tool_calls",
    )
)
ASKED: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Hi"}]},
    "/v1/responses": {"input": "Hi"},
    "/v1/messages": {"max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]},
    "/v1beta/models/command-a-03-2025:streamGenerateContent?alt=sse": {
        "contents": [{"parts": [{"text": "Hi"}]}]
    },
}


def behind(url: str) -> dict[str, str]:
    return {"COHERE_API_KEY": "canary-cohere", "COHERE_BASE_URL": url.removesuffix("/v1") + "/"}


@pytest.mark.parametrize("path", ASKED)
async def test_a_stream_with_a_plan_and_a_call_reaches_callers_of_every_dialect(path: str) -> None:
    request = {**ASKED[path], "model": "command-a-03-2025", "stream": True}
    if "v1beta" in path:
        del request["model"], request["stream"]
    script = streams(*[TOLD[at : at + 11] for at in range(0, len(TOLD), 11)])
    async with providing(script) as provider, serving(behind(provider.url)) as running:
        got = await post(running.url + path, json.dumps(request).encode())
        assert got.status == 200
        (sent,) = provider.got
    assert (sent.path, sent.headers["authorization"]) == ("/v2/chat", "Bearer canary-cohere")
    assert json.loads(sent.body)["stream"] is True
    assert b"I look" in got.body
    assert b"get_weather" in got.body
    assert b"canary" not in got.body


async def test_an_error_of_coheres_is_told_in_the_callers_words() -> None:
    script = answers(b'{"id":"1","message":"model not found"}', status=404)
    async with providing(script) as provider, serving(behind(provider.url)) as running:
        body = json.dumps({**ASKED["/v1/messages"], "model": "command-a-03-2025"}).encode()
        got = await post(running.url + "/v1/messages", body)
    assert got.status == 404
    assert json.loads(got.body)["error"]["message"].endswith("model not found")
