"""The one taxonomy of errors. Raised where the fault is known, rendered in the caller's dialect at the edge."""

from collections.abc import Sequence
from math import ceil
from typing import Literal

ErrorKind = Literal[
    "invalid_request",
    "authentication",
    "billing",
    "permission",
    "not_found",
    "method_not_allowed",
    "conflict",
    "too_large",
    "unsupported_media_type",
    "rate_limited",
    "quota_exhausted",
    "internal",
    "upstream",
    "unavailable",
    "timeout",
    "overloaded",
]

STATUS: dict[ErrorKind, int] = {
    "invalid_request": 400,
    "authentication": 401,
    "billing": 402,
    "permission": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "conflict": 409,
    "too_large": 413,
    "unsupported_media_type": 415,
    "rate_limited": 429,
    "quota_exhausted": 429,
    "internal": 500,
    "upstream": 502,
    "unavailable": 503,
    "timeout": 504,
    "overloaded": 529,
}


class GatewayError(Exception):
    """A call that cannot be answered, and why, in words fit for the caller.

    `message` says what was wrong, where, and what to do; it never holds a key, a prompt or a stack.
    `field` is the path of the offending field as the caller wrote it (`messages[0].role`).
    `code` is a machine-readable slug (`model_not_found`). `retry_after` is in seconds.
    """

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        field: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.kind: ErrorKind = kind
        self.message = message
        self.field = field
        self.code = code
        self.retry_after = retry_after
        self.status = STATUS[kind] if status is None else status
        self.headers: Sequence[tuple[str, str]] = ()
        """A provider's advice on trying again, to hand on."""

    def advice(self) -> list[tuple[str, str]]:
        """The headers that go with it. `retry-after` is in whole seconds, rounded up: who comes back
        when told is not too early."""
        headers = list(self.headers)
        if self.retry_after is not None:
            headers.append(("retry-after", str(max(1, ceil(self.retry_after)))))
        return headers


class Untranslatable(GatewayError):
    """Something in a request that the target's dialect cannot express; a renderer names it.

    `field` is the caller's path where the renderer knows it (`Opaque.path`), else the neutral name
    (a field of `Chat`), which the caller's dialect turns into its own name.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__("invalid_request", message, field=field, code="unsupported_parameter")
