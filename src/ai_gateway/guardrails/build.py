"""`gateway.yaml`'s guardrails -> guards."""

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points

from ai_gateway.model.guardrail import (
    DenyPatterns,
    Guardrail,
    Moderation,
    PersonalData,
    Plugin,
    PromptInjection,
    Size,
    Webhook,
)

from .apply import Armed, Count
from .guard import Guard
from .guardrails import Guardrails
from .patterns import DenyGuard, InjectionGuard
from .personal_data import PersonalDataGuard
from .remote import AskModel, ModerationGuard, Post, WebhookGuard

PLUGINS = "ai_gateway.guardrails"


class UnknownPlugin(ValueError):
    def __init__(self, name: str) -> None:
        super().__init__(f"no installed package offers the guardrail {name} (group {PLUGINS})")


def build_guardrails(
    specs: Mapping[str, Guardrail],
    *,
    count: Count,
    reveal: Callable[[str], str],
    post: Post,
    ask: AskModel,
) -> Guardrails | None:
    """None where there are none, so that a call does not even look. `reveal` resolves a secret's
    reference. Raises re.error, ValueError, UnknownPlugin."""
    if not specs:
        return None
    armed = {
        name: _armed(name, spec, _guard(name, spec, reveal, post, ask))
        for name, spec in specs.items()
        if not isinstance(spec, Size)
    }
    sizes = {name: spec for name, spec in specs.items() if isinstance(spec, Size)}
    defaults = [name for name, spec in specs.items() if spec.default]
    return Guardrails(armed, sizes, defaults, count)


def _armed(name: str, spec: Guardrail, guard: Guard) -> Armed:
    personal = isinstance(spec, PersonalData)
    asks = isinstance(spec, Webhook | Moderation | Plugin)
    return Armed(
        name=name,
        guard=guard,
        on=spec.on,
        action=spec.action,
        fails_open=isinstance(spec, Webhook | Moderation | Plugin) and spec.on_failure == "allow",
        vault=personal,
        restores=personal and spec.action == "redact" and spec.restore,
        waits=asks,
    )


def _guard(
    name: str, spec: Guardrail, reveal: Callable[[str], str], post: Post, ask: AskModel
) -> Guard:
    match spec:
        case DenyPatterns():
            return DenyGuard(spec)
        case PersonalData():
            return PersonalDataGuard(spec.entities)
        case PromptInjection():
            return InjectionGuard()
        case Webhook():
            secret = None if spec.secret is None else reveal(spec.secret)
            return WebhookGuard(name, spec, secret, post)
        case Moderation():
            return ModerationGuard(spec, ask)
        case Plugin():
            for entry in entry_points(group=PLUGINS, name=spec.name):
                return entry.load()(spec.options)
            raise UnknownPlugin(spec.name)
        case Size():
            raise AssertionError("sizes are checked by Guardrails itself")
