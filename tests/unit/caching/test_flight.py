"""One asking and those who wait for it, where its caller leaves."""

import asyncio

import pytest

from ai_gateway.caching.flight import Flight
from ai_gateway.caching.forms import Form
from ai_gateway.model.call import Outcome, Request
from ai_gateway.model.carrier import CALLER_LEFT, Carrier

FORM = Form(operation="chat", dialect="openai_chat")


class Task:
    """Of an event loop, as far as a carrier knows it."""

    def __init__(self) -> None:
        self.cancelled: list[object] = []

    def cancel(self, msg: object = None) -> bool:
        self.cancelled.append(msg)
        return True

    def done(self) -> bool:
        return False


def flight() -> Flight:
    request = Request(
        id="r", operation="chat", dialect="openai_chat", endpoint="/", body=b"", headers={},
        received=0.0,
    )  # fmt: skip
    return Flight(FORM, Outcome(request=request), 1000)


async def test_an_asking_whose_only_caller_has_left_takes_nobody_along_to_its_end() -> None:
    asking, task = flight(), Task()
    carrier = Carrier(task)

    async def asks() -> None:
        carrier.caller_left()
        assert task.cancelled == [CALLER_LEFT]
        assert not asking.joinable

    await asking.led_by(carrier, asks())


async def test_an_asking_that_others_wait_for_goes_on_until_the_last_has_left() -> None:
    asking, task = flight(), Task()
    carrier = Carrier(task)
    others = [asking.enter(), asking.enter()]

    async def asks() -> None:
        carrier.caller_left()
        asking.leave(others[0])
        assert (task.cancelled, asking.joinable) == ([], True)
        asking.leave(others[1])
        assert (task.cancelled, asking.joinable) == ([CALLER_LEFT], False)

    with pytest.raises(asyncio.CancelledError, match=CALLER_LEFT):
        await asking.led_by(carrier, asks())
