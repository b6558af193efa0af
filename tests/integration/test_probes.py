"""Calls of the gateway's own by which it sees how a provider's model is doing."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ai_gateway.routing.vitals import Vitals
from tests.serving import Got, Provider, Script, ask, get, in_front_of, post, providing, serving

from .routes import CHAT, Routed, asked, good, refusal, routing

ADMIN = "admin-key-for-tests"
OPEN = {"ADMIN_KEY": ADMIN, "ACCESS": "open"}
OPENED = "upstreams:\n  a: {probe: {interval: 0.1, timeout: 0.3}}\n"
IDLE = "upstreams:\n  b: {probe: {interval: 0.1, timeout: 0.3, idle: 1}}\n"


def probes(provider: Provider) -> list[Got]:
    return [got for got in provider.got if b"Say ok." in got.body]


async def until(found: Callable[[], bool], seconds: float = 4.0) -> None:
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


def vitals_of(routed: Routed, name: str) -> Vitals:
    found = routed.running.gateway.router.directory.vitals.find(name, "m")
    assert found is not None
    return found


async def health_of(routed: Routed, name: str) -> dict[str, Any]:
    health = json.loads((await ask("GET", routed.url + "/admin/health", None, ADMIN)).body)
    return next(t for t in health["targets"] if t["provider"] == name)


async def requests_told(routed: Routed) -> int:
    report = json.loads((await ask("GET", routed.url + "/admin/usage", None, ADMIN)).body)
    return report["total"]["requests"]


async def test_an_open_breaker_closes_before_its_time_once_probes_find_the_target_well(
    tmp_path: Path,
) -> None:
    well = False

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        await (good("first") if well else refusal(500))(got, writer)

    async with routing(tmp_path, [script, good("second")], more=OPENED, **OPEN) as routed:
        for _ in range(20):
            assert b"second" in (await post(routed.url + CHAT, asked())).body
        breaker = vitals_of(routed, "a").breaker
        assert breaker.state == "open"
        await until(lambda: len(probes(routed.providers["a"])) >= 2)
        assert breaker.state == "open"
        shown = (await health_of(routed, "a"))["probe"]
        assert (shown["outcome"], shown["detail"]) == ("bad", "the provider answered 500")
        well = True
        began = time.monotonic()
        await until(lambda: breaker.state == "closed")
        assert time.monotonic() - began < 2
        assert b"first" in (await post(routed.url + CHAT, asked())).body
        assert (await health_of(routed, "a"))["probe"]["outcome"] == "good"
        text = (await get(routed.url + "/metrics")).body.decode()
        assert 'gateway_probes_total{model="m",outcome="good",provider="a"} ' in text
        count = len(probes(routed.providers["a"]))
        await asyncio.sleep(0.4)
        assert len(probes(routed.providers["a"])) == count


async def test_probes_are_nobodys_calls(tmp_path: Path) -> None:
    async with routing(tmp_path, [good("a"), good("b")], more=IDLE, **OPEN) as routed:
        await until(lambda: len(probes(routed.providers["b"])) >= 3)
        await post(routed.url + CHAT, asked())
        while not (requests := await requests_told(routed)):
            await asyncio.sleep(0.1)
        assert requests == 1
        target = await health_of(routed, "b")
        assert "p95_seconds" not in target
        assert "in_flight" not in target
        assert not probes(routed.providers["a"])


async def hang(got: Got, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


@pytest.mark.parametrize("ill", [refusal(500), hang], ids=["fails", "hangs"])
async def test_a_target_that_nobody_calls_is_found_ill_before_it_is_needed(
    ill: Script, tmp_path: Path
) -> None:
    async with routing(tmp_path, [good("a"), ill], more=IDLE) as routed:
        await until(lambda: vitals_of(routed, "b").breaker.state == "open")
        assert vitals_of(routed, "b").breaker.cause == "probe"
        assert len(probes(routed.providers["b"])) >= 3


@pytest.mark.parametrize("status", [400, 401, 404, 429])
async def test_what_tells_nothing_of_health_changes_nothing(status: int, tmp_path: Path) -> None:
    async with routing(tmp_path, [good("a"), refusal(status)], more=IDLE, **OPEN) as routed:
        await until(lambda: len(probes(routed.providers["b"])) >= 5)
        assert vitals_of(routed, "b").breaker.state == "closed"
        assert (await health_of(routed, "b"))["probe"]["outcome"] == "unknown"


async def test_a_target_in_use_is_not_probed(tmp_path: Path) -> None:
    more = "upstreams:\n  a: {probe: {interval: 0.1, idle: 1}}\n"
    async with routing(tmp_path, [good("a")], more=more) as routed:
        await post(routed.url + CHAT, asked())
        provider = routed.providers["a"]
        before = len(probes(provider))
        for _ in range(15):
            await post(routed.url + CHAT, asked())
            await asyncio.sleep(0.1)
        assert len(probes(provider)) - before <= 1


async def test_an_operators_word_on_a_breaker_stands_against_probes(tmp_path: Path) -> None:
    async with routing(tmp_path, [good("a"), good("b")], more=OPENED, **OPEN) as routed:
        await ask("PUT", routed.url + "/admin/breakers/a/m", {"state": "open"}, ADMIN)
        await asyncio.sleep(0.7)
        assert vitals_of(routed, "a").breaker.state == "open"
        assert not routed.providers["a"].got


async def test_a_probe_speaks_the_providers_dialect(tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text(
        "routes:\n  smart: {targets: [{model: anthropic/claude-haiku-4-5}]}\n"
        "upstreams:\n  anthropic/claude-*: {probe: {interval: 0.1, idle: 1}}\n"
    )
    async with (
        providing(refusal(529)) as provider,
        serving(in_front_of(provider), config),
    ):
        await until(lambda: bool(provider.got))
    got = provider.got[0]
    assert got.path == "/v1/messages"
    assert got.headers["anthropic-version"]
    assert json.loads(got.body)["max_tokens"] == 16
