"""What a load took is given back when it is over, and not before."""

import asyncio
import sys

import pytest

from ai_gateway import spare_memory
from ai_gateway.spare_memory import SpareMemory

MIB = 1024 * 1024


async def looks(monkeypatch: pytest.MonkeyPatch, told: list[tuple[int, int, int]]) -> list[int]:
    """Looks once for each (calls in flight, calls in all, MiB resident); gives which looks trimmed. What
    trimming leaves is 60 MiB."""
    trimmed: list[int] = []
    at = 0
    size = 0

    def trim(_: int) -> int:
        nonlocal size
        trimmed.append(at)
        size = 60
        return 1

    monkeypatch.setattr(spare_memory, "_trim", lambda: trim)
    monkeypatch.setattr(spare_memory, "resident_bytes", lambda: size * MIB)
    monkeypatch.setattr(spare_memory, "_EVERY", 3600.0)
    memory = SpareMemory(lambda: told[at][:2])
    for at, (_, _, mib) in enumerate(told):  # noqa: B007
        size = mib
        memory._look()  # pyright: ignore[reportPrivateUsage]
    memory.close()
    return trimmed


CASES: dict[str, tuple[list[tuple[int, int, int]], list[int]]] = {
    "nothing while calls are under way": ([(3, 10, 100), (3, 10, 100)], []),
    "nothing while calls come and go between looks": ([(0, 10, 100), (0, 20, 100)], []),
    "once a second has passed without a call": ([(0, 10, 100), (0, 10, 100)], [1]),
    "not again while nothing has grown": ([(0, 9, 100), (0, 9, 100), (0, 9, 61), (0, 9, 61)], [1]),
    "again when it has": ([(0, 9, 99), (0, 9, 99), (0, 9, 70)], [1, 2]),
}


@pytest.mark.parametrize(("told", "trimmed"), CASES.values(), ids=CASES.keys())
async def test_memory_is_given_back(
    monkeypatch: pytest.MonkeyPatch, told: list[tuple[int, int, int]], trimmed: list[int]
) -> None:
    assert await looks(monkeypatch, told) == trimmed


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc_trim is asked for")
async def test_it_looks_by_itself_once_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spare_memory, "_EVERY", 0.01)
    looked = asyncio.Event()

    def calls() -> tuple[int, int]:
        looked.set()
        return 0, 0

    memory = SpareMemory(calls)
    memory.start()
    await asyncio.wait_for(looked.wait(), 5)
    memory.close()
