"""How an attempt fails: what the caller would be told, what it says of the provider, what may follow."""

from collections.abc import Callable, Sequence
from typing import Literal

from msgspec import Struct

from ai_gateway.dialects.dialect import ProviderError
from ai_gateway.dialects.registry import PROVIDER_DIALECTS
from ai_gateway.dialects.statuses import CREDENTIAL_REFUSED, CREDENTIAL_REFUSED_CODE
from ai_gateway.model.call import Attempt
from ai_gateway.model.errors import ErrorKind, GatewayError
from ai_gateway.routing.destinations import Destination
from ai_gateway.upstream.faults import UpstreamFault

from .advice import retry_after

Health = Literal["good", "failed", "connect", "unknown"]
"""What an attempt says of the provider's health. `connect`: it could not even be reached."""

_TRIED_AGAIN = frozenset({408, 409, 429})
_ERROR_HEADERS = (b"retry-after", b"retry-after-ms", b"x-should-retry")
_CONTEXT_CODES = frozenset({"context_length_exceeded", "string_above_max_length"})
_FILTER_CODES = frozenset({"content_filter", "content_policy_violation"})
_THROTTLED_SECONDS = 2.0
"""How long a throttled credential rests where its provider does not say."""
_REFUSED_SECONDS = 60.0
_MISSING_SECONDS = 60.0
"""How long a model rests that its provider does not have, or not for that credential."""

Refusal = Literal["context_window", "content_filter"]


class Relayed(Struct, frozen=True):
    """A provider's refusal, to the letter, for a caller that speaks its dialect."""

    kind: ErrorKind
    status: int
    body: bytes
    headers: Sequence[tuple[str, str]]


class Failed(Exception):
    """One attempt, and what may follow it."""

    def __init__(
        self,
        error: GatewayError,
        *,
        label: str,
        detail: str,
        health: Health,
        status: int = 0,
        relayed: Relayed | None = None,
        again: bool = False,
        elsewhere: bool = True,
        wait: float | None = None,
        throttled: float | None = None,
        refused: float | None = None,
        refusal: Refusal | None = None,
    ) -> None:
        super().__init__(detail)
        self.error = error
        self.label = label
        """For the attempt's record: an ErrorKind or a FaultCause."""
        self.detail = detail
        self.health: Health = health
        self.status = status
        self.relayed = relayed
        self.again = again
        """The same target may be asked again."""
        self.elsewhere = elsewhere
        """Another target may be asked."""
        self.wait = wait
        """Seconds, as the provider advised."""
        self.throttled = throttled
        """Seconds that the credential should rest with this model."""
        self.refused = refused
        """Seconds that the credential should rest altogether."""
        self.attempt: Attempt | None = None
        self.refusal: Refusal | None = refusal
        """The target would not take this call, where another might."""


def from_fault(fault: UpstreamFault, destination: Destination, *, patient: bool) -> Failed:
    """`patient`: the provider had the time the operator gives it, not less by the caller's wish."""
    if fault.cause == "exhausted":
        return _exhausted(fault)
    kind: ErrorKind = "timeout" if fault.cause == "timeout" else "upstream"
    error = GatewayError(
        kind, f"{destination.target.provider}: {fault.message}.", code=f"upstream_{fault.cause}"
    )
    health: Health = "failed"
    if fault.cause == "connect":
        health = "connect"
    elif fault.cause == "timeout" and not patient:
        health = "unknown"
    return Failed(
        error,
        label=fault.cause,
        detail=fault.message,
        health=health,
        again=fault.cause in ("connect", "reset"),
    )


def _exhausted(fault: UpstreamFault) -> Failed:
    """The want is the gateway's own: the provider is not held to be ill, and nobody is asked again."""
    error = GatewayError(
        "unavailable", f"{fault.message}.".capitalize(), code="gateway_exhausted", retry_after=1
    )
    return Failed(error, label=fault.cause, detail=fault.message, health="unknown")


def from_bad_answer(detail: str, destination: Destination) -> Failed:
    error = GatewayError(
        "upstream",
        f"The provider {destination.target.provider} sent an answer that cannot be read.",
        code="bad_upstream_answer",
    )
    return Failed(error, label="bad_answer", detail=detail, health="failed")


