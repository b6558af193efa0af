"""What a call cost, exactly: decimal arithmetic, each kind of token at its own price."""

from decimal import Decimal
from math import ceil

from ai_gateway.model.usage import Usage

from .models import Price, Prices

NANO = 1_000_000_000
"""Budgets count dollars in billionths, so that sums are whole numbers."""
_PICO_IN_NANO = 1000
_MILLION = Decimal(1_000_000)
_ZERO = Decimal(0)


def cost_of(usage: Usage, prices: Prices) -> Decimal:
    """US dollars. A kind without a price of its own is billed as plain input or output; cache writes
    as plain input too, but for the hour-long ones, billed as the short where only those are priced."""
    size = plain_in = usage.input_tokens
    plain_out = usage.output_tokens
    total = _ZERO
    if usage.cache_read_tokens:
        plain_in -= usage.cache_read_tokens
        total += usage.cache_read_tokens * _at(prices.cache_read or prices.input, size)
    if usage.cache_write_5m_tokens:
        plain_in -= usage.cache_write_5m_tokens
        total += usage.cache_write_5m_tokens * _at(prices.cache_write_5m or prices.input, size)
    if usage.cache_write_1h_tokens:
        plain_in -= usage.cache_write_1h_tokens
        price = prices.cache_write_1h or prices.cache_write_5m or prices.input
        total += usage.cache_write_1h_tokens * _at(price, size)
    if usage.input_audio_tokens:
        plain_in -= usage.input_audio_tokens
        total += usage.input_audio_tokens * _at(prices.input_audio or prices.input, size)
    if usage.output_audio_tokens:
        plain_out -= usage.output_audio_tokens
        total += usage.output_audio_tokens * _at(prices.output_audio or prices.output, size)
    if plain_in > 0:
        total += plain_in * _at(prices.input, size)
    if plain_out > 0:
        total += plain_out * _at(prices.output, size)
    return total / _MILLION


def nano_dollars_of(input_tokens: int, output_tokens: int, prices: Prices) -> int:
    """What plain tokens cost, in whole billionths of a dollar, rounded up: never less than `cost_of`."""
    of_input, of_output, holds_to = prices.rates
    if input_tokens > holds_to:
        usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
        return nano_dollars(cost_of(usage, prices))
    return -(-(input_tokens * of_input + output_tokens * of_output) // _PICO_IN_NANO)


def nano_dollars(amount: Decimal) -> int:
    """Rounded up: a sum is never less than what was spent."""
    return ceil(amount * NANO)


def _at(price: Price | None, size: int) -> Decimal:
    if price is None:
        return _ZERO
    return price.at(size) if price.tiers else price.base
