"""The usage of Responses <-> Usage."""

from ai_gateway.model.usage import Usage

from .wire import WireUsage


def usage_from_wire(wire: WireUsage) -> Usage:
    given, made = wire.input_tokens_details, wire.output_tokens_details
    return Usage(
        input_tokens=wire.input_tokens or 0,
        output_tokens=wire.output_tokens or 0,
        cache_read_tokens=(given.cached_tokens or 0) if given is not None else 0,
        cache_write_5m_tokens=(given.cache_write_tokens or 0) if given is not None else 0,
        reasoning_tokens=(made.reasoning_tokens or 0) if made is not None else 0,
    )


def usage_to_wire(usage: Usage) -> dict[str, object]:
    """Audio is not counted apart here."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }
