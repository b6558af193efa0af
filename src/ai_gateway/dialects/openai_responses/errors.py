"""Errors of Responses: OpenAI's as everywhere, but for the event that ends a stream."""

from msgspec.json import encode

from ai_gateway.dialects.openai_chat.errors import error_object, parse_error, render_error
from ai_gateway.dialects.sse import named_sse
from ai_gateway.model.errors import ErrorKind, GatewayError

__all__ = ["error_event", "kind_of_code", "parse_error", "render_error", "render_stream_error"]


def kind_of_code(code: str | int | None) -> ErrorKind:
    """The kind of an error inside a stream or an answer, which has no status of its own."""
    match str(code or ""):
        case "rate_limit_exceeded" | "429":
            return "rate_limited"
        case "overloaded" | "overloaded_error" | "529":
            return "overloaded"
        case code if code.startswith("invalid_"):
            return "invalid_request"
        case _:
            return "upstream"


def error_event(error: GatewayError, sequence_number: int) -> bytes:
    shown = error_object(error)
    event = {
        "type": "error",
        "code": shown["code"] or shown["type"],
        "message": shown["message"],
        "param": shown["param"],
        "sequence_number": sequence_number,
    }
    return named_sse(b"error", encode(event))


def render_stream_error(error: GatewayError, request_id: str, number: int = 0) -> bytes:
    return error_event(error, number)
