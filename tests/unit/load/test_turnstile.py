"""How many at once, who waits, who is refused."""

import asyncio

import pytest

from ai_gateway.load.turnstile import Turnstile
from ai_gateway.model.errors import GatewayError


def turnstile(most: int = 1, waiting: int = 2, wait: float = 5.0) -> tuple[Turnstile, list[str]]:
    refused: list[str] = []
    made = Turnstile(most=most, most_waiting=waiting, longest_wait=wait, on_refusal=refused.append)
    return made, refused


async def test_what_fits_waits_for_nothing() -> None:
    door, _ = turnstile(most=3)
    for _ in range(3):
        await door.enter(0)
    assert not door.try_enter()
    door.leave()
    assert door.try_enter()
    assert (door.running, door.waiting) == (3, 0)


async def test_the_queue_goes_by_priority_then_by_coming() -> None:
    door, _ = turnstile(waiting=10)
    await door.enter(0)
    came: list[str] = []

    async def call(name: str, priority: int) -> None:
        await door.enter(priority)
        came.append(name)
        door.leave()

    calls = [
        asyncio.ensure_future(call(name, priority))
        for name, priority in (("low", 0), ("high", 5), ("low too", 0), ("highest", 9))
    ]
    await asyncio.sleep(0)
    assert door.waiting == 4
    door.leave()
    await asyncio.gather(*calls)
    assert came == ["highest", "high", "low", "low too"]
    assert (door.running, door.waiting) == (0, 0)


async def test_over_the_queue_is_refused_at_once_with_advice() -> None:
    door, refused = turnstile(waiting=0)
    await door.enter(0)
    with pytest.raises(GatewayError) as caught:
        await door.enter(0)
    assert (caught.value.status, caught.value.retry_after, caught.value.code) == (
        503,
        1,
        "queue_full",
    )
    assert refused == ["queue_full"]


async def test_a_higher_priority_takes_the_last_place_of_a_full_queue() -> None:
    door, refused = turnstile(waiting=1)
    await door.enter(0)
    low = asyncio.ensure_future(door.enter(0))
    await asyncio.sleep(0)
    high = asyncio.ensure_future(door.enter(1))
    with pytest.raises(GatewayError):
        await low
    door.leave()
    await high
    assert refused == ["queue_full"]
    assert (door.running, door.waiting) == (1, 0)


async def test_who_waits_too_long_is_refused() -> None:
    door, refused = turnstile(wait=0.02)
    await door.enter(0)
    with pytest.raises(GatewayError) as caught:
        await door.enter(0)
    assert caught.value.code == "queue_timeout"
    assert (refused, door.waiting) == (["queue_timeout"], 0)
    door.leave()
    assert door.try_enter()


async def test_a_caller_who_leaves_gives_up_its_place_and_no_room_is_lost() -> None:
    for leave_first in (True, False):
        door, _ = turnstile()
        await door.enter(0)
        waiting = asyncio.ensure_future(door.enter(0))
        await asyncio.sleep(0)
        if leave_first:
            door.leave()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        if not leave_first:
            door.leave()
        assert (door.running, door.waiting) == (0, 0)


async def test_under_any_order_of_events_the_bound_holds_and_all_ends_at_zero() -> None:
    from random import Random

    random = Random(3)
    door, _ = turnstile(most=5, waiting=20, wait=0.01)
    most = 0

    async def call() -> None:
        nonlocal most
        try:
            await door.enter(random.randrange(3))
        except GatewayError:
            return
        most = max(most, door.running)
        try:
            await asyncio.sleep(random.random() * 0.01)
        finally:
            door.leave()

    calls = [asyncio.ensure_future(call()) for _ in range(300)]
    for each in random.sample(calls, 60):
        await asyncio.sleep(0.0005)
        each.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert most == 5
    assert (door.running, door.waiting) == (0, 0)


async def test_how_long_calls_waited_is_told_of_those_that_had_to() -> None:
    waits: list[float] = []
    door = Turnstile(
        most=1, most_waiting=2, longest_wait=0.05, on_refusal=lambda _: None, on_wait=waits.append
    )
    await door.enter(0)
    assert waits == []
    patient = asyncio.ensure_future(door.enter(0))
    await asyncio.sleep(0.01)
    door.leave()
    await patient
    with pytest.raises(GatewayError):
        await door.enter(0)
    assert 0.01 <= waits[0] < 0.05 <= waits[1]
