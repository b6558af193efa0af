"""Limits and budgets as callers meet them, counted in memory and in Redis."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.redis_server import RedisServer, redis_server
from tests.serving import Answered, Got, answers, ask, get, in_front_of, providing, serving

CHAT = "/v1/chat/completions"
ASKED = {
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": "hello"}],
    "max_completion_tokens": 100,
}


def answer(given: int = 10, written: int = 5) -> bytes:
    return json.dumps(
        {
            "id": "c", "object": "chat.completion", "created": 1, "model": "gpt-4o",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": given, "completion_tokens": written, "total_tokens": given + written},
        }
    ).encode()  # fmt: skip


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture(params=["memory", "redis"])
def state(request: pytest.FixtureRequest) -> dict[str, str]:
    if request.param == "memory":
        return {}
    redis: RedisServer = request.getfixturevalue("redis")
    redis.tell("FLUSHALL")
    return {"REDIS_ADDR": redis.address, "REDIS_TIMEOUT": "2"}


async def call(url: str, user: str = "ada", **more: object) -> Answered:
    return await ask("POST", url + CHAT, {**ASKED, **more}, X_User_ID=user)


def limit_headers(got: Answered) -> dict[str, str]:
    return {n: v for n, v in got.headers.items() if n.startswith("x-ratelimit")}


def configured(directory: Path, text: str) -> Path:
    path = directory / "gateway.yaml"
    path.write_text(text)
    return path


async def test_a_user_may_make_so_many_calls_and_no_more(state: Mapping[str, str]) -> None:
    limits = {"RATE_LIMIT_CAPACITY": "3", "RATE_LIMIT_REFILL_RATE": "0.01"}
    async with (
        providing(answers(answer())) as provider,
        serving({**in_front_of(provider), **limits, **state}) as running,
    ):
        got = [await call(running.url) for _ in range(4)]
        assert [g.status for g in got] == [200, 200, 200, 429]
        assert [g.headers["x-ratelimit-remaining-requests"] for g in got] == ["2", "1", "0", "0"]
        assert {g.headers["x-ratelimit-limit-requests"] for g in got} == {"3"}
        assert re.fullmatch(r"[45]m\d+s", got[3].headers["x-ratelimit-reset-requests"])
        assert 90 <= int(got[3].headers["retry-after"]) <= 100
        error = json.loads(got[3].body)["error"]
        assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
        assert "limit 3 at 0.01 a second" in error["message"]
        assert len(provider.got) == 3
        assert (await call(running.url, "grace")).status == 200
        page = (await get(running.url + "/metrics")).body.decode()
        assert 'rate_limit_exceeded_total{user_id="ada"} 1' in page


async def test_the_refusal_is_in_the_callers_dialect(state: Mapping[str, str]) -> None:
    limits = {"RATE_LIMIT_CAPACITY": "1", "RATE_LIMIT_REFILL_RATE": "0"}
    body = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": ASKED["messages"]}
    async with (
        providing(answers(b"{}", status=500)) as provider,
        serving({**in_front_of(provider), **limits, **state}) as running,
    ):
        await ask("POST", running.url + "/v1/messages", body)
        got = await ask("POST", running.url + "/v1/messages", body)
        assert got.status == 429
        assert json.loads(got.body)["error"]["type"] == "rate_limit_error"
        assert "It does not refill." in json.loads(got.body)["error"]["message"]
        assert "x-ratelimit-reset-requests" not in limit_headers(got)
        assert got.headers["retry-after"] == "86400"


async def test_of_calls_all_at_once_exactly_the_capacity_passes(state: Mapping[str, str]) -> None:
    limits = {"RATE_LIMIT_CAPACITY": "17", "RATE_LIMIT_REFILL_RATE": "0"}
    async with (
        providing(answers(answer())) as provider,
        serving({**in_front_of(provider), **limits, **state}) as running,
    ):
        got = await asyncio.gather(*(call(running.url) for _ in range(60)))
        assert sorted(g.status for g in got) == [200] * 17 + [429] * 43


async def test_tokens_are_set_aside_by_estimate_and_settled_by_truth(
    state: Mapping[str, str], tmp_path: Path
) -> None:
    config = configured(
        tmp_path, "limits:\n  - per: tenant\n    unit: tokens\n    capacity: 1000\n    refill: 0\n"
    )
    async with (
        providing(answers(answer(300, 60))) as provider,
        serving({**in_front_of(provider), **state}, config) as running,
    ):
        first = await call(running.url)
        assert 850 <= int(first.headers["x-ratelimit-remaining-tokens"]) < 900
        await asyncio.sleep(0.05)
        second = await call(running.url)
        # 1000 - 360, then the next one's estimate.
        assert 490 <= int(second.headers["x-ratelimit-remaining-tokens"]) < 540
        assert second.headers["x-ratelimit-limit-tokens"] == "1000"
        await asyncio.sleep(0.05)
        statuses = [(await call(running.url)).status for _ in range(3)]
        # 280 left: one more passes, and owes what it used beyond.
        assert statuses == [200, 429, 429]


async def test_a_failed_call_gives_its_tokens_back(
    state: Mapping[str, str], tmp_path: Path
) -> None:
    config = configured(
        tmp_path, "limits:\n  - {per: user, unit: tokens, capacity: 1000, refill: 0}\n"
    )
    async with (
        providing(answers(b'{"error":{"message":"no"}}', status=400)) as provider,
        serving({**in_front_of(provider), **state}, config) as running,
    ):
        left = set()
        for _ in range(3):
            left.add((await call(running.url)).headers["x-ratelimit-remaining-tokens"])
            await asyncio.sleep(0.05)
        assert len(left) == 1


async def test_limits_by_model_and_by_provider(state: Mapping[str, str], tmp_path: Path) -> None:
    config = configured(
        tmp_path,
        "limits:\n"
        "  - {per: user_model, capacity: 1, refill: 0, models: [gpt-4o]}\n"
        "  - {per: provider, capacity: 3, refill: 0, providers: [openai]}\n",
    )
    async with (
        providing(answers(answer())) as provider,
        serving({**in_front_of(provider), **state}, config) as running,
    ):
        asked = [("ada", "gpt-4o"), ("ada", "gpt-4o"), ("ada", "gpt-4o-mini"), ("ben", "gpt-4o")]
        statuses = [(await call(running.url, user, model=model)).status for user, model in asked]
        assert statuses == [200, 429, 200, 200]
        refused = await call(running.url, "eve")
        assert refused.status == 429
        assert "this provider" in json.loads(refused.body)["error"]["message"]


async def test_a_hard_budget_refuses_and_says_when_it_starts_anew(
    state: Mapping[str, str], tmp_path: Path
) -> None:
    config = configured(
        tmp_path,
        "timezone: Europe/Berlin\n"
        "budgets:\n  - {per: tenant, unit: tokens, amount: 500, period: month}\n",
    )
    async with (
        providing(answers(answer(100, 100))) as provider,
        serving({**in_front_of(provider), **state}, config) as running,
    ):
        statuses = []
        for _ in range(4):
            statuses.append((await call(running.url)).status)
            await asyncio.sleep(0.05)
        assert statuses == [200, 200, 429, 429]
        got = await call(running.url)
        error = json.loads(got.body)["error"]
        assert (error["type"], error["code"]) == ("insufficient_quota", "insufficient_quota")
        assert "of 500 tokens, 100 tokens is left" in error["message"]
        assert re.search(r"starts anew at \d{4}-\d\d-01T00:00:00\+0[12]:00", error["message"])
        assert got.headers["x-should-retry"] == "false"


async def test_a_budget_in_dollars_is_never_passed_by_calls_at_once(
    state: Mapping[str, str], tmp_path: Path
) -> None:
    """gpt-4o: $2.50 a million in, $10 out. 200 in and 100 out cost $0.0015."""
    config = configured(tmp_path, "budgets:\n  - {per: user, amount: 0.02, period: total}\n")

    async def slowly(got: Got, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)
        await answers(answer(200, 100))(got, writer)

    async with (
        providing(slowly) as provider,
        serving({**in_front_of(provider), **state}, config) as running,
    ):
        got = await asyncio.gather(*(call(running.url) for _ in range(40)))
        passed = sum(g.status == 200 for g in got)
        assert {g.status for g in got} == {200, 429}
        # Each sets aside about $0.0011: no more than eighteen at once.
        assert 10 <= passed <= 18
        spent = sum(float(g.headers["x-gateway-cost-usd"]) for g in got if g.status == 200)
        assert spent == pytest.approx(passed * 0.0015)


async def test_a_soft_budget_warns(state: Mapping[str, str], tmp_path: Path) -> None:
    config = configured(
        tmp_path, "budgets:\n  - {per: user, unit: tokens, amount: 150, hard: false}\n"
    )
    async with (
        providing(answers(answer())) as provider,
        serving({**in_front_of(provider), **state}, config) as running,
    ):
        first = await call(running.url)
        assert first.headers.get("x-gateway-budget-warning") is None
        many = await call(running.url, max_completion_tokens=500)
        assert many.status == 200
        warning = many.headers["x-gateway-budget-warning"]
        assert re.fullmatch(r"user month: \d+ tokens of 150 tokens", warning)
        page = (await get(running.url + "/metrics")).body.decode()
        line = 'gateway_budget_warnings_total{per="user",period="month",unit="tokens"} 1'
        assert line in page


async def test_calls_in_flight_are_capped_and_those_who_leave_make_room(
    state: Mapping[str, str], tmp_path: Path
) -> None:
    config = configured(tmp_path, "tenants:\n  default:\n    policy: {max_in_flight: 2}\n")
    held = asyncio.Event()

    async def hold(got: Got, writer: asyncio.StreamWriter) -> None:
        await held.wait()
        await answers(answer())(got, writer)

    async with (
        providing(hold) as provider,
        serving({**in_front_of(provider), **state}, config) as running,
    ):
        staying = asyncio.create_task(call(running.url))
        _, leaving = await asyncio.open_connection("127.0.0.1", running.port)
        body = json.dumps(ASKED).encode()
        leaving.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nx-user-id: ada\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        )
        await eventually(lambda: len(provider.got) == 2)
        refused = await call(running.url)
        assert refused.status == 429
        assert json.loads(refused.body)["error"]["code"] == "too_many_in_flight"
        leaving.transport.abort()
        await eventually(lambda: provider.closed == 1)
        await asyncio.sleep(0.1)
        next_one = asyncio.create_task(call(running.url))
        await eventually(lambda: len(provider.got) == 3)
        held.set()
        assert (await staying).status == (await next_one).status == 200


async def eventually(look: Callable[[], bool]) -> None:
    for _ in range(500):
        if look():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")
