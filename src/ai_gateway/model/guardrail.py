"""A guardrail, as written in `gateway.yaml` under `guardrails.<name>`."""

from typing import Any, Literal

from msgspec import Struct, field

Direction = Literal["input", "output"]
Action = Literal["block", "redact", "flag"]


class _Guardrail(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    on: tuple[Direction, ...] = ("input",)
    action: Action = "block"
    default: bool = False
    """It guards every call; else those whose route or key names it."""


class DenyPatterns(_Guardrail, frozen=True, kw_only=True, tag="deny"):
    """What must not be said: regular expressions (Python's), or plain words."""

    patterns: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    """Matched whole, in any case."""
    replacement: str = "[REDACTED]"


class PersonalData(_Guardrail, frozen=True, kw_only=True, tag="pii"):
    """Personal data by shape. Redacted, each value becomes a placeholder such as `[EMAIL_1]`."""

    entities: tuple[
        Literal["email", "phone", "credit_card", "iban", "us_ssn", "ip_address", "secret"], ...
    ] = ("email", "phone", "credit_card", "iban", "us_ssn", "ip_address", "secret")
    restore: bool = True
    """Placeholders that come back in the answer become the values again."""


class PromptInjection(_Guardrail, frozen=True, kw_only=True, tag="prompt_injection"):
    """Phrases by which a text tries to take the model over. A heuristic: it misses, and it errs."""


class Size(_Guardrail, frozen=True, kw_only=True, tag="size"):
    """Always blocks."""

    max_characters: int | None = None
    """Of all texts together."""
    max_messages: int | None = None


class Webhook(_Guardrail, frozen=True, kw_only=True, tag="webhook"):
    """Asks a service of the operator's: `{"direction","texts"}` -> `{"findings":[...]}`."""

    url: str
    secret: str | None = None
    """`env:NAME` or `file:/path`; signs the body (HMAC-SHA256, header `x-gateway-signature`)."""
    timeout: float = 2.0
    on_failure: Literal["block", "allow"] = "block"


class Moderation(_Guardrail, frozen=True, kw_only=True, tag="moderation"):
    """Asks a moderation model, by any name that calls may use."""

    model: str
    categories: tuple[str, ...] = ()
    """Which count; empty: whatever the model flags."""
    timeout: float = 5.0
    on_failure: Literal["block", "allow"] = "block"


class Plugin(_Guardrail, frozen=True, kw_only=True, tag="plugin"):
    """A guard from an installed package, by its entry point in `ai_gateway.guardrails`."""

    name: str
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    on_failure: Literal["block", "allow"] = "block"


Guardrail = DenyPatterns | PersonalData | PromptInjection | Size | Webhook | Moderation | Plugin
