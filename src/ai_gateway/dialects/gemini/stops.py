"""Gemini's `finishReason` <-> StopReason (ai.google.dev/api/generate-content#FinishReason)."""

from ai_gateway.model.answer import StopReason

_FROM: dict[str, StopReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "OTHER": "error",
    "IMAGE_OTHER": "error",
    "NO_IMAGE": "error",
    "MALFORMED_FUNCTION_CALL": "error",
    "UNEXPECTED_TOOL_CALL": "error",
    "TOO_MANY_TOOL_CALLS": "error",
    "MISSING_THOUGHT_SIGNATURE": "error",
    "MALFORMED_RESPONSE": "error",
}
_TO: dict[StopReason, str] = {
    "stop": "STOP",
    "stop_sequence": "STOP",
    "tool_calls": "STOP",
    "pause": "STOP",
    "length": "MAX_TOKENS",
    "context_window": "MAX_TOKENS",
    "refusal": "SAFETY",
    "content_filter": "SAFETY",
    "error": "OTHER",
}


def stop_from_wire(reason: str, *, called: bool) -> StopReason:
    """`called`: the answer holds a function call, which Gemini ends with a plain STOP. Unknown
    reasons count as a plain stop: the answer is whole, only its label is new."""
    stop = _FROM.get(reason, "stop")
    return "tool_calls" if called and stop == "stop" else stop


def stop_to_wire(stop: StopReason) -> str:
    return _TO[stop]
