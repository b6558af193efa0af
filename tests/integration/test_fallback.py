"""Always an answer while one target is left: fall-back, retries, credentials, deadlines."""

import asyncio
import json
import re
import time
from pathlib import Path

import pytest

from tests.serving import Got, Script, answers, get, post, providing, streams

from .routes import (
    CHAT,
    CHUNK,
    GOOD,
    GOOD_STREAM,
    MESSAGES,
    answer,
    asked,
    good,
    refusal,
    routing,
)


async def _hang(got: Got, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def _reset(got: Got, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def _cut(got: Got, writer: asyncio.StreamWriter) -> None:
    writer.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n{"
    )
    await writer.drain()


ERROR_EVENT = b'data: {"error":{"message":"overloaded","code":529}}\n\n'

FAILING: dict[str, Script] = {
    "answers 500": refusal(500),
    "answers 503": refusal(503),
    "answers 529": refusal(529),
    "answers 429": refusal(429, retry_after="30"),
    "refuses the credential": refusal(401),
    "forbids": refusal(403),
    "wants money": refusal(402),
    "does not know the model": refusal(404),
    "redirects": refusal(302, location="http://127.0.0.1:1/"),
    "sends HTML": answers(b"<html>", content_type="text/html"),
    "sends truncated JSON": answers(b'{"choices":[{"mess'),
    "resets": _reset,
    "closes in the middle of a body": _cut,
    "never answers": _hang,
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", [CHAT, MESSAGES])
@pytest.mark.parametrize("fault", FAILING)
async def test_the_next_target_answers_in_place_of_one_that(
    fault: str, path: str, stream: bool, tmp_path: Path
) -> None:
    scripts = [FAILING[fault], good("second")]
    async with routing(tmp_path, scripts, route="attempt_timeout: 0.2") as routed:
        started = time.monotonic()
        got = await post(routed.url + path, asked(stream=stream))
        assert got.status == 200, got.body
        assert b"second" in got.body
        assert got.headers["x-gateway-provider"] == "b"
        assert got.headers["x-gateway-attempts"] == "2"
        assert routed.counts() == [1, 1]
        assert time.monotonic() - started < 5


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
async def test_a_stream_that_fails_before_its_first_piece_is_replaced(
    path: str, tmp_path: Path
) -> None:
    for broken in (streams(ERROR_EVENT), streams(b""), streams(CHUNK[:30])):
        async with routing(tmp_path, [broken, GOOD_STREAM]) as routed:
            got = await post(routed.url + path, asked(stream=True))
            assert got.status == 200
            assert b"word" in got.body
            assert b'"error"' not in got.body


async def test_a_stream_that_breaks_after_its_first_piece_is_not_begun_again(
    tmp_path: Path,
) -> None:
    async with routing(tmp_path, [streams(CHUNK, pause=0.05), GOOD_STREAM]) as routed:
        got = await post(routed.url + CHAT, asked(stream=True))
        assert got.body.count(b"word") == 1
        assert b"stream_cut" in got.body
        assert routed.counts() == [1, 0]


@pytest.mark.parametrize("status", [400, 422])
async def test_a_callers_mistake_is_told_and_not_tried_elsewhere(
    status: int, tmp_path: Path
) -> None:
    async with routing(tmp_path, [refusal(status), GOOD]) as routed:
        got = await post(routed.url + CHAT, asked())
        assert got.status == status
        assert routed.counts() == [1, 0]


async def test_each_target_is_asked_in_its_own_dialect(tmp_path: Path) -> None:
    claude = json.dumps(
        {
            "id": "m", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5",
            "content": [{"type": "text", "text": "from claude"}], "stop_reason": "end_turn",
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }
    ).encode()  # fmt: skip
    more = "  both:\n    targets:\n      - model: a/m\n      - model: anthropic/claude-sonnet-4-5\n"
    async with providing(answers(claude)) as provider:
        environ = {"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": provider.url}
        async with routing(tmp_path, [refusal(500)], more=more, **environ) as routed:
            got = await post(routed.url + CHAT, asked("both"))
            assert json.loads(got.body)["choices"][0]["message"]["content"] == "from claude"
            assert provider.got[0].path == "/v1/messages"


async def test_the_last_failure_is_told_where_all_fail(tmp_path: Path) -> None:
    scripts = [refusal(500), refusal(503, retry_after="99")]
    async with routing(tmp_path, scripts, route="retries: 0") as routed:
        got = await post(routed.url + CHAT, asked())
        assert got.status == 503
        assert got.headers["retry-after"] == "99"
        assert got.headers["x-gateway-attempts"] == "2"


async def test_a_lone_target_is_asked_again_at_most_twice(tmp_path: Path) -> None:
    async with routing(tmp_path, [refusal(500)]) as routed:
        got = await post(routed.url + CHAT, asked())
        assert got.status == 500
        assert routed.counts() == [3]
        assert got.headers["x-gateway-attempts"] == "3"


async def test_a_flicker_is_not_seen_by_the_caller(tmp_path: Path) -> None:
    calls = 0

    async def flicker(got: Got, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        await (refusal(503) if calls == 1 else GOOD)(got, writer)

    async with routing(tmp_path, [flicker]) as routed:
        got = await post(routed.url + CHAT, asked())
        assert got.status == 200
        assert got.headers["x-gateway-attempts"] == "2"


@pytest.mark.parametrize(
    ("headers", "asks"),
    [
        ({"retry_after": "0"}, 3),
        ({"retry_after": "1000000000"}, 1),
        ({"retry_after": "garbage"}, 3),
        ({"retry_after": "Wed, 21 Oct 2099 07:28:00 GMT"}, 1),
        ({"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 3),
        ({"retry_after_ms": "10"}, 3),
        ({"x_should_retry": "false"}, 1),
    ],
)
async def test_a_providers_advice_on_trying_again_wins(
    headers: dict[str, str], asks: int, tmp_path: Path
) -> None:
    async with routing(tmp_path, [refusal(429, **headers)]) as routed:
        started = time.monotonic()
        got = await post(routed.url + CHAT, asked())
        assert got.status == 429
        assert routed.counts() == [asks]
        assert time.monotonic() - started < 2


async def test_no_retry_starts_that_the_callers_time_does_not_allow(tmp_path: Path) -> None:
    script = refusal(503, retry_after="2")
    async with routing(tmp_path, [script]) as routed:
        started = time.monotonic()
        got = await post(routed.url + CHAT, asked(), {"x-gateway-timeout-ms": "1000"})
        assert got.status == 503
        assert routed.counts() == [1]
        assert time.monotonic() - started < 1.5


@pytest.mark.timing
async def test_the_deadline_holds_over_all_attempts(tmp_path: Path) -> None:
    async with routing(tmp_path, [_hang, _hang, _hang], route="attempt_timeout: 0.4") as routed:
        started = time.monotonic()
        got = await post(routed.url + CHAT, asked(), {"x-gateway-timeout-ms": "600"})
        assert got.status == 504
        assert time.monotonic() - started < 0.9
        assert routed.counts()[2] == 0


async def test_a_throttled_credential_gives_way_to_the_next_and_rests(tmp_path: Path) -> None:
    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        throttled = got.headers["authorization"] == "Bearer one"
        await (refusal(429, retry_after="30") if throttled else GOOD)(got, writer)

    async with routing(tmp_path, [script], keys=["one", "two"]) as routed:
        for _ in range(6):
            assert (await post(routed.url + CHAT, asked())).status == 200
        shown = [got.headers["authorization"] for got in routed.providers["a"].got]
        assert shown.count("Bearer one") == 1
        assert shown.count("Bearer two") == 6


@pytest.mark.parametrize("status", [401, 402])
async def test_a_refused_credential_rests_for_every_model(status: int, tmp_path: Path) -> None:
    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        refused = got.headers["authorization"] == "Bearer one"
        await (refusal(status) if refused else GOOD)(got, writer)

    async with routing(tmp_path, [script], keys=["one", "two"]) as routed:
        for model in ("smart", "a/other", "a/third", "smart"):
            assert (await post(routed.url + CHAT, asked(model))).status == 200
        shown = [got.headers["authorization"] for got in routed.providers["a"].got]
        assert shown.count("Bearer one") == 1


async def test_credentials_are_used_in_turn(tmp_path: Path) -> None:
    async with routing(tmp_path, [GOOD], keys=["one", "two", "three"]) as routed:
        for _ in range(6):
            await post(routed.url + CHAT, asked())
        shown = [got.headers["authorization"] for got in routed.providers["a"].got]
        assert sorted(shown) == sorted([f"Bearer {k}" for k in ("one", "two", "three")] * 2)


async def test_a_target_without_quota_left_goes_last(tmp_path: Path) -> None:
    spent = answers(
        answer("first"),
        headers={"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m0s"},
    )
    async with routing(tmp_path, [spent, good("second")]) as routed:
        for _ in range(4):
            await post(routed.url + CHAT, asked())
        assert routed.counts() == [1, 3]


async def test_an_open_breaker_spares_the_target_and_the_caller(tmp_path: Path) -> None:
    async with routing(tmp_path, [refusal(500), good("second")]) as routed:
        for _ in range(40):
            assert (await post(routed.url + CHAT, asked())).status == 200
        assert routed.counts() == [20, 40]


async def test_streams_that_all_stall_open_the_breaker_whatever_went_well_before(
    tmp_path: Path,
) -> None:
    well = True

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        if well:
            await GOOD_STREAM(got, writer)
        else:
            await streams(CHUNK)(got, writer)
            await asyncio.sleep(30)

    async with routing(tmp_path, [script, good("second")], IDLE_TIMEOUT="0.3") as routed:

        async def call() -> bytes:
            return (await post(routed.url + CHAT, asked(stream=True))).body

        await asyncio.gather(*(call() for _ in range(60)))
        well = False
        broken = await asyncio.gather(*(call() for _ in range(20)))
        assert all(b"upstream_timeout" in body for body in broken)
        assert b"second" in await call()
        assert routed.counts() == [80, 1]


async def test_a_lone_target_with_an_open_breaker_is_answered_503_at_once(tmp_path: Path) -> None:
    async with routing(tmp_path, [refusal(500)], route="retries: 0") as routed:
        for _ in range(20):
            await post(routed.url + CHAT, asked())
        got = await post(routed.url + CHAT, asked())
        assert got.status == 503
        assert json.loads(got.body)["error"]["code"] == "targets_unavailable"
        assert 1 <= int(got.headers["retry-after"]) <= 5
        assert routed.counts() == [20]


async def test_a_callers_impatience_never_opens_a_breaker(tmp_path: Path) -> None:
    async with routing(tmp_path, [_hang]) as routed:
        hurried = [
            post(routed.url + CHAT, asked(), {"x-gateway-timeout-ms": "100"}) for _ in range(25)
        ]
        assert {got.status for got in await asyncio.gather(*hurried)} == {504}
        routed.providers["a"].script = GOOD
        assert (await post(routed.url + CHAT, asked())).status == 200


async def test_callers_mistakes_never_open_a_breaker(tmp_path: Path) -> None:
    async with routing(tmp_path, [refusal(400)]) as routed:
        for _ in range(30):
            assert (await post(routed.url + CHAT, asked())).status == 400
        assert routed.counts() == [30]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_prompt_too_long_goes_to_the_larger_model(stream: bool, tmp_path: Path) -> None:
    scripts = [refusal(400, "context_length_exceeded"), good("larger")]
    async with routing(tmp_path, scripts) as routed:
        got = await post(routed.url + CHAT, asked(stream=stream))
        assert b"larger" in got.body


async def test_a_filtered_answer_goes_elsewhere_where_the_route_says_so(tmp_path: Path) -> None:
    filtered = answers(answer("").replace(b'"stop"', b'"content_filter"'))
    for refusing in (filtered, refusal(400, "content_filter")):
        async with routing(
            tmp_path, [refusing, good("second")], route="fallback_on: [content_filter]"
        ) as routed:
            assert b"second" in (await post(routed.url + CHAT, asked())).body
        async with routing(tmp_path, [refusing, good("second")]) as routed:
            assert b"second" not in (await post(routed.url + CHAT, asked())).body


async def test_if_all_filter_the_first_answer_stands(tmp_path: Path) -> None:
    filtered = answers(answer("first").replace(b'"stop"', b'"content_filter"'))
    async with routing(
        tmp_path, [filtered, refusal(500)], route="fallback_on: [content_filter]"
    ) as routed:
        got = await post(routed.url + CHAT, asked())
        assert got.status == 200
        assert b"first" in got.body


async def test_what_one_dialect_cannot_express_another_target_may(tmp_path: Path) -> None:
    async with providing(refusal(500)) as claude:
        environ = {"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": claude.url}
        more = "  both:\n    targets:\n      - model: anthropic/claude-sonnet-4-5\n      - model: a/m\n"
        async with routing(tmp_path, [GOOD], more=more, **environ) as routed:
            got = await post(routed.url + CHAT, asked("both", logit_bias={"5": 1}))
            assert got.status == 200
            assert claude.got == []
            assert got.headers["x-gateway-attempts"] == "1"


async def test_attempts_are_told_in_metrics(tmp_path: Path) -> None:
    async with routing(tmp_path, [refusal(500), GOOD]) as routed:
        await post(routed.url + CHAT, asked())
        text = (await get(routed.url + "/metrics")).body.decode()
    assert 'llm_attempts_total{provider="a",status="upstream"} 1' in text
    assert 'llm_attempts_total{provider="b",status="success"} 1' in text
    assert 'llm_fallbacks_total{provider="a",to_provider="b"} 1' in text


async def test_routes_are_listed_beside_models_and_found(tmp_path: Path) -> None:
    async with routing(tmp_path, [GOOD]) as routed:
        listed = json.loads((await get(routed.url + "/v1/models")).body)["data"]
        assert [m["id"] for m in listed[:2]] == ["auto", "smart"]
        found = json.loads((await get(routed.url + "/v1/models/smart")).body)
        assert found["id"] == "smart"


async def test_strategies_split_as_they_say(tmp_path: Path) -> None:
    for strategy, least in (("round-robin", 10), ("weighted", 3)):
        scripts = [good("a"), good("b")]
        async with routing(tmp_path, scripts, route=f"strategy: {strategy}") as routed:
            for _ in range(20):
                assert (await post(routed.url + CHAT, asked())).status == 200
            assert min(routed.counts()) >= least


async def test_sticky_keeps_a_user_at_one_target(tmp_path: Path) -> None:
    async with routing(tmp_path, [good("a"), good("b")], route="strategy: sticky") as routed:
        for user in ("anna", "ben", "cleo", "dan", "eve", "finn"):
            seen = {
                (await post(routed.url + CHAT, asked(), {"x-user-id": user})).headers[
                    "x-gateway-provider"
                ]
                for _ in range(4)
            }
            assert len(seen) == 1
        assert min(routed.counts()) >= 4


async def test_a_caller_may_insist_on_tags(tmp_path: Path) -> None:
    more = (
        "  tagged:\n    targets:\n      - model: a/m\n      - model: b/m\n"
        "        tags: [eu, no-training]\n"
    )
    async with routing(tmp_path, [good("first"), good("second")], more=more) as routed:
        for tags, word in (("", b"first"), ("eu", b"second"), ("eu, no-training", b"second")):
            got = await post(routed.url + CHAT, asked("tagged"), {"x-gateway-target-tags": tags})
            assert word in got.body
        got = await post(routed.url + CHAT, asked("tagged"), {"x-gateway-target-tags": "eu,moon"})
        assert got.status == 400
        assert json.loads(got.body)["error"]["code"] == "no_target_with_tags"


async def test_each_attempt_is_told_to_those_who_may_see_it(tmp_path: Path) -> None:
    scripts = [refusal(503), good("second")]
    async with routing(tmp_path, scripts) as routed:
        got = await post(routed.url + CHAT, asked())
        assert got.headers["x-gateway-attempts"] == "2"
        assert "x-gateway-attempts-trace" not in got.headers
    async with routing(tmp_path, scripts, ATTEMPTS_TRACE="on") as routed:
        for stream in (False, True):
            got = await post(routed.url + CHAT, asked(stream=stream))
            told = re.sub(r"ms=\d+", "ms=N", got.headers["x-gateway-attempts-trace"])
            assert told == "a/m;ms=N;status=503;why=unavailable, b/m;ms=N;status=200"
    async with routing(tmp_path, [refusal(503), refusal(500)], ATTEMPTS_TRACE="on") as routed:
        got = await post(routed.url + CHAT, asked())
        assert got.status in (500, 503)
        assert got.headers["x-gateway-attempts-trace"].count("why=") == 4


async def test_a_keys_policy_says_who_sees_the_attempts(tmp_path: Path) -> None:
    keys = """keys:
  seeing:
    key: env:SEES
    policy: {attempts_trace: true}
  blind:
    key: env:BLIND
"""
    environ = {"SEES": "sk-sees-0123456789abcdef", "BLIND": "sk-blind-0123456789abcdef"}
    async with routing(tmp_path, [good("first")], more=keys, **environ) as routed:
        for key, sees in ((environ["SEES"], True), (environ["BLIND"], False)):
            got = await post(routed.url + CHAT, asked(), {"authorization": f"Bearer {key}"})
            assert got.status == 200, got.body
            assert ("x-gateway-attempts-trace" in got.headers) == sees
