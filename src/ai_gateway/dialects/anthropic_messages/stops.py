"""Anthropic's `stop_reason` <-> StopReason (docs.anthropic.com, "Handling stop reasons")."""

from ai_gateway.model.answer import StopReason

_FROM: dict[str, StopReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop_sequence",
    "max_tokens": "length",
    "model_context_window_exceeded": "context_window",
    "tool_use": "tool_calls",
    "refusal": "refusal",
    "pause_turn": "pause",
    "compaction": "pause",
}
_TO: dict[StopReason, str] = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "context_window": "model_context_window_exceeded",
    "tool_calls": "tool_use",
    "refusal": "refusal",
    "content_filter": "refusal",
    "pause": "pause_turn",
    "error": "end_turn",
}


def stop_from_wire(reason: str) -> StopReason:
    """Unknown reasons count as a plain stop: the answer is whole, only its label is new."""
    return _FROM.get(reason, "stop")


def stop_to_wire(stop: StopReason) -> str:
    return _TO[stop]
