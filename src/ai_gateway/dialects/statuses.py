"""What a provider's HTTP status means to the caller, in any dialect."""

from ai_gateway.model.errors import ErrorKind

from .dialect import ProviderError

CREDENTIAL_REFUSED = frozenset({401, 402, 403, 407})
"""Statuses that speak of the gateway's own account at the provider; never handed to a caller."""

CREDENTIAL_REFUSED_CODE = "upstream_credential_refused"
"""Marks a refusal that speaks of it under another status, as Google's does."""


def kind_of_status(status: int) -> ErrorKind:
    """Of a refused credential the caller only learns that the upstream failed."""
    match status:
        case 404:
            return "not_found"
        case 408 | 504:
            return "timeout"
        case 409:
            return "conflict"
        case 413:
            return "too_large"
        case 429:
            return "rate_limited"
        case 503:
            return "unavailable"
        case 529:
            return "overloaded"
        case _ if status in CREDENTIAL_REFUSED:
            return "upstream"
        case _:
            return "invalid_request" if 400 <= status < 500 else "upstream"


def refused_credential(status: int) -> ProviderError:
    """The provider's own text is withheld: it may quote the credential."""
    return ProviderError(
        kind="upstream",
        message=f"the provider refused the gateway's credential (status {status}); "
        "the gateway's operator must look at it",
        code=CREDENTIAL_REFUSED_CODE,
    )
