"""Another replica's answer, told to this one's callers; a stream as it comes."""

from time import time

from ai_gateway.dialects.bridge import TranslatingBridge
from ai_gateway.model.call import Outcome

from .account import account
from .asking import Asking
from .flight import Flight
from .forms import live
from .live import Begun, Followed
from .memory import Slot
from .telling import chat_of, retell, send


def _bridge(asking: Asking, begun: Begun) -> TranslatingBridge | None:
    return live(begun.form, asking.form, chat_of(asking), int(time()))


def follows(asking: Asking, begun: Begun) -> bool:
    """Whether another replica's stream can be told in this form as it comes."""
    return begun.form == asking.form or _bridge(asking, begun) is not None


async def hand_on(found: Slot | Followed, flight: Flight, asking: Asking, outcome: Outcome) -> None:
    """`flight` is what this replica's callers read."""
    if isinstance(found, Followed):
        await _hand_on_stream(found, flight, asking, outcome)
    else:
        account(outcome, found.entry, "joined", time())
        await send(retell(found.entry, asking), asking.form, outcome, flight)


async def _hand_on_stream(
    followed: Followed, flight: Flight, asking: Asking, outcome: Outcome
) -> None:
    assert followed.begun is not None
    bridge = None if followed.begun.form == asking.form else _bridge(asking, followed.begun)
    followed.account(outcome)
    await flight.begin(outcome)
    async for data in followed.pieces():
        out = data if bridge is None else bridge.feed(data)
        if out:
            await flight.piece(out)
    if bridge is not None and (tail := bridge.end()):
        await flight.piece(tail)
    followed.account(outcome)
    await flight.end()
