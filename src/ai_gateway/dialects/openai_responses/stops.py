"""`status` and `incomplete_details.reason` <-> StopReason."""

from ai_gateway.model.answer import StopReason

_INCOMPLETE: dict[str, StopReason] = {
    "max_output_tokens": "length",
    "content_filter": "content_filter",
}
_REASONS: dict[StopReason, str] = {
    "length": "max_output_tokens",
    "context_window": "max_output_tokens",
    "content_filter": "content_filter",
}


def stop_from_wire(status: str | None, reason: str | None, *, called: bool) -> StopReason:
    """`called`: the output holds a function call. A reason unknown counts as a cut for length."""
    match status:
        case "incomplete":
            return _INCOMPLETE.get(reason or "", "length")
        case "failed" | "cancelled":
            return "error"
        case _:
            return "tool_calls" if called else "stop"


def stop_to_wire(stop: StopReason, *, refused: bool) -> tuple[str, str | None]:
    """(status, the reason where it is `incomplete`). `refused`: the output holds a refusal, which
    tells by itself what Anthropic tells by its stop reason."""
    if stop == "error":
        return "failed", None
    if stop == "refusal" and not refused:
        return "incomplete", "content_filter"
    reason = _REASONS.get(stop)
    return ("completed", None) if reason is None else ("incomplete", reason)
