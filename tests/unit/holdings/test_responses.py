"""Notes on responses, between the answer and the database."""

import asyncio
from typing import Any

import pytest
from msgspec.json import encode

from ai_gateway.holdings import responses
from ai_gateway.holdings.responses import HeldResponse, ResponseKeeper
from ai_gateway.holdings.store import Held, now
from ai_gateway.model.errors import GatewayError
from ai_gateway.storage.database import DatabaseUnavailable


class Store:
    def __init__(self) -> None:
        self.kept: dict[str, Held] = {}
        self.away = False
        self.slow = asyncio.Event()
        self.slow.set()

    async def keep_all(self, batch: list[Held]) -> None:
        if self.away:
            raise DatabaseUnavailable
        await self.slow.wait()
        self.kept |= {held.id: held for held in batch}

    async def find(self, kind: str, id: str, tenant: str) -> Held:
        held = self.kept.get(id)
        if held is None or held.tenant != tenant:
            raise GatewayError("not_found", "no")
        return held

    async def forget(self, id: str) -> None:
        self.kept.pop(id, None)

    async def expire(self, kind: str, before: int) -> None: ...


def keeper(store: Any, lost: list[int]) -> ResponseKeeper:
    return ResponseKeeper(
        store,
        keeps_content=True,
        seconds=60,
        most_bytes=1000,
        strict=lambda: True,
        dropped=lost.append,
    )


def note(id: str, size: int = 10) -> Held:
    return Held(
        id=id, kind="response", tenant="acme", provider="gateway", created_at=now(),
        data=encode(HeldResponse(provider="p" * size)).decode(),
    )  # fmt: skip


async def written(keeper: ResponseKeeper) -> None:
    async with asyncio.timeout(5):
        while keeper._waiting:
            await asyncio.sleep(0.01)


async def test_what_another_replica_deleted_is_gone_here_too() -> None:
    store, lost = Store(), list[int]()
    one, other = keeper(store, lost), keeper(store, lost)
    one._note(note("r"))
    assert (await one.find("r", "acme")).provider.startswith("p")
    await written(one)
    await other.forget("r")
    with pytest.raises(GatewayError):
        await one.find("r", "acme")
    await one.close()


async def test_what_is_deleted_while_it_is_written_stays_deleted() -> None:
    store, lost = Store(), list[int]()
    one = keeper(store, lost)
    store.slow.clear()
    one._note(note("r"))
    await asyncio.sleep(0.15)
    deleting = asyncio.ensure_future(one.forget("r"))
    await asyncio.sleep(0.05)
    store.slow.set()
    await deleting
    with pytest.raises(GatewayError):
        await one.find("r", "acme")
    await one.close()
    assert store.kept == {}


async def test_while_the_database_is_away_notes_wait_in_bounded_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(responses, "_MOST_BYTES", 10_000)
    store, lost = Store(), list[int]()
    one = keeper(store, lost)
    store.away = True
    for number in range(30):
        one._note(note(f"r{number}", 1000))
    await asyncio.sleep(0.15)
    assert sum(lost) == 30 - len(one._waiting)
    assert 5 < len(one._waiting) < 10
    assert (await one.find("r0", "acme")).provider
    store.away = False
    await written(one)
    assert one._bytes == 0
    assert "r0" in store.kept
    await one.close()
