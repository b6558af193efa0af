"""What a call cost, exactly: decimal arithmetic, each kind of token at its own price."""

from decimal import Decimal

from ai_gateway.model.usage import Usage

from .models import Price, Prices

_MILLION = Decimal(1_000_000)
_ZERO = Decimal(0)


def cost_of(usage: Usage, prices: Prices) -> Decimal:
    """US dollars. A kind without a price of its own is billed as plain input or output; cache writes
    as plain input too, but for the hour-long ones, billed as the short where only those are priced."""
    size = usage.input_tokens
    read, short, long = (
        usage.cache_read_tokens,
        usage.cache_write_5m_tokens,
        usage.cache_write_1h_tokens,
    )
    audio_in, audio_out = usage.input_audio_tokens, usage.output_audio_tokens
    plain_in = size - read - short - long - audio_in
    plain_out = usage.output_tokens - audio_out
    total = _ZERO
    if plain_in > 0:
        total = plain_in * _at(prices.input, size)
    if plain_out > 0:
        total += plain_out * _at(prices.output, size)
    if read:
        total += read * _at(prices.cache_read or prices.input, size)
    if short:
        total += short * _at(prices.cache_write_5m or prices.input, size)
    if long:
        total += long * _at(prices.cache_write_1h or prices.cache_write_5m or prices.input, size)
    if audio_in:
        total += audio_in * _at(prices.input_audio or prices.input, size)
    if audio_out:
        total += audio_out * _at(prices.output_audio or prices.output, size)
    return total / _MILLION


def _at(price: Price | None, size: int) -> Decimal:
    if price is None:
        return _ZERO
    return price.at(size) if price.tiers else price.base
