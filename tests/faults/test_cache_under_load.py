"""Redis is killed while two replicas answer from it, by the letter and by meaning."""

import asyncio
import time
from collections import Counter

import pytest

from tests.faults.load import percentile
from tests.figures import Figure
from tests.integration.test_caching import CHAT, asked, how
from tests.integration.test_semantic_cache import Model, meant
from tests.redis_server import RedisServer
from tests.serving import post

pytestmark = pytest.mark.slow

NAMES = ("password", "invoice", "address", "avatar", "language", "plan", "number", "team")
QUESTIONS = {f"How do I change my {name}?": f"How can I change my {name}?" for name in NAMES}


async def test_with_redis_killed_under_load_the_cache_misses_and_is_whole_again_in_seconds(
    figure: Figure,
) -> None:
    model = Model()
    for number, (question, other_words) in enumerate(QUESTIONS.items()):
        model.angles[question] = model.angles[other_words] = 20.0 * number
    redis = RedisServer()
    redis.start()
    try:
        async with (
            meant(model, REDIS_ADDR=redis.address) as (_, one),
            meant(model, REDIS_ADDR=redis.address) as (_, other),
        ):
            statuses: Counter[int] = Counter()
            seconds: dict[str, list[float]] = {"before": [], "away": [], "back": []}
            found: dict[str, Counter[str]] = {phase: Counter() for phase in seconds}
            phase, over = "before", False

            async def caller(number: int) -> None:
                turn = number
                while not over:
                    question = list(QUESTIONS)[turn % len(QUESTIONS)]
                    # One replica is asked in one wording, the other in the other.
                    replica, words = ((one, question), (other, QUESTIONS[question]))[turn % 3 > 0]
                    now, started = phase, time.perf_counter()
                    got = await post(replica.url + CHAT, asked(words))
                    seconds[now].append(time.perf_counter() - started)
                    statuses[got.status] += 1
                    found[now][str(how(got))] += 1
                    turn += 1
                    await asyncio.sleep(0.02)

            callers = [asyncio.create_task(caller(number)) for number in range(6)]
            await asyncio.sleep(3)
            redis.kill()
            phase = "away"
            await asyncio.sleep(3)
            redis.start()
            back = time.monotonic()
            whole = 0.0
            while time.monotonic() - back < 10:
                # Each question, in words that nobody has used before, at either replica.
                again = [
                    how(await post(each.url + CHAT, asked(words + " ")))
                    for words in QUESTIONS.values()
                    for each in (one, other)
                ]
                if all(kind in ("hit", "semantic") for kind in again):
                    whole = time.monotonic() - back
                    break
            phase = "back"
            await asyncio.sleep(2)
            over = True
            await asyncio.gather(*callers)
    finally:
        redis.kill()
    shares = {
        name: 1 - kinds["miss"] / sum(kinds.values()) for name, kinds in found.items()
    }  # fmt: skip
    figure(
        "cache, Redis killed: calls failed",
        f"{sum(statuses.values()) - statuses[200]} of {sum(statuses.values())}",
    )
    figure(
        "answered from the cache before, meanwhile, after",
        ", ".join(f"{s:.0%}" for s in shares.values()),
    )
    figure("whole again after", f"{whole:.1f} s")
    worst = {name: percentile(sorted(taken), 0.99) for name, taken in seconds.items()}
    figure("p99 before, meanwhile, after", ", ".join(f"{s * 1000:.0f} ms" for s in worst.values()))
    assert set(statuses) == {200}
    assert shares["before"] > 0.8
    assert 0 < whole < 5
    assert shares["back"] > 0.9
