"""Buckets and quotas, in memory and in Redis: the same statements hold of both."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_gateway.model.redis_address import RedisLogin, parse_redis_address
from ai_gateway.state.admission import Bucket, Claim, Grant, Quota, Settlement
from ai_gateway.state.memory import MemoryState
from ai_gateway.state.open import open_redis_state
from ai_gateway.state.store import State
from tests.redis_server import RedisServer, redis_server


@pytest.fixture(scope="module")
def server() -> Generator[RedisServer, None, None]:
    with redis_server() as running:
        yield running


@pytest.fixture(params=["memory", "redis"])
async def state(request: pytest.FixtureRequest) -> AsyncGenerator[State, None]:
    if request.param == "memory":
        yield MemoryState()
        return
    server: RedisServer = request.getfixturevalue("server")
    server.tell("FLUSHALL")
    opened = await open_redis_state(parse_redis_address(server.address), RedisLogin(), timeout=2.0)
    assert opened.trouble() is None
    yield opened
    await opened.close()


def bucket(key: str = "gw:{t}:b", capacity: float = 10, refill: float = 0) -> Bucket:
    return Bucket(key=key, capacity=capacity, refill=refill)


def budget(limit: int = 100, *, hard: bool = True) -> Quota:
    return Quota(key="gw:{t}:q", limit=limit, hard=hard, expires=int(time.time()) + 3600)


def in_flight(limit: int) -> Quota:
    return Quota(key="gw:{t}:f", limit=limit, counted=False)


async def take(
    state: State, *buckets: Bucket, amount: float = 1, call: str = "call", **more: object
) -> Grant:
    claim = Claim(call_id=call, buckets=buckets, takes=[amount] * len(buckets), **more)  # type: ignore[arg-type]
    return await state.admit(claim)


async def reserve(state: State, quota: Quota, amount: int, call: str = "call") -> Grant:
    return await state.admit(Claim(call_id=call, quotas=(quota,), reserves=(amount,)))


def settle(state: State, quota: Quota, reserved: int, spent: int, call: str = "call") -> None:
    state.settle(Settlement(call_id=call, quotas=(quota,), reserved=(reserved,), spent=(spent,)))


async def eventually(look: Callable[[], Awaitable[object]], expected: object) -> None:
    """Settling waits for nobody: what it did shows a little later."""
    seen = await look()
    for _ in range(200):
        if seen == expected:
            break
        await asyncio.sleep(0.01)
        seen = await look()
    assert seen == expected


async def test_a_bucket_gives_what_it_holds_and_no_more(state: State) -> None:
    grants = await asyncio.gather(*(take(state, bucket()) for _ in range(50)))
    assert sum(grant.admitted for grant in grants) == 10
    refused = next(grant for grant in grants if not grant.admitted)
    assert refused.refused_by == 0
    assert refused.wait == float("inf")


async def test_a_bucket_refills_by_its_rate_up_to_its_capacity(state: State) -> None:
    fast = bucket(capacity=5, refill=50)
    for _ in range(5):
        assert (await take(state, fast)).admitted
    refused = await take(state, fast, amount=3)
    assert not refused.admitted
    assert 0 < refused.wait <= 3 / 50
    await asyncio.sleep(0.07)
    assert (await take(state, fast, amount=3)).admitted
    await asyncio.sleep(0.2)
    assert await state.levels([fast]) == [5.0]


async def test_all_or_nothing(state: State) -> None:
    full, nearly_empty = bucket("gw:{t}:1"), bucket("gw:{t}:2", capacity=1)
    assert (await take(state, full, nearly_empty)).admitted
    refused = await take(state, full, nearly_empty)
    assert (refused.admitted, refused.refused_by) == (False, 1)
    assert list(await state.levels([full, nearly_empty])) == [9.0, 0.0]


async def test_where_anything_refuses_no_quota_is_held(state: State) -> None:
    empty, spent, room = bucket("gw:{t}:1", capacity=0), budget(), in_flight(5)
    await state.recount(spent, 0)
    by_bucket = await take(state, empty, quotas=(spent, room), reserves=(10, 1))
    assert (by_bucket.admitted, by_bucket.refused_by) == (False, 0)
    by_second = await take(state, quotas=(spent, in_flight(0)), reserves=(10, 1))
    assert (by_second.admitted, by_second.refused_by, by_second.used) == (False, 1, [0, 0])
    assert [await state.used(spent), await state.used(room)] == [0, 0]


async def test_of_several_refusals_the_longest_is_told(state: State) -> None:
    slow, fast = bucket("gw:{t}:1", 1, 0.01), bucket("gw:{t}:2", 1, 10)
    assert (await take(state, slow, fast)).admitted
    refused = await take(state, slow, fast)
    assert refused.refused_by == 0
    assert refused.wait == pytest.approx(100, rel=0.01)


async def test_what_was_taken_too_much_goes_back_and_too_little_is_owed(state: State) -> None:
    tokens = bucket(capacity=1000)
    await take(state, tokens, amount=400)
    state.settle(Settlement(call_id="call", buckets=(tokens,), returns=(150.0,)))
    await eventually(lambda: state.levels([tokens]), [750.0])
    state.settle(Settlement(call_id="call", buckets=(tokens,), returns=(-900.0,)))
    await eventually(lambda: state.levels([tokens]), [-150.0])
    assert not (await take(state, tokens)).admitted


async def test_nothing_given_back_makes_a_bucket_hold_more_than_its_capacity(state: State) -> None:
    state.settle(Settlement(call_id="call", buckets=(bucket(),), returns=(500.0,)))
    await eventually(lambda: state.levels([bucket()]), [10.0])


async def test_a_lower_capacity_holds_at_once(state: State) -> None:
    await take(state, bucket(capacity=100))
    assert await state.levels([bucket(capacity=5)]) == [5.0]


async def test_a_sum_nobody_knows_is_asked_for_and_nothing_is_taken(state: State) -> None:
    claim = Claim(call_id="c", buckets=(bucket(),), takes=(1,), quotas=(budget(),), reserves=(10,))
    grant = await state.admit(claim)
    assert (grant.admitted, list(grant.unknown), grant.refused_by) == (False, [0], -1)
    await eventually(lambda: state.levels([bucket()]), [10.0])
    await state.recount(budget(), 85)
    await state.recount(budget(), 0)  # someone else's later count changes nothing
    assert (await state.admit(claim)).used == [95]
    assert not (await state.admit(claim)).admitted


async def test_reservations_hold_a_budget_and_settling_is_exact(state: State) -> None:
    await state.recount(budget(), 0)
    first = await reserve(state, budget(), 60, "one")
    assert first.admitted
    refused = await reserve(state, budget(), 60, "two")
    assert (refused.admitted, refused.refused_by, refused.used) == (False, 0, [60])
    settle(state, budget(), 60, 7, "one")
    await eventually(lambda: state.used(budget()), 7)
    assert (await reserve(state, budget(), 60, "two")).admitted
    settle(state, budget(), 60, 0, "two")
    await eventually(lambda: state.used(budget()), 7)


async def test_a_reservation_of_nothing_is_settled_too(state: State) -> None:
    await state.recount(budget(), 0)
    assert (await reserve(state, budget(), 0)).admitted
    settle(state, budget(), 0, 3)
    await eventually(lambda: state.used(budget()), 3)


async def test_a_soft_budget_never_refuses(state: State) -> None:
    soft = budget(10, hard=False)
    await state.recount(soft, 500)
    grant = await reserve(state, soft, 5)
    assert grant.admitted
    assert grant.used == [505]


async def test_calls_in_flight_are_capped(state: State) -> None:
    cap = in_flight(3)
    grants = await asyncio.gather(*(reserve(state, cap, 1, f"c{i}") for i in range(9)))
    assert sum(grant.admitted for grant in grants) == 3
    held = next(f"c{i}" for i, grant in enumerate(grants) if grant.admitted)
    settle(state, cap, 1, 0, held)
    await eventually(lambda: state.used(cap), 2)
    assert (await reserve(state, cap, 1, "next")).admitted


async def test_who_leaves_before_the_grant_is_heard_holds_nothing(state: State) -> None:
    claim = Claim(
        call_id="gone", buckets=(bucket(),), takes=(3,), quotas=(in_flight(5),), reserves=(1,)
    )
    for _ in range(3):
        asked = asyncio.ensure_future(state.admit(claim))
        await asyncio.sleep(0)
        if not asked.cancel():
            # In memory nobody can leave in between.
            state.settle(
                Settlement(
                    call_id="gone",
                    buckets=(bucket(),),
                    returns=(3,),
                    quotas=(in_flight(5),),
                    reserved=(1,),
                    spent=(0,),
                )
            )
        await eventually(lambda: state.used(in_flight(5)), 0)
    await eventually(lambda: state.levels([bucket()]), [10.0])


async def test_a_value_comes_along_with_the_grant(state: State) -> None:
    state.set("gw:{t}:x", b"\x00\xffvalue\r\n", 60)
    grant = await take(state, bucket(), look_up="gw:{t}:x")
    assert grant.value == b"\x00\xffvalue\r\n"
    assert (await take(state, bucket(), look_up="gw:{t}:y")).value is None


async def test_values_live_as_long_as_they_were_told_to(state: State) -> None:
    state.set("gw:{t}:x", b"1", 0.05)
    assert await state.get("gw:{t}:x") == b"1"
    assert not await state.add("gw:{t}:x", b"2", 60)
    await asyncio.sleep(0.06)
    assert await state.get("gw:{t}:x") is None
    assert await state.add("gw:{t}:x", b"2", 60)
    state.delete("gw:{t}:x")
    assert await state.get("gw:{t}:x") is None


async def test_what_is_published_is_heard(state: State) -> None:
    heard: list[bytes] = []
    state.subscribe("gw:channel", heard.append)
    for _ in range(100):
        state.publish("gw:channel", b"revoked")
        await asyncio.sleep(0.02)
        if heard:
            break
    assert heard[0] == b"revoked"


AMOUNTS = st.floats(0, 20, allow_nan=False)
STEPS = st.lists(
    st.tuples(st.sampled_from(["take", "back", "wait"]), AMOUNTS), min_size=1, max_size=60
)


@settings(deadline=None, max_examples=300)
@given(capacity=st.floats(1, 50), refill=st.floats(0, 20), steps=STEPS)
def test_a_bucket_admits_no_more_than_capacity_and_rate_allow(
    capacity: float, refill: float, steps: list[tuple[str, float]]
) -> None:
    now = [0.0]
    state = MemoryState(clock=lambda: now[0])
    held = Bucket(key="b", capacity=capacity, refill=refill)
    taken = returned = 0.0
    for what, amount in steps:
        match what:
            case "take":
                claim = Claim(call_id="c", buckets=(held,), takes=(amount,))
                taken += amount if state.admit_now(claim).admitted else 0
            case "back":
                back = min(amount, taken - returned)
                returned += back
                state.settle(Settlement(call_id="c", buckets=(held,), returns=(back,)))
            case _:
                now[0] += amount
        level = state.admit_now(Claim(call_id="c", buckets=(held,), takes=(0,))).levels[0]
        assert level <= capacity
        assert taken - returned <= capacity + refill * now[0] + 1e-6


@settings(deadline=None, max_examples=300)
@given(
    calls=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 80)), max_size=40),
    together=st.integers(1, 5),
)
def test_a_hard_budget_is_passed_only_by_what_was_not_foreseen(
    calls: list[tuple[int, int]], together: int
) -> None:
    state = MemoryState()
    quota = Quota(key="q", limit=100)
    asyncio.run(state.recount(quota, 0))
    spent = unforeseen = 0
    flying: list[tuple[int, int]] = []
    for reserved, used in calls:
        claim = Claim(call_id="c", quotas=(quota,), reserves=(reserved,))
        if state.admit_now(claim).admitted:
            flying.append((reserved, used))
        if len(flying) >= together:
            held, true = flying.pop(0)
            settle(state, quota, held, true)
            spent += true
            unforeseen += max(0, true - held)
    for held, true in flying:
        settle(state, quota, held, true)
        spent += true
        unforeseen += max(0, true - held)
    assert asyncio.run(state.used(quota)) == spent
    assert spent <= 100 + unforeseen


def test_a_million_users_leave_the_memory_bounded() -> None:
    state = MemoryState()
    for user in range(250_000):
        key = Bucket(key=f"u{user}", capacity=10, refill=1)
        state.admit_now(Claim(call_id="c", buckets=(key,), takes=(1,)))
    assert len(state._levels) <= 200_000


def test_values_are_bounded_by_bytes() -> None:
    state = MemoryState(value_bytes=10_000)
    for at in range(100):
        state.set(f"k{at}", b"x" * 500, 60)
    assert asyncio.run(state.get("k99")) == b"x" * 500
    assert asyncio.run(state.get("k0")) is None


@pytest.mark.parametrize(
    ("text", "kind", "hosts"),
    [
        ("localhost:6379", "single", (("localhost", 6379),)),
        ("redis", "single", (("redis", 6379),)),
        ("[::1]:7000", "single", (("::1", 7000),)),
        ("rediss://cache.example:6380/2", "single", (("cache.example", 6380),)),
        ("redis+sentinel://a:1,b/main", "sentinel", (("a", 1), ("b", 26379))),
        ("redis+cluster://a:1,b:2", "cluster", (("a", 1), ("b", 2))),
    ],
)
def test_addresses(text: str, kind: str, hosts: tuple[tuple[str, int], ...]) -> None:
    address = parse_redis_address(text)
    assert (address.kind, address.hosts) == (kind, hosts)


@pytest.mark.parametrize(
    "text",
    [
        "redis://user:secret@host",
        "http://host",
        "redis+sentinel://a:1",
        "redis+cluster://a/2",
        "a:b",
        "a,b",
        "redis://a/x",
        "",
    ],
)
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        parse_redis_address(text)
