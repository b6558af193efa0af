"""Errors as OpenAI words them (platform.openai.com/docs/guides/error-codes), and as its followers do."""

import msgspec
from msgspec.json import encode

from ai_gateway.dialects.dialect import ProviderError
from ai_gateway.dialects.raw import given
from ai_gateway.dialects.statuses import CREDENTIAL_REFUSED, kind_of_status, refused_credential
from ai_gateway.model.errors import ErrorKind, GatewayError

from .wire import WireError, WireErrorBody, decode_error

TYPES: dict[ErrorKind, str] = {
    "invalid_request": "invalid_request_error",
    "authentication": "authentication_error",
    "billing": "insufficient_quota",
    "permission": "permission_error",
    "not_found": "invalid_request_error",
    "method_not_allowed": "invalid_request_error",
    "conflict": "conflict_error",
    "too_large": "invalid_request_error",
    "unsupported_media_type": "invalid_request_error",
    "rate_limited": "rate_limit_error",
    "quota_exhausted": "insufficient_quota",
    "internal": "server_error",
    "upstream": "upstream_error",
    "unavailable": "server_error",
    "timeout": "timeout_error",
    "overloaded": "overloaded_error",
}
_CODES: dict[ErrorKind, str] = {
    "authentication": "invalid_api_key",
    "rate_limited": "rate_limit_exceeded",
    "quota_exhausted": "insufficient_quota",
}
_LONGEST_MESSAGE = 2000


def parse_error(status: int, body: bytes) -> ProviderError:
    """Total: any status, any bytes."""
    if status in CREDENTIAL_REFUSED:
        return refused_credential(status)
    kind = kind_of_status(status)
    try:
        wire = decode_error.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ProviderError(kind=kind, message=f"the provider answered with status {status}")
    message, field, code = _read(wire)
    if code == "insufficient_quota" or (status == 429 and message and "quota" in message.lower()):
        # The gateway's quota at the provider, not the caller's: the call may be tried elsewhere.
        kind = "rate_limited"
    return ProviderError(
        kind=kind,
        message=(message or f"the provider answered with status {status}")[:_LONGEST_MESSAGE],
        field=field,
        code=code,
    )


def _read(wire: WireError) -> tuple[str | None, str | None, str | None]:
    body = wire.error
    if isinstance(body, WireErrorBody):
        code = None if body.code is None else str(body.code)
        return body.message, body.param, code or body.type
    if isinstance(body, str):
        return body, None, None
    code = None if wire.code is None else str(wire.code)
    if wire.message is not None:
        return wire.message, None, code or wire.type
    if given(wire.detail) is not None:
        # Mistral's 422: a list of what was wrong, in pydantic's manner.
        return bytes(wire.detail).decode("utf-8", "replace"), None, code
    return None, None, code


def error_object(error: GatewayError) -> dict[str, object]:
    return {
        "message": error.message,
        "type": TYPES[error.kind],
        "param": error.field,
        "code": error.code or _CODES.get(error.kind),
    }


def render_error(error: GatewayError, request_id: str) -> bytes:
    return encode({"error": error_object(error)})


def render_stream_error(error: GatewayError, request_id: str, number: int = 0) -> bytes:
    return b"data: " + render_error(error, request_id) + b"\n\n"
