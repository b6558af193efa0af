"""Errors as Anthropic words them (docs.anthropic.com/en/api/errors)."""

import msgspec
from msgspec.json import encode

from ai_gateway.dialects.dialect import ProviderError
from ai_gateway.dialects.sse import named_sse
from ai_gateway.dialects.statuses import CREDENTIAL_REFUSED, kind_of_status, refused_credential
from ai_gateway.model.errors import ErrorKind, GatewayError

from .wire import decode_error

_TYPES: dict[ErrorKind, str] = {
    "invalid_request": "invalid_request_error",
    "authentication": "authentication_error",
    "billing": "billing_error",
    "permission": "permission_error",
    "not_found": "not_found_error",
    "method_not_allowed": "invalid_request_error",
    "conflict": "invalid_request_error",
    "too_large": "request_too_large",
    "unsupported_media_type": "invalid_request_error",
    "rate_limited": "rate_limit_error",
    "quota_exhausted": "rate_limit_error",
    "internal": "api_error",
    "upstream": "api_error",
    "unavailable": "overloaded_error",
    "timeout": "timeout_error",
    "overloaded": "overloaded_error",
}
_KINDS: dict[str, ErrorKind] = {
    "invalid_request_error": "invalid_request",
    "not_found_error": "not_found",
    "request_too_large": "too_large",
    "rate_limit_error": "rate_limited",
    "timeout_error": "timeout",
    "overloaded_error": "overloaded",
    "api_error": "upstream",
    # These speak of the gateway's own account.
    "authentication_error": "upstream",
    "billing_error": "upstream",
    "permission_error": "upstream",
}
_LONGEST_MESSAGE = 2000


def parse_error(status: int, body: bytes) -> ProviderError:
    """Total: any status, any bytes."""
    if status in CREDENTIAL_REFUSED:
        return refused_credential(status)
    kind = kind_of_status(status)
    try:
        error = decode_error.decode(body).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ProviderError(kind=kind, message=f"the provider answered with status {status}")
    message = (error.message or f"the provider answered with status {status}")[:_LONGEST_MESSAGE]
    if kind == "upstream":
        kind = _KINDS.get(error.type, kind)
    code = error.type or None
    if kind == "invalid_request" and "prompt is too long" in message:
        code = "context_length_exceeded"
    return ProviderError(kind=kind, message=message, code=code)


def kind_of_type(error_type: str) -> ErrorKind:
    """The kind of an error event inside a stream, which has no status of its own."""
    return _KINDS.get(error_type, "upstream")


def render_error(error: GatewayError, request_id: str) -> bytes:
    message = error.message
    if error.field and error.field not in message:
        message = f"{error.field}: {message}"
    return encode(
        {
            "type": "error",
            "error": {"type": _TYPES[error.kind], "message": message},
            "request_id": request_id or None,
        }
    )


def render_stream_error(error: GatewayError, request_id: str, number: int = 0) -> bytes:
    return named_sse(b"error", render_error(error, request_id))
