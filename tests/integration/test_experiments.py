"""Variants on a route, what users say of them, what comes of it; hedging and shadows."""

import asyncio
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.serving import Got, ask, get, post

from .routes import CHAT, GOOD, GOOD_STREAM, MESSAGES, Routed, asked, good, refusal, routing

ADMIN = "admin-key-for-tests"
OPEN = {"ADMIN_KEY": ADMIN, "ACCESS": "open"}
AB = """experiment:
  name: tone
  variants:
    - name: plain
    - name: new
      model: b/m2
      system: Be brief.
      parameters: {temperature: 0.5, max_tokens: 7}
"""


async def admin(routed: Routed, method: str, path: str, body: Any = None) -> Any:
    got = await ask(method, f"{routed.url}/admin/{path}", body, ADMIN)
    assert got.status < 300, got.body
    return json.loads(got.body) if got.body else None


async def variant_for(routed: Routed, user: str, path: str = CHAT) -> str:
    got = await post(routed.url + path, asked(), {"x-user-id": user})
    assert got.status == 200, got.body
    return got.headers["x-gateway-variant"]


async def test_a_user_keeps_its_variant_and_the_variant_makes_the_call(tmp_path: Path) -> None:
    async with routing(tmp_path, [good("a"), good("b")], route=AB, **OPEN) as routed:
        users = [f"user-{n}" for n in range(12)]
        first = {user: await variant_for(routed, user) for user in users}
        assert set(first.values()) == {"plain", "new"}
        assert {user: await variant_for(routed, user, MESSAGES) for user in users} == first
        changed = [json.loads(g.body) for g in routed.providers["b"].got]
        assert changed
        for body in changed:
            assert body["model"] == "m2"
            assert (body["temperature"], body["max_tokens"]) == (0.5, 7)
            assert body["messages"][0] == {"role": "system", "content": "Be brief."}
        for body in (json.loads(g.body) for g in routed.providers["a"].got):
            assert "temperature" not in body


async def test_a_variant_that_fails_falls_back_on_the_routes_own_targets(tmp_path: Path) -> None:
    async with routing(tmp_path, [good("a"), refusal(500)], route=AB, **OPEN) as routed:
        for number in range(8):
            got = await post(routed.url + CHAT, asked(), {"x-user-id": f"u{number}"})
            assert got.status == 200


async def test_variants_never_answer_for_each_other_from_the_cache(tmp_path: Path) -> None:
    async with routing(tmp_path, [good("a"), good("b")], route=AB, CACHE_TTL="5", **OPEN) as routed:
        said: dict[str, set[bytes]] = {"plain": set(), "new": set()}
        for number in range(12):
            got = await post(routed.url + CHAT, asked(), {"x-user-id": f"user-{number}"})
            said[got.headers["x-gateway-variant"]].add(
                json.loads(got.body)["choices"][0]["message"]["content"]
            )
        assert said == {"plain": {"a"}, "new": {"b"}}


async def test_feedback_and_the_report_tell_variants_apart(tmp_path: Path) -> None:
    async with routing(tmp_path, [good("a"), good("b")], route=AB, **OPEN) as routed:
        calls: Counter[str] = Counter()
        for number in range(90):
            got = await post(routed.url + CHAT, asked(), {"x-user-id": f"user-{number}"})
            variant = got.headers["x-gateway-variant"]
            calls[variant] += 1
            score = number % 2 if variant == "plain" else 1
            said = {"score": score, "label": "good" if score else "bad"}
            said["call_id" if number % 3 else "request_id"] = got.headers[
                "x-gateway-call-id" if number % 3 else "x-request-id"
            ]
            done = await ask("POST", routed.url + "/v1/feedback", said)
            assert done.status == 204, done.body
        deadline = time.monotonic() + 10
        while True:
            report = await admin(routed, "GET", "experiments/smart")
            rows = {row["name"]: row for row in report["variants"]}
            if sum(row.get("calls", 0) for row in rows.values()) == 90:
                break
            assert time.monotonic() < deadline, report
            await asyncio.sleep(0.1)
        assert {name: row["calls"] for name, row in rows.items()} == calls
        assert report["running"]
        assert rows["new"]["mean_score"] == 1
        assert 0.3 < rows["plain"]["mean_score"] < 0.7
        assert rows["new"]["labels"] == {"good": calls["new"]}
        assert rows["new"]["chance_best_score"] > 0.99
        assert rows["new"]["score_difference"]["significant"]
        assert rows["plain"].get("score_difference") is None
        assert rows["new"]["p50_seconds"] > 0


async def test_feedback_that_says_nothing_or_of_nothing_is_refused(tmp_path: Path) -> None:
    async with routing(tmp_path, [GOOD], **OPEN) as routed:
        for body in (
            {}, {"call_id": "x"}, {"score": 1}, {"call_id": "x", "request_id": "y", "score": 1},
            {"call_id": "x", "score": "high"}, {"call_id": "x", "score": 1, "more": 1},
        ):  # fmt: skip
            assert (await ask("POST", routed.url + "/v1/feedback", body)).status == 400


