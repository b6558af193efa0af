"""The limit on calls at once, told the time by the test."""

import asyncio

from ai_gateway.model.upstream import Concurrency, Upstream, upstream_of
from ai_gateway.routing.concurrency import Limiter, place_at


def rounds(limiter: Limiter, count: int, *, carries: int, now: float = 0.0) -> float:
    """Callers without end at a provider that slows once more than it `carries` are under way."""
    for _ in range(count):
        calls = 0
        while limiter.enter():
            calls += 1
        seconds = max(1.0, calls / carries)
        began, now = now, now + seconds
        for _ in range(calls):
            limiter.answered(began, seconds, 50, now)
            limiter.leave()
    return now


def test_it_grows_while_answers_keep_their_pace_and_calls_fill_it() -> None:
    limiter = Limiter(Concurrency(min=4, max=200))
    rounds(limiter, 60, carries=1000)
    assert limiter.limit == 200


def test_it_stays_where_few_call() -> None:
    limiter = Limiter(Concurrency())
    for second in range(1000):
        assert limiter.enter()
        limiter.answered(second, 0.5, 50, second + 0.5)
        limiter.leave()
    assert limiter.limit == 20


def test_it_settles_where_the_provider_turns_slow() -> None:
    limiter = Limiter(Concurrency(min=4, max=500, tolerance=2))
    now = rounds(limiter, 100, carries=50)
    for _ in range(20):
        now = rounds(limiter, 1, carries=50, now=now)
        assert 50 <= limiter.limit <= 120


def test_it_comes_down_when_the_provider_carries_less_and_up_again_after() -> None:
    limiter = Limiter(Concurrency(min=4, max=500))
    now = rounds(limiter, 100, carries=50)
    now = rounds(limiter, 100, carries=10, now=now)
    assert limiter.limit <= 25
    rounds(limiter, 100, carries=50, now=now)
    assert limiter.limit >= 50


def test_what_is_slow_for_reasons_of_its_own_is_the_new_best() -> None:
    limiter = Limiter(Concurrency(min=4, max=100))
    rounds(limiter, 50, carries=1000)
    now = 1000.0
    for _ in range(500):
        calls = 0
        while limiter.enter():
            calls += 1
        began, now = now, now + 10.0
        for _ in range(calls):
            limiter.answered(began, 10.0, 50, now)
            limiter.leave()
    assert limiter.limit == 100


def test_calls_turned_away_together_lower_it_once() -> None:
    limiter = Limiter(Concurrency())
    for _ in range(20):
        limiter.overloaded(10.0, 11.0)
    assert limiter.limit == 16
    limiter.overloaded(11.5, 12.0)
    assert limiter.limit == 16 * 0.8


def test_it_never_goes_below_min() -> None:
    limiter = Limiter(Concurrency(min=3))
    for second in range(100):
        limiter.overloaded(second, second + 0.5)
    assert limiter.limit == 3


async def test_who_waits_goes_before_who_comes_and_in_turn() -> None:
    limiter = Limiter(Concurrency(min=1, max=1))
    assert limiter.enter()
    order: list[str] = []

    async def call(name: str) -> None:
        assert await place_at([limiter], 5) is limiter
        assert limiter.enter(waited=True)
        order.append(name)

    waiting = [asyncio.ensure_future(call(name)) for name in "abc"]
    for _ in range(3):
        await asyncio.sleep(0)
        limiter.leave()
        assert not limiter.enter()
        await asyncio.sleep(0.01)
    await asyncio.gather(*waiting)
    assert order == list("abc")


async def test_who_leaves_the_queue_takes_no_place_along() -> None:
    limiter = Limiter(Concurrency(min=1, max=1))
    assert limiter.enter()
    assert await place_at([limiter], 0.01) is None
    left = asyncio.ensure_future(place_at([limiter], 5))
    next_one = asyncio.ensure_future(place_at([limiter], 5))
    await asyncio.sleep(0)
    limiter.leave()
    left.cancel()
    await asyncio.gather(left, return_exceptions=True)
    assert await next_one is limiter
    assert limiter.enter(waited=True)
    assert not limiter.waiting


async def test_the_first_of_several_that_has_a_place_is_taken() -> None:
    one, other = Limiter(Concurrency(min=1, max=1)), Limiter(Concurrency(min=1, max=1))
    assert one.enter()
    assert other.enter()
    place = asyncio.ensure_future(place_at([one, other], 5))
    await asyncio.sleep(0)
    other.leave()
    assert await place is other
    assert not one.waiting


def test_an_upstream_is_named_by_its_provider_or_by_a_pattern() -> None:
    given = {"openai/gpt-4o*": Upstream(), "openai": Upstream(concurrency=Concurrency())}
    assert upstream_of(given, "openai", "gpt-4o-mini") is given["openai/gpt-4o*"]
    assert upstream_of(given, "openai", "o3") is given["openai"]
    assert upstream_of(given, "groq", "o3") is None
    assert upstream_of({"*": given["openai"]}, "groq", "o3") is given["openai"]


async def test_a_place_that_came_free_before_one_waits_is_had_at_once() -> None:
    """As where another target was asked first, and failed, while the first one's calls ended."""
    limiter = Limiter(Concurrency(min=1, max=1))
    assert limiter.enter()
    assert not limiter.enter()
    limiter.leave()
    assert await place_at([limiter], 0.5) is limiter
    assert limiter.enter(waited=True)


async def test_new_callers_are_not_turned_away_for_ever_where_nobody_is_under_way() -> None:
    limiter = Limiter(Concurrency(min=1, max=1))
    had = 0

    async def call() -> None:
        nonlocal had
        if not limiter.enter():
            if await place_at([limiter], 0.03) is None:
                return
            assert limiter.enter(waited=True)
        had += 1
        await asyncio.sleep(0.001)
        limiter.leave()

    first = asyncio.ensure_future(place_at([limiter], 0.03))
    calls: list[asyncio.Future[None]] = []
    for _ in range(20):
        await asyncio.sleep(0.01)
        calls.append(asyncio.ensure_future(call()))
    await asyncio.gather(first, *calls)
    assert had == 20
    assert (limiter.busy, limiter.promised) == (0, 0)