def from_stream_error(error: ProviderError, destination: Destination) -> Failed:
    """An error event before anything of the answer."""
    provider = destination.target.provider
    throttled = _THROTTLED_SECONDS if error.kind == "rate_limited" else None
    return Failed(
        from_provider(error, provider),
        label=error.kind,
        detail="an error event inside the stream",
        health="unknown" if throttled else "failed",
        status=200,
        again=True,
        throttled=throttled,
    )


def from_cut(destination: Destination) -> Failed:
    error = GatewayError(
        "upstream",
        f"The provider {destination.target.provider} closed the stream before the answer was "
        "complete.",
        code="stream_cut",
    )
    return Failed(error, label="reset", detail="the stream was cut", health="failed", again=True)


def from_status(
    status: int,
    body: bytes,
    header: Callable[[bytes], str | None],
    destination: Destination,
    secret: str | None,
    caller_dialect: str,
    now: float,
) -> Failed:
    """A provider's refusal: to the letter where the caller speaks its dialect, else translated.

    What concerns the gateway's own account is told as the gateway's fault, without the text. `now` is
    in Unix seconds.
    """
    body = _without(body, secret)
    error = PROVIDER_DIALECTS[destination.dialect].parse_error(status, body)
    said = status
    if error.code == CREDENTIAL_REFUSED_CODE:
        # Whatever the status: Google refuses an unknown key with a 400.
        status = status if status in CREDENTIAL_REFUSED else 401
    headers = [(n.decode(), v) for n in _ERROR_HEADERS if (v := header(n)) is not None]
    told = from_provider(error, destination.target.provider)
    if 500 <= status < 600:
        # Relayed or translated, a provider's own fault keeps its status.
        told.status = status
    told.headers = headers
    relayable = (
        destination.dialect == caller_dialect
        and 400 <= status < 600
        and status not in CREDENTIAL_REFUSED
        and body[:1] == b"{"
    )
    wait = retry_after(header, now)
    if wait is None and error.retry_after is not None:
        wait = told.retry_after = error.retry_after
    should = header(b"x-should-retry")
    again = status in _TRIED_AGAIN or 500 <= status < 600
    if should is not None:
        again = should.strip().lower() == "true"
    refusal = _refusal(status, error)
    return Failed(
        told,
        label=error.kind,
        detail=f"the provider answered {said}",
        health=_health(status),
        status=said,
        relayed=Relayed(error.kind, status, body, headers) if relayable else None,
        again=again,
        elsewhere=(
            again
            or status in CREDENTIAL_REFUSED
            or status in _TRIED_AGAIN
            or not 400 <= status < 500
            or status == 404
            or refusal is not None
        ),
        wait=wait,
        throttled=_rest(status, wait, error),
        refused=_REFUSED_SECONDS if status in (401, 402) else None,
        refusal=refusal,
    )


def from_provider(error: ProviderError, provider: str) -> GatewayError:
    return GatewayError(
        error.kind, f"{provider}: {error.message}", field=error.field, code=error.code
    )


def _health(status: int) -> Health:
    """A caller's mistake shows a provider at work; throttling is the credential's affair."""
    if status == 408 or status >= 500 or status < 400:
        return "failed"
    return "unknown" if status in (401, 402, 403, 409, 429) else "good"


def _refusal(status: int, error: ProviderError) -> Refusal | None:
    if error.code in _CONTEXT_CODES or status == 413:
        return "context_window"
    if status in (400, 403) and error.code in _FILTER_CODES:
        return "content_filter"
    return None


def _rest(status: int, wait: float | None, error: ProviderError) -> float | None:
    """Seconds for which the credential is not asked for this model before others."""
    if status == 429:
        return _THROTTLED_SECONDS if wait is None else wait
    return _MISSING_SECONDS if _is_missing(status, error) else None


def _is_missing(status: int, error: ProviderError) -> bool:
    """The model, and not something that the call names: OpenAI says so by its code, Anthropic and Google
    by their words."""
    if status != 404:
        return False
    return error.code in ("model_not_found", "DeploymentNotFound") or error.message.startswith(
        ("model:", "models/")
    )


def _without(body: bytes, secret: str | None) -> bytes:
    """A provider's words without the credential it was shown, should it echo it."""
    return body if secret is None else body.replace(secret.encode(), b"***")
