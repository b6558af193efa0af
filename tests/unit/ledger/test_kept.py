"""Reports that many pages ask for alike are made once."""

import asyncio

import pytest

from ai_gateway.edge.admin import kept as kept_module
from ai_gateway.edge.admin.kept import Kept


class Maker:
    def __init__(self) -> None:
        self.made = 0
        self.fails = False

    async def make(self) -> int:
        await asyncio.sleep(0.01)
        self.made += 1
        if self.fails:
            raise OSError("away")
        return self.made


async def test_who_asks_alike_at_once_or_soon_gets_one_report() -> None:
    kept, maker = Kept[str, int](60), Maker()
    assert await asyncio.gather(*(kept.get("acme", maker.make) for _ in range(20))) == [1] * 20
    assert await kept.get("acme", maker.make) == 1
    assert await kept.get("other", maker.make) == 2


async def test_a_report_grows_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_module, "_TIMES_AS_LONG", 0)
    kept, maker = Kept[str, int](0.02), Maker()
    assert await kept.get("acme", maker.make) == 1
    await asyncio.sleep(0.05)
    assert await kept.get("acme", maker.make) == 2


async def test_what_takes_long_to_make_is_kept_for_longer() -> None:
    kept, maker = Kept[str, int](0.02), Maker()
    assert await kept.get("acme", maker.make) == 1
    await asyncio.sleep(0.1)
    assert await kept.get("acme", maker.make) == 1
    await asyncio.sleep(1)
    assert await kept.get("acme", maker.make) == 2


async def test_a_failure_is_not_kept() -> None:
    kept, maker = Kept[str, int](60), Maker()
    maker.fails = True
    with pytest.raises(OSError, match="away"):
        await kept.get("acme", maker.make)
    maker.fails = False
    assert await kept.get("acme", maker.make) == 2


async def test_who_leaves_ends_it_for_nobody_else() -> None:
    kept, maker = Kept[str, int](60), Maker()
    first = asyncio.create_task(kept.get("acme", maker.make))
    second = asyncio.create_task(kept.get("acme", maker.make))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == 1
    assert await kept.get("acme", maker.make) == 1


async def test_what_is_kept_is_bounded() -> None:
    kept, maker = Kept[int, int](60), Maker()
    for number in range(250):
        await kept.get(number, maker.make)
    assert maker.made == 250
    assert len(kept._known) <= 100  # pyright: ignore[reportPrivateUsage]
