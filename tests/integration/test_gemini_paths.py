"""Gemini's endpoints name the model in the path, and its providers are asked by a path."""

import json
from pathlib import Path

import pytest

from tests.serving import answers, ask, in_front_of, post, providing, serving, streams

ANSWER = json.dumps(
    {
        "candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1},
    }
).encode()
BODY = b'{"contents":[{"parts":[{"text":"Hi"}]}]}'
CHAT = b'{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"Hi"}]}'


async def test_the_model_and_the_stream_are_asked_for_by_path_and_the_key_by_header() -> None:
    async with providing(answers(ANSWER)) as provider, serving(in_front_of(provider)) as running:
        answer = await post(
            f"{running.url}/v1beta/models/gemini-2.5-flash:generateContent",
            BODY,
            {"x-goog-api-key": "callers-own"},
        )
        assert (answer.status, answer.body) == (200, ANSWER)
        got = provider.got[0]
        assert got.path == "/v1/models/gemini-2.5-flash:generateContent"
        assert got.body == BODY
        assert got.headers["x-goog-api-key"] == "canary-gemini"
        assert "callers-own" not in str(got.headers)
        provider.script = streams(b"data: " + ANSWER + b"\n\n")
        streamed = await post(
            f"{running.url}/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse", BODY
        )
        assert streamed.body == b"data: " + ANSWER + b"\n\n"
        assert provider.got[1].path == "/v1/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
        assert "key=" not in provider.got[1].path


ODD_NAMES = [
    ("a/../../admin", "a%2F..%2F..%2Fadmin"),
    ("a?key=x", "a%3Fkey%3Dx"),
    ("a#b c", "a%23b%20c"),
    ("a:b", "a%3Ab"),
]


@pytest.mark.parametrize(("name", "sent"), ODD_NAMES)
async def test_a_models_name_never_becomes_more_than_a_name(name: str, sent: str) -> None:
    async with providing(answers(ANSWER)) as provider, serving(in_front_of(provider)) as running:
        body = json.dumps({**json.loads(CHAT), "model": f"gemini/{name}"}).encode()
        assert (await post(f"{running.url}/v1/chat/completions", body)).status == 200
        assert provider.got[0].path == f"/v1/models/{sent}:generateContent"


async def test_a_stream_in_any_other_form_than_events_is_refused() -> None:
    async with providing(answers(ANSWER)) as provider, serving(in_front_of(provider)) as running:
        url = f"{running.url}/v1beta/models/gemini-2.5-flash:streamGenerateContent"
        answer = await post(url, BODY)
        assert answer.status == 400
        assert json.loads(answer.body)["error"]["status"] == "INVALID_ARGUMENT"
        assert provider.got == []


async def test_googles_refusal_of_the_gateways_key_is_no_callers_fault() -> None:
    error = {
        "code": 400,
        "message": "API key not valid: canary-gemini.",
        "status": "INVALID_ARGUMENT",
        "details": [{"reason": "API_KEY_INVALID"}],
    }
    script = answers(json.dumps({"error": error}).encode(), 400)
    async with providing(script) as provider, serving(in_front_of(provider)) as running:
        for url, body in (
            ("/v1beta/models/gemini-2.5-flash:generateContent", BODY),
            ("/v1/chat/completions", CHAT),
        ):
            answer = await post(running.url + url, body)
            assert answer.status == 502
            assert b"canary" not in answer.body
            assert b"API key" not in answer.body


async def test_errors_are_in_googles_words_on_googles_paths() -> None:
    async with providing(answers(ANSWER)) as provider, serving(in_front_of(provider)) as running:
        unknown = await post(f"{running.url}/v1beta/models/nobody/x:generateContent", BODY)
        assert (unknown.status, json.loads(unknown.body)["error"]["status"]) == (404, "NOT_FOUND")
        wrong = await ask("GET", f"{running.url}/v1beta/models/gemini-2.5-flash:generateContent")
        assert wrong.status == 405
        assert json.loads(wrong.body)["error"]["status"] == "UNIMPLEMENTED"
        nothing = await post(f"{running.url}/v1beta/nothing", BODY)
        assert json.loads(nothing.body)["error"]["code"] == 404


async def test_a_call_that_only_its_own_dialect_can_say_is_relayed_to_the_target_that_speaks_it(
    tmp_path: Path,
) -> None:
    config = tmp_path / "gateway.yaml"
    targets = "[{model: anthropic/claude-sonnet-4-5}, {model: openai/gpt-4o}]"
    config.write_text(f"routes:\n  both:\n    targets: {targets}\n")
    whole = b'{"id":"resp_1","object":"response","status":"completed","model":"m","output":[]}'
    async with (
        providing(answers(whole)) as provider,
        serving(in_front_of(provider), config) as running,
    ):
        body = b'{"model":"both","input":"Hi","previous_response_id":"resp_0"}'
        answer = await post(f"{running.url}/v1/responses", body)
        assert (answer.status, answer.body) == (200, whole)
        assert json.loads(provider.got[0].body)["previous_response_id"] == "resp_0"


async def test_googles_advice_on_trying_again_reaches_callers_of_other_dialects() -> None:
    details = [{"retryDelay": "7s"}]
    error = {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED", "details": details}
    script = answers(json.dumps({"error": error}).encode(), 429)
    async with providing(script) as provider, serving(in_front_of(provider)) as running:
        answer = await post(
            f"{running.url}/v1/chat/completions", CHAT, {"x-gateway-timeout-ms": "900"}
        )
        assert answer.status == 429
        assert answer.headers["retry-after"] == "7"
