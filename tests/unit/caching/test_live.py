"""What one replica copies of its stream for another."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest

from ai_gateway.caching import live
from ai_gateway.caching.flight import Flight
from ai_gateway.caching.forms import Form
from ai_gateway.caching.live import Followed, Live
from ai_gateway.model.call import Outcome, Request, Target
from ai_gateway.model.errors import GatewayError

FORM = Form("chat", "openai_chat", stream=True)


class Shared:
    """Streams and channels as several replicas see them."""

    def __init__(self) -> None:
        self.streams: dict[str, list[bytes]] = {}
        self.hearers: list[Callable[[bytes], None]] = []
        self.values: dict[str, bytes] = {}
        self.wishes = 0

    async def get(self, key: str) -> bytes | None:
        return self.values.get(key)

    def delete(self, *keys: str) -> None:
        for key in keys:
            self.streams.pop(key, None)

    def append(self, stream: str, value: bytes, most: int, ttl: float | None = None) -> None:
        assert ttl is not None, "what a follower leaves behind must go by itself"
        self.streams.setdefault(stream, []).append(value)

    async def read_after(self, stream: str, id: bytes, count: int) -> list[tuple[bytes, bytes]]:
        found = list(enumerate(self.streams.get(stream, []), 1))
        return [(b"%d" % n, value) for n, value in found if n > int(id)][:count]

    def publish(self, channel: str, message: bytes) -> None:
        self.wishes += 1
        for hearer in self.hearers:
            hearer(message)

    def subscribe(
        self, channel: str, hearer: Callable[[bytes], None], gap: Callable[[], None] | None = None
    ) -> None:
        self.hearers.append(hearer)


def flying() -> Flight:
    request = Request(
        id="r",
        operation="chat",
        dialect="openai_chat",
        endpoint="/",
        body=b"",
        headers={},
        received=0.0,
    )
    outcome = Outcome(request=request)
    outcome.target = Target(provider="openai", model="gpt-4o")
    flight = Flight(FORM, outcome, 1000)
    flight.enter()
    return flight


@asynccontextmanager
async def begun(shared: Shared, *pieces: bytes) -> AsyncGenerator[tuple[Live, Flight], None]:
    asker = Live(shared)
    asker.start()
    flight = flying()
    with asker.leading("k", flight):
        await flight.begin(flight.outcome)
        for piece in pieces:
            await flight.piece(piece)
        yield asker, flight


async def all_of(followed: Followed) -> bytes:
    return b"".join([data async for data in followed.pieces()])


async def test_a_stream_is_copied_from_its_beginning_once_somebody_wishes_it() -> None:
    shared = Shared()
    async with begun(shared, b"one ", b"two ") as (asker, flight):
        await asyncio.sleep(0)
        assert shared.streams == {}
        followed = Live(shared).follow("k", "lease")
        reading = asyncio.create_task(all_of(followed))
        await asyncio.sleep(0.05)
        flight.outcome.cost = Decimal("0.5")
        await flight.piece(b"three")
        await flight.end()
        assert await reading == b"one two three"
        assert followed.ended is not None
        assert followed.ended.cost == Decimal("0.5")
        assert (shared.wishes, asker.copying) == (1, 0)
        followed.close()
        assert shared.streams == {}


async def test_nobody_copies_what_it_does_not_ask_for_itself() -> None:
    shared = Shared()
    async with begun(shared) as (asker, _):
        assert not await Live(shared).follow("another", "lease").look()
        assert asker.copying == 0


async def test_a_copy_ends_where_its_wish_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_WISHED_FOR_SECONDS", -1.0)
    shared = Shared()
    async with begun(shared, b"one") as (asker, flight):
        await Live(shared).follow("k", "lease").look()
        await asyncio.sleep(0.01)
        assert (asker.copying, flight.readers) == (0, 1)


@pytest.mark.parametrize("missed", [1, 2], ids=["a piece", "another piece"])
async def test_where_a_piece_is_missing_it_is_broken_off(missed: int) -> None:
    shared = Shared()
    async with begun(shared, b"one") as (_, flight):
        followed = Live(shared).follow("k", "lease")
        await followed.look()
        await asyncio.sleep(0.01)
        await flight.piece(b"two")
        await asyncio.sleep(0.01)
        await flight.piece(b"three")
        await asyncio.sleep(0.01)
        (stream,) = shared.streams.values()
        stream[missed] = stream[0]
        with pytest.raises(GatewayError, match="broke off"):
            await followed.look()


async def test_a_silent_asker_whose_lease_is_gone_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_SILENT_SECONDS", 0.02)
    shared = Shared()
    shared.values["lease"] = b"1"
    async with begun(shared, b"one"):
        followed = Live(shared).follow("k", "lease")
        reading = asyncio.create_task(all_of(followed))
        await asyncio.sleep(0.2)
        assert not reading.done(), "it is silent, and alive"
        del shared.values["lease"]
        with pytest.raises(GatewayError, match="broke off"):
            await reading


async def test_a_silent_asker_whose_lease_another_took_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It died; whoever asks now copies another stream, or none."""
    monkeypatch.setattr(live, "_SILENT_SECONDS", 0.02)
    monkeypatch.setattr(live, "LEASE_SECONDS", 0.1)
    shared = Shared()
    shared.values["lease"] = b"one"
    async with begun(shared, b"one"):
        reading = asyncio.create_task(all_of(Live(shared).follow("k", "lease")))
        await asyncio.sleep(0.2)
        assert not reading.done(), "it is silent, and alive"
        shared.values["lease"] = b"another"
        async with asyncio.timeout(1):
            with pytest.raises(GatewayError, match="broke off"):
                await reading


async def test_a_caller_that_reads_slowly_is_copied_for_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "_WISH_SECONDS", 0.02)
    monkeypatch.setattr(live, "_WISHED_FOR_SECONDS", 0.1)
    shared = Shared()
    shared.values["lease"] = b"1"
    async with begun(shared, b"0 ") as (_, flight):
        followed = Live(shared).follow("k", "lease")
        pieces = followed.pieces()
        got = await anext(pieces)
        for number in range(1, 30):
            # Nobody asks for the next one meanwhile.
            await flight.piece(b"%d " % number)
            await asyncio.sleep(0.01)
        await flight.end()
        async with asyncio.timeout(2):
            async for data in pieces:
                got += data
        assert got == b"".join(b"%d " % number for number in range(30))
        followed.close()
        wishes = shared.wishes
        await asyncio.sleep(0.06)
        assert shared.wishes == wishes


async def test_an_asking_that_has_not_begun_is_let_go_when_its_last_follower_has_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "_WISHED_FOR_SECONDS", 0.05)
    shared = Shared()
    asker = Live(shared)
    asker.start()
    flight = flying()
    with asker.leading("k", flight):
        followed = Live(shared).follow("k", "lease")
        await followed.look()
        await asyncio.sleep(0.01)
        assert flight.readers == 2
        followed.close()
        await asyncio.sleep(0.1)
        assert (asker.copying, flight.readers) == (0, 1)


async def test_a_stream_beyond_its_bound_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST_COPIED_BYTES", 5)
    shared = Shared()
    async with begun(shared, b"six by") as (asker, _):
        followed = Live(shared).follow("k", "lease")
        await followed.look()
        await asyncio.sleep(0.01)
        with pytest.raises(GatewayError, match="broke off"):
            await followed.look()
        assert asker.copying == 0
