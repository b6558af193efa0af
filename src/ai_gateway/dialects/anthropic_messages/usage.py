"""Anthropic's usage, which counts cache reads and writes apart from input, <-> Usage."""

from ai_gateway.model.usage import Usage

from .wire import WireUsage


def usage_from_wire(wire: WireUsage, before: WireUsage | None = None) -> Usage:
    """`before` is a stream's earlier report: what the later one leaves out is taken from it."""
    earlier = before or WireUsage()
    read = _last(wire.cache_read_input_tokens, earlier.cache_read_input_tokens)
    written = _last(wire.cache_creation_input_tokens, earlier.cache_creation_input_tokens)
    kinds = wire.cache_creation or earlier.cache_creation
    written_1h = (kinds.ephemeral_1h_input_tokens or 0) if kinds is not None else 0
    details = wire.output_tokens_details or earlier.output_tokens_details
    reasoning = (details.thinking_tokens or details.reasoning_tokens or 0) if details else 0
    return Usage(
        input_tokens=_last(wire.input_tokens, earlier.input_tokens) + read + written,
        output_tokens=_last(wire.output_tokens, earlier.output_tokens),
        cache_read_tokens=read,
        cache_write_5m_tokens=max(0, written - written_1h),
        cache_write_1h_tokens=min(written, written_1h),
        reasoning_tokens=reasoning,
    )


def _last(now: int | None, earlier: int | None) -> int:
    return (now if now is not None else earlier) or 0


def usage_to_wire(usage: Usage) -> dict[str, object]:
    written = usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
    out: dict[str, object] = {
        "input_tokens": usage.uncached_input_tokens,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "output_tokens": usage.output_tokens,
    }
    if written:
        out["cache_creation"] = {
            "ephemeral_5m_input_tokens": usage.cache_write_5m_tokens,
            "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
        }
    if usage.reasoning_tokens:
        out["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return out
