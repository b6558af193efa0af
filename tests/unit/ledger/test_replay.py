"""Many who want the ledger to be up to date at once share the work."""

import asyncio
from pathlib import Path

from ai_gateway.ledger.replay import Replayer
from ai_gateway.ledger.spool import Spool
from ai_gateway.storage.database import Database


def ignored(_: object) -> None:
    """Nobody counts here."""


class Counting(Replayer):
    def __init__(self, directory: Path) -> None:
        spool = Spool(directory, lost=ignored)
        database = Database("sqlite+aiosqlite:///:memory:")
        super().__init__(spool, database, on_trouble=ignored, refused=ignored)
        self.begun = 0
        self.fault: Exception | None = None
        self.go = asyncio.Event()

    async def _replay(self) -> None:
        self.begun += 1
        await self.go.wait()
        if self.fault is not None:
            raise self.fault


async def test_those_who_come_before_it_begins_share_one(tmp_path: Path) -> None:
    replayer = Counting(tmp_path)
    first = asyncio.create_task(replayer.catch_up())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert replayer.begun == 1
    # What they have settled may have come too late for the first.
    later = [asyncio.create_task(replayer.catch_up()) for _ in range(20)]
    await asyncio.sleep(0)
    replayer.go.set()
    await asyncio.gather(first, *later)
    assert replayer.begun == 2


async def test_a_fault_is_told_to_all_and_the_next_begins_anew(tmp_path: Path) -> None:
    replayer = Counting(tmp_path)
    replayer.go.set()
    replayer.fault = OSError("gone")
    got = await asyncio.gather(*(replayer.catch_up() for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in got] == [OSError] * 3
    replayer.fault = None
    await replayer.catch_up()


async def test_who_leaves_does_not_end_it_for_the_others(tmp_path: Path) -> None:
    replayer = Counting(tmp_path)
    one, other = (asyncio.create_task(replayer.catch_up()) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    await asyncio.sleep(0)
    replayer.go.set()
    await other
    assert replayer.begun == 1
