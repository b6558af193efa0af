"""Chat's `finish_reason` <-> StopReason."""

from ai_gateway.model.answer import StopReason

_FROM: dict[str, StopReason] = {
    "stop": "stop",
    "eos": "stop",  # Together, Fireworks
    "end_turn": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "context_window",  # Mistral
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "error": "error",
    "insufficient_system_resource": "error",  # DeepSeek
}
_TO: dict[StopReason, str] = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "context_window": "length",
    "tool_calls": "tool_calls",
    "refusal": "content_filter",
    "content_filter": "content_filter",
    "pause": "stop",
    "error": "stop",
}


def stop_from_wire(reason: str) -> StopReason:
    """Unknown reasons count as a plain stop: the answer is whole, only its label is new."""
    return _FROM.get(reason, "stop")


def stop_to_wire(stop: StopReason) -> str:
    return _TO[stop]
