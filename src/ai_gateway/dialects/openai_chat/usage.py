"""Chat's usage <-> Usage."""

from decimal import Decimal

from msgspec import DecodeError, Struct
from msgspec.json import Decoder

from ai_gateway.dialects.raw import ABSENT
from ai_gateway.model.usage import Usage

from .wire import WireUsage

_MOST_DOLLARS = 100_000
"""More than that no call costs, whatever is said."""


def usage_from_wire(wire: WireUsage) -> Usage:
    prompt, completion = wire.prompt_tokens_details, wire.completion_tokens_details
    cached = prompt.cached_tokens if prompt is not None else None
    if cached is None:
        cached = wire.prompt_cache_hit_tokens
    return Usage(
        input_tokens=wire.prompt_tokens or 0,
        output_tokens=wire.completion_tokens or 0,
        cache_read_tokens=cached or 0,
        cache_write_5m_tokens=(prompt.cache_write_tokens or 0) if prompt is not None else 0,
        reasoning_tokens=(completion.reasoning_tokens or 0) if completion is not None else 0,
        input_audio_tokens=(prompt.audio_tokens or 0) if prompt is not None else 0,
        output_audio_tokens=(completion.audio_tokens or 0) if completion is not None else 0,
        told_cost=None if wire.cost is ABSENT else _told_cost(wire),
    )


class _CostDetails(Struct, frozen=True):
    upstream_inference_cost: Decimal | None = None


_decode_cost = Decoder(Decimal | None)
_decode_details = Decoder(_CostDetails | None)


def _told_cost(wire: WireUsage) -> Decimal | None:
    try:
        cost = _decode_cost.decode(wire.cost)
        if cost is not None and bytes(wire.is_byok) == b"true":
            details = _decode_details.decode(wire.cost_details)
            cost += (details and details.upstream_inference_cost) or 0
        return cost if cost is not None and 0 <= cost < _MOST_DOLLARS else None
    except (DecodeError, RecursionError, ArithmeticError):
        # Whatever it is, it is no sum of dollars.
        return None


def usage_to_wire(usage: Usage) -> dict[str, object]:
    written = usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
    prompt: dict[str, int] = {"cached_tokens": usage.cache_read_tokens}
    if written:
        # OpenRouter's name; OpenAI itself does not charge for cache writes.
        prompt["cache_write_tokens"] = written
    if usage.input_audio_tokens:
        prompt["audio_tokens"] = usage.input_audio_tokens
    completion: dict[str, int] = {"reasoning_tokens": usage.reasoning_tokens}
    if usage.output_audio_tokens:
        completion["audio_tokens"] = usage.output_audio_tokens
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": completion,
    }
