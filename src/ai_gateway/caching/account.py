"""The account of a call that the cache answered: what it cost (nothing), and what that saved."""

from collections.abc import Sequence
from decimal import Decimal

from msgspec.structs import replace

from ai_gateway.model.answer import StopReason
from ai_gateway.model.call import CacheOutcome, Outcome, Target
from ai_gateway.model.usage import NO_USAGE, Usage

from .entry import Entry

NOTHING = Decimal(0)


def account(outcome: Outcome, entry: Entry, how: CacheOutcome, now: float) -> None:
    outcome.cache = how
    outcome.cache_age = entry.age(now)
    outcome.saved = entry.cost
    outcome.status = 200
    outcome.target = Target(provider=entry.provider, model=entry.model)
    outcome.answered_model = entry.answered_model
    outcome.stop = entry.stop
    _spent_nothing(outcome)


def account_joined(outcome: Outcome, leader: Outcome) -> None:
    """As far as it is known by now; a stream's cost is known at its end."""
    outcome.cache = "joined"
    outcome.status = 200
    outcome.target = leader.target
    outcome.answered_model = leader.answered_model
    outcome.stop = leader.stop
    outcome.cache_key, outcome.similarity = leader.cache_key, leader.similarity
    # The leader itself may have had it for nothing, from another replica.
    outcome.saved = leader.cost or leader.saved
    _spent_nothing(outcome)


def account_followed(
    outcome: Outcome,
    target: Target | None,
    answered_model: str | None,
    cost: Decimal | None,
    stop: StopReason | None,
) -> None:
    """Of another replica's stream; cost and stop are known at its end."""
    outcome.cache = "joined"
    outcome.status = 200
    outcome.target = target
    outcome.answered_model = answered_model
    outcome.stop = stop
    outcome.saved = cost
    _spent_nothing(outcome)


def account_many(outcome: Outcome, entries: Sequence[Entry], now: float) -> None:
    """An answer put together of several; it is as old as the oldest."""
    oldest = min(entries, key=lambda entry: entry.stored)
    account(outcome, oldest, "hit", now)
    outcome.saved = sum((entry.cost for entry in entries if entry.cost is not None), NOTHING)


def part_of(outcome: Outcome, parts: int) -> Outcome:
    """The account of one of several texts that were embedded in one call, all taken for alike."""
    tokens = -(-outcome.usage.input_tokens // parts)
    cost = None if outcome.cost is None else outcome.cost / parts
    return replace(outcome, usage=Usage(input_tokens=tokens), cost=cost)


def _spent_nothing(outcome: Outcome) -> None:
    outcome.usage, outcome.usage_known = NO_USAGE, True
    outcome.cost = NOTHING
