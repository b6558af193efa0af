"""Replicas tell each other of a provider that is down, and of an operator's word."""

import asyncio
import time
from pathlib import Path

from tests.redis_server import redis_server
from tests.serving import ask, post

from .routes import CHAT, Routed, asked, good, refusal, routing

ADMIN = "admin-key-for-tests"


async def test_a_breaker_that_one_replica_opens_opens_in_the_other(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with redis_server() as redis:
        environ = {"REDIS_ADDR": redis.address}
        scripts = [refusal(500), good("second")]
        async with (
            routing(tmp_path / "one", scripts, **environ) as one,
            routing(tmp_path / "two", [good("first"), good("second")], **environ) as two,
        ):
            assert b"first" in (await post(two.url + CHAT, asked())).body
            for _ in range(20):
                await post(one.url + CHAT, asked())
            deadline = time.monotonic() + 2
            while b"first" in (await post(two.url + CHAT, asked())).body:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)
            found = two.running.gateway.router.resolve("chat", "smart").candidates[0]
            assert found.destination.vitals.breaker.cause == "hint"


async def test_a_breaker_forced_in_one_replica_holds_in_all_and_in_those_to_come(
    tmp_path: Path,
) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
    with redis_server() as redis:
        environ = {
            "REDIS_ADDR": redis.address,
            "REDIS_TIMEOUT": "5",
            "ADMIN_KEY": ADMIN,
            "ACCESS": "open",
        }
        scripts = [good("first"), good("second")]
        async with (
            routing(tmp_path / "one", scripts, **environ) as one,
            routing(tmp_path / "two", scripts, **environ) as two,
        ):
            path = "/admin/breakers/a/m"
            got = await ask("PUT", one.url + path, {"state": "open"}, ADMIN)
            assert got.status == 200, got.body
            await answered_by(two, b"second")
            async with routing(tmp_path / "three", scripts, **environ) as three:
                assert b"second" in (await post(three.url + CHAT, asked())).body
                await ask("PUT", three.url + path, {"state": None}, ADMIN)
                for routed in (one, two, three):
                    await answered_by(routed, b"first")


async def answered_by(routed: Routed, word: bytes) -> None:
    deadline = time.monotonic() + 10
    while word not in (await post(routed.url + CHAT, asked())).body:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
