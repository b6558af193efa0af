"""What a call may use, before it is known: set aside when it is admitted, corrected when it is settled."""

from collections.abc import Sequence

from ai_gateway.catalogue.cost import nano_dollars_of
from ai_gateway.catalogue.models import ModelFacts
from ai_gateway.dialects.exchange import Exchange

Amounts = tuple[int, int, int]
"""Tokens, nano-dollars, calls."""
ONE_CALL: Amounts = (0, 0, 1)


def demand_of(
    exchange: Exchange | None, models: Sequence[ModelFacts], assumed_output: int, *, usd: bool
) -> Amounts:
    """Of the models it may go to, the dearest counts.

    `assumed_output`: tokens of output where the caller set no limit, unless the model's own is lower.
    """
    if exchange is None:
        return assumed_output, 1, 1
    size = exchange.size()
    output = size.output_tokens
    if output is None:
        known = [m.max_output_tokens for m in models if m.max_output_tokens is not None]
        output = min(assumed_output, max(known, default=assumed_output))
    dollars = 0
    if usd:
        for model in models:
            if model.prices is not None:
                cost = nano_dollars_of(size.input_tokens, output, model.prices)
                if cost > dollars:
                    dollars = cost
    return size.input_tokens + output, dollars, 1
