"""What came of the attempts, on its way to the caller and into the account."""

from msgspec import structs

from ai_gateway.catalogue.cost import cost_of
from ai_gateway.dialects.exchange import Exchange
from ai_gateway.dialects.token_estimate import tokens_of_bytes
from ai_gateway.model.call import Outcome
from ai_gateway.model.usage import Usage
from ai_gateway.reply import Reply

from .attempt import Asking, Flow, Whole
from .failure import Failed, from_cut

_FRAME_BYTES = 300
"""What a stream's event takes beside its text, at most as a rule."""


async def hand_over(whole: Whole, outcome: Outcome, reply: Reply) -> None:
    converted = whole.answer
    outcome.status = 200
    outcome.stop = converted.stop
    outcome.answered_model = converted.model
    outcome.notes = whole.notes
    outcome.upstream_request_id = whole.upstream_request_id
    if converted.usage is not None:
        outcome.usage, outcome.usage_known = converted.usage, True
        price(outcome, whole.asking)
    await reply.whole(outcome, converted.body)


async def close_stream(flow: Flow, outcome: Outcome, reply: Reply) -> None:
    """The provider's stream is over: for good, or short of its end."""
    bridge = flow.bridge
    if bridge.failure is not None:
        # The caller has the error event already; it ends the stream.
        outcome.error_detail = "an error event inside the stream"
        outcome.error = bridge.failure.kind
    elif not bridge.complete:
        raise from_cut(flow.asking.destination).error
    elif not reply.begun:
        outcome.status = 200
        await reply.begin(outcome)
    await reply.end()


async def give_up(failure: Failed, outcome: Outcome, reply: Reply) -> None:
    """Tells the caller of the last failure: in the provider's words where they are in its dialect."""
    outcome.error_detail = failure.detail
    relayed = failure.relayed
    if relayed is None:
        raise failure.error
    outcome.error, outcome.status = relayed.kind, relayed.status
    await reply.whole(outcome, relayed.body, relayed.headers)


def take_account(flow: Flow, outcome: Outcome) -> None:
    """What the stream has told so far; before the piece that completes it is handed on, so that its
    account is written before the caller can have all of it. It is complete with what was used, which Chat
    tells in an event after the finish."""
    bridge = flow.bridge
    outcome.stop = bridge.stop
    outcome.complete = bridge.complete and bridge.usage is not None
    if bridge.usage is not None:
        outcome.usage, outcome.usage_known = bridge.usage, True
        price(outcome, flow.asking)


def estimate_account(
    exchange: Exchange, flow: Flow, outcome: Outcome, sent: int, last: bytes
) -> None:
    """Of a stream that ended before its provider said what was used: the prompt, and what went out. Else
    whoever leaves just before the end would be answered for nothing.

    `sent`: bytes handed on; `last`: a piece of them, which tells how large an event is. Most hold a
    token each; what is more than an event's frame is text.
    """
    known = flow.bridge.usage
    events = sent * max(1, last.count(b"\n\n")) // len(last) if last else 0
    written = events + tokens_of_bytes(max(0, sent - events * _FRAME_BYTES)) - 1
    if known is None:
        usage = Usage(input_tokens=exchange.size().input_tokens, output_tokens=written)
    elif written > known.output_tokens:
        usage = structs.replace(known, output_tokens=written)
    else:
        return
    outcome.usage, outcome.usage_known = usage, False
    price(outcome, flow.asking)


def price(outcome: Outcome, asking: Asking) -> None:
    """The answer's own price, as the provider tells it where it is known to tell the truth, and what is known of what was asked in vain beside it: a target that was
    cancelled has read the prompt, by its own count about as many tokens as the one that answered."""
    facts, usage = asking.destination.facts, outcome.usage
    if facts.tells_cost and usage.told_cost is not None:
        cost = usage.told_cost
    elif facts.prices is not None:
        cost = cost_of(usage, facts.prices)
    else:
        return
    for attempt, destination in asking.lost:
        if attempt.cost is None and destination.facts.prices is not None:
            read = Usage(input_tokens=usage.input_tokens)
            attempt.cost = cost_of(read, destination.facts.prices)
        cost += attempt.cost or 0
    outcome.cost = cost
