"""Replicas tell each other of a provider that is down."""

import asyncio
import time
from pathlib import Path

from tests.redis_server import redis_server
from tests.serving import post

from .routes import CHAT, asked, good, refusal, routing


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