async def test_an_experiment_is_stopped_and_started_by_hand(tmp_path: Path) -> None:
    async with routing(tmp_path, [good("a"), good("b")], route=AB, **OPEN) as routed:
        await variant_for(routed, "anna")
        await admin(routed, "POST", "experiments/smart/stop", {"reason": "enough"})
        got = await post(routed.url + CHAT, asked(), {"x-user-id": "anna"})
        assert "x-gateway-variant" not in got.headers
        report = await admin(routed, "GET", "experiments/smart")
        assert (report["running"], report["stopped_because"]) == (False, "enough")
        await admin(routed, "POST", "experiments/smart/start")
        await variant_for(routed, "anna")


async def test_the_guard_stops_a_variant_that_fails_more(tmp_path: Path) -> None:
    # The variant's own fault, which no other target could mend.
    guarded = AB + "  guard: {least_calls: 30}\n"
    async with routing(tmp_path, [good("a"), refusal(422)], route=guarded, **OPEN) as routed:
        for number in range(400):
            got = await post(routed.url + CHAT, asked(), {"x-user-id": f"user-{number}"})
            if "x-gateway-variant" not in got.headers:
                break
        else:
            raise AssertionError("it was not stopped")
        assert got.status == 200
        report = await admin(routed, "GET", "experiments/smart")
        assert "new fails" in report["stopped_because"]
        metrics = (await get(routed.url + "/metrics")).body
        assert b'gateway_experiments_stopped_total{route="smart"} 1' in metrics


def slow(seconds: float, then: Any) -> Any:
    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        await then(got, writer)

    return script


async def test_a_slow_target_is_hedged_and_its_call_is_taken_back(tmp_path: Path) -> None:
    scripts = [slow(5, GOOD), good("second")]
    async with routing(tmp_path, scripts, route="hedge: {after: 0.1}") as routed:
        for stream in (False, True):
            started = time.monotonic()
            got = await post(routed.url + CHAT, asked(stream=stream))
            assert b"second" in got.body
            assert time.monotonic() - started < 4
            assert got.headers["x-gateway-attempts"] == "2"
            assert got.headers["x-gateway-provider"] == "b"
        await asyncio.sleep(0.2)
        assert routed.providers["a"].closed == 2
        metrics = (await get(routed.url + "/metrics")).body
        assert b'llm_attempts_total{provider="a",status="cancelled"} 2' in metrics


async def test_a_quick_target_is_not_hedged_and_a_failing_one_falls_back(tmp_path: Path) -> None:
    async with routing(tmp_path, [good("first"), GOOD], route="hedge: {after: 0.5}") as routed:
        assert b"first" in (await post(routed.url + CHAT, asked())).body
        assert routed.counts() == [1, 0]
        routed.providers["a"].script = refusal(500)
        assert (await post(routed.url + CHAT, asked())).status == 200
        assert routed.counts() == [2, 1]


async def test_where_the_hedge_fails_the_first_still_answers(tmp_path: Path) -> None:
    scripts = [slow(0.4, good("first")), refusal(500), good("third")]
    async with routing(tmp_path, scripts, route="hedge: {after: 0.1}") as routed:
        assert b"first" in (await post(routed.url + CHAT, asked())).body
        assert routed.counts() == [1, 1, 0]


async def test_a_caller_who_leaves_takes_both_sides_of_a_hedge_along(tmp_path: Path) -> None:
    scripts = [slow(5, GOOD), slow(5, GOOD)]
    async with routing(tmp_path, scripts, route="hedge: {after: 0.1}") as routed:
        _, writer = await asyncio.open_connection("127.0.0.1", routed.running.port)
        body = asked()
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%s" % (len(body), body)
        )
        while routed.counts() != [1, 1]:
            await asyncio.sleep(0.01)
        writer.close()
        await asyncio.sleep(0.3)
        assert [p.closed for p in routed.providers.values()] == [1, 1]


@pytest.mark.timing
async def test_shadows_are_sent_beside_and_kept_apart(tmp_path: Path) -> None:
    more = "  shadowed:\n    targets:\n      - model: a/m\n    shadow: {model: b/m, share: 1}\n"
    async with routing(tmp_path, [good("a"), slow(0.3, GOOD_STREAM)], more=more, **OPEN) as routed:
        started = time.monotonic()
        got = await post(routed.url + CHAT, asked("shadowed", stream=True))
        assert b"a" in got.body
        assert time.monotonic() - started < 0.25
        deadline = time.monotonic() + 5
        while routed.counts() != [1, 1]:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        own = await admin(routed, "GET", "usage?group_by=")
        while True:
            calls = (await admin(routed, "GET", "calls"))["data"]
            if len(calls) == 2:
                break
            assert time.monotonic() < deadline, own
            await asyncio.sleep(0.05)
        assert sorted(call["provider"] for call in calls) == ["a", "b"]
        assert len({call["user"] for call in calls}) == 2
