"""Calls under way at a target, limited to as many as it carries."""

import asyncio
import json
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.serving import Answered, Got, Script, ask, get, post

from .routes import CHAT, GOOD, Routed, asked, good, routing

ADMIN = "admin-key-for-tests"
OPEN = {"ADMIN_KEY": ADMIN, "ACCESS": "open"}
HEADERS = {"cache-control": "no-cache"}
ONE = "upstreams:\n  a: {concurrency: {min: 1, max: 1, wait: %s}}\n"


def slow(seconds: float) -> Script:
    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        await GOOD(got, writer)

    return script


async def call(routed: Routed, *, stream: bool = False) -> Answered:
    return await post(routed.url + CHAT, asked(stream=stream), headers=HEADERS)


async def test_what_is_beyond_the_limit_goes_to_the_next_target(tmp_path: Path) -> None:
    scripts = [slow(0.5), good("second")]
    async with routing(tmp_path, scripts, more=ONE % 1, **OPEN) as routed:
        answers = await asyncio.gather(*(call(routed) for _ in range(5)))
        assert {a.status for a in answers} == {200}
        assert {a.headers["x-gateway-attempts"] for a in answers} == {"1"}
        assert routed.counts() == [1, 4]
        health = json.loads((await ask("GET", routed.url + "/admin/health", None, ADMIN)).body)
        target = next(t for t in health["targets"] if t["provider"] == "a")
        assert (target["concurrency_limit"], target["turned_away"]) == (1, 4)
        metrics = (await get(routed.url + "/metrics")).body.decode()
        assert 'gateway_concurrency_limit{model="m",provider="a"} 1' in metrics
        assert 'gateway_concurrency_full_total{model="m",provider="a"} 4' in metrics


@pytest.mark.parametrize("stream", [False, True])
async def test_where_there_is_no_other_it_waits_its_turn(stream: bool, tmp_path: Path) -> None:
    async with routing(tmp_path, [good("a")], more=ONE % 5) as routed:
        answers = await asyncio.gather(*(call(routed, stream=stream) for _ in range(10)))
        assert {a.status for a in answers} == {200}


async def test_who_has_waited_long_enough_is_told_503(tmp_path: Path) -> None:
    async with routing(tmp_path, [slow(0.6)], more=ONE % 0.1) as routed:
        first = asyncio.ensure_future(call(routed))
        await asyncio.sleep(0.2)
        began = time.monotonic()
        refused = await call(routed)
        assert time.monotonic() - began < 0.4
        assert refused.status == 503
        assert refused.headers["retry-after"] == "1"
        assert json.loads(refused.body)["error"]["code"] == "targets_busy"
        assert (await first).status == 200
        assert routed.counts() == [1]


async def test_explain_says_that_a_target_is_full(tmp_path: Path) -> None:
    async with routing(tmp_path, [slow(0.6)], more=ONE % 0.1, **OPEN) as routed:
        first = asyncio.ensure_future(call(routed))
        await asyncio.sleep(0.2)
        question = {"body": json.loads(asked())}
        got = await ask("POST", routed.url + "/admin/routes/explain", question, ADMIN)
        (choice,) = json.loads(got.body)["order"]
        assert choice["against"] == ["it has as many calls under way as it carries for now: 1"]
        await first


async def test_a_caller_that_leaves_gives_its_place_back(tmp_path: Path) -> None:
    async with routing(tmp_path, [slow(0.3)], more=ONE % 2) as routed:
        _, writer = await asyncio.open_connection("127.0.0.1", routed.running.port)
        body = asked()
        writer.write(
            b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b"
            % (CHAT.encode(), len(body), body)
        )
        await asyncio.sleep(0.1)
        writer.close()
        assert (await call(routed)).status == 200


async def test_goodput_is_better_with_a_limit_where_a_provider_slows_under_load(
    tmp_path: Path,
) -> None:
    """Carries 8 at once; beyond that it slows by the square, and callers give up after 0.4 s."""
    at_once = 0

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        nonlocal at_once
        at_once += 1
        try:
            await asyncio.sleep(0.04 * max(1.0, (at_once / 8) ** 2))
            await GOOD(got, writer)
        finally:
            at_once -= 1

    async def goodput(directory: Path, more: str) -> float:
        directory.mkdir()
        async with routing(
            directory, [script], route="attempt_timeout: 0.4\nretries: 0", more=more,
            RATE_LIMIT_CAPACITY="0",
        ) as routed:  # fmt: skip
            statuses: Counter[int] = Counter()
            end = time.monotonic() + 3

            async def caller() -> None:
                while time.monotonic() < end:
                    status = (await call(routed)).status
                    statuses[status] += 1
                    if status != 200:
                        await asyncio.sleep(0.05)

            await asyncio.gather(*(caller() for _ in range(60)))
            return statuses[200] / 3

    without = await goodput(tmp_path / "without", "")
    within = await goodput(
        tmp_path / "within", "upstreams:\n  a: {concurrency: {min: 2, max: 100}}\n"
    )
    print(f"goodput {without:.0f} a second without a limit, {within:.0f} with")
    assert within > without * 2
