"""Errors as Google words them (ai.google.dev/gemini-api/docs/troubleshooting, google.rpc.Status)."""

import re
from typing import Any

import msgspec
from msgspec.json import encode

from ai_gateway.dialects.dialect import ProviderError
from ai_gateway.dialects.sse import sse
from ai_gateway.dialects.statuses import CREDENTIAL_REFUSED, kind_of_status, refused_credential
from ai_gateway.model.errors import ErrorKind, GatewayError

from .wire import WireErrorBody, decode_error

_STATUSES: dict[ErrorKind, str] = {
    "invalid_request": "INVALID_ARGUMENT",
    "authentication": "UNAUTHENTICATED",
    "billing": "FAILED_PRECONDITION",
    "permission": "PERMISSION_DENIED",
    "not_found": "NOT_FOUND",
    "method_not_allowed": "UNIMPLEMENTED",
    "conflict": "ABORTED",
    "too_large": "INVALID_ARGUMENT",
    "unsupported_media_type": "INVALID_ARGUMENT",
    "rate_limited": "RESOURCE_EXHAUSTED",
    "quota_exhausted": "RESOURCE_EXHAUSTED",
    "internal": "INTERNAL",
    "upstream": "INTERNAL",
    "unavailable": "UNAVAILABLE",
    "timeout": "DEADLINE_EXCEEDED",
    "overloaded": "UNAVAILABLE",
}
_LONGEST_MESSAGE = 2000
_DELAY = re.compile(r"(\d{1,6}(?:\.\d{1,9})?)s")
_DOMAIN = "ai-gateway"


def parse_error(status: int, body: bytes) -> ProviderError:
    """Total: any status, any bytes."""
    if status in CREDENTIAL_REFUSED:
        return refused_credential(status)
    kind = kind_of_status(status)
    try:
        error = decode_error.decode(body).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ProviderError(kind=kind, message=f"the provider answered with status {status}")
    return _read(error, status, kind)


def failure_of(error: WireErrorBody) -> ProviderError:
    """An error inside a stream that began with status 200."""
    status = error.code or 500
    if status in CREDENTIAL_REFUSED:
        return refused_credential(status)
    return _read(error, status, kind_of_status(status))


def _read(error: WireErrorBody, status: int, kind: ErrorKind) -> ProviderError:
    message = error.message or f"the provider answered with status {status}"
    details = error.details or []
    reasons = {str(detail.get("reason")) for detail in details}
    if status == 400 and (
        reasons & {"API_KEY_INVALID", "API_KEY_SERVICE_BLOCKED", "BILLING_DISABLED"}
        or "API key" in message
    ):
        # Google answers 400, not 401, to a key it does not know.
        return refused_credential(status)
    if error.status == "FAILED_PRECONDITION" and "location" in message.lower():
        return refused_credential(status)
    return ProviderError(
        kind=kind,
        message=message[:_LONGEST_MESSAGE],
        field=_field(details),
        code=error.status,
        retry_after=_retry_delay(details),
    )


def _retry_delay(details: list[dict[str, Any]]) -> float | None:
    """google.rpc.RetryInfo's `retryDelay`, such as `34.07s`."""
    for detail in details:
        delay = detail.get("retryDelay")
        if isinstance(delay, str) and (match := _DELAY.fullmatch(delay)):
            return float(match[1])
    return None


def _field(details: list[dict[str, Any]]) -> str | None:
    for detail in details:
        violations: Any = detail.get("fieldViolations")
        if isinstance(violations, list) and violations and isinstance(violations[0], dict):
            field: Any = violations[0].get("field")  # type: ignore[reportUnknownMemberType]
            return field if isinstance(field, str) else None
    return None


def render_error(error: GatewayError, request_id: str) -> bytes:
    details: list[dict[str, object]] = []
    if error.code is not None:
        details.append(
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": error.code,
                "domain": _DOMAIN,
                "metadata": {"request_id": request_id} if request_id else {},
            }
        )
    if error.field is not None:
        violation = {"field": error.field, "description": error.message}
        details.append(
            {
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [violation],
            }
        )
    if error.retry_after is not None:
        details.append(
            {
                "@type": "type.googleapis.com/google.rpc.RetryInfo",
                "retryDelay": f"{max(1, round(error.retry_after))}s",
            }
        )
    body: dict[str, object] = {
        "code": error.status,
        "message": error.message,
        "status": _STATUSES[error.kind],
    }
    if details:
        body["details"] = details
    return encode({"error": body})


def render_stream_error(error: GatewayError, request_id: str, number: int = 0) -> bytes:
    return sse(render_error(error, request_id))
