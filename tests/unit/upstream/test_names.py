"""A name is looked up once at a time, and what was last found stands in while that takes long or fails."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from ai_gateway.upstream.names import Names


class Resolver:
    """Answers when it is let."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: Sequence[str] | OSError = ("10.0.0.1", "10.0.0.2")
        self.let = threading.Event()
        self.let.set()

    def __call__(self, host: str) -> Sequence[str]:
        self.asked += 1
        self.let.wait(5)
        if isinstance(self.answer, OSError):
            raise self.answer
        return self.answer


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_an_address_is_its_own(host: str) -> None:
    resolver = Resolver()
    assert list(await Names(resolver).addresses(host)) == [host]
    assert resolver.asked == 0


async def test_callers_at_once_share_a_look_up_and_a_young_answer_is_kept() -> None:
    resolver = Resolver()
    resolver.let.clear()
    names = Names(resolver)
    waiting = [asyncio.ensure_future(names.addresses("a.test")) for _ in range(20)]
    await asyncio.sleep(0.05)
    resolver.let.set()
    assert {tuple(found) for found in await asyncio.gather(*waiting)} == {("10.0.0.1", "10.0.0.2")}
    await names.addresses("a.test")
    assert resolver.asked == 1


async def test_who_gives_up_does_not_end_the_look_up_for_the_others() -> None:
    resolver = Resolver()
    resolver.let.clear()
    names = Names(resolver)
    patient = asyncio.ensure_future(names.addresses("a.test"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(names.addresses("a.test"), 0.05)
    resolver.let.set()
    assert await patient
    assert resolver.asked == 1


async def test_an_old_answer_is_given_at_once_and_looked_up_behind_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ai_gateway.upstream.names._FRESH_SECONDS", 0.0)
    resolver = Resolver()
    names = Names(resolver)
    await names.addresses("a.test")
    resolver.answer = ("10.0.0.9",)
    assert list(await names.addresses("a.test")) == ["10.0.0.1", "10.0.0.2"]
    await asyncio.sleep(0.1)
    assert list(await names.addresses("a.test")) == ["10.0.0.9"]
    resolver.answer = OSError("away")
    await asyncio.sleep(0.1)
    assert list(await names.addresses("a.test")) == ["10.0.0.9"]


async def test_a_name_that_is_none_is_told_and_asked_for_anew() -> None:
    resolver = Resolver()
    resolver.answer = OSError("no such name")
    names = Names(resolver)
    for _ in range(2):
        with pytest.raises(OSError, match="no such name"):
            await names.addresses("a.test")
    assert resolver.asked == 2
