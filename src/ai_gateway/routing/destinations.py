"""A model's name -> where to send the call, ready to be asked.

Everything that does not change from call to call (URL, headers with the credential, quirks) is
made once per model and kept.
"""

from collections.abc import Mapping

from msgspec import Struct

from ai_gateway.catalogue.catalogue import Catalogue
from ai_gateway.catalogue.models import ModelFacts
from ai_gateway.catalogue.provider import Provider
from ai_gateway.dialects.dialect import RenderTarget
from ai_gateway.model.call import Operation, Target
from ai_gateway.model.errors import GatewayError

_MOST_KEPT = 4096
"""Callers choose model names, so what is kept per name is bounded."""


class Credential(Struct, frozen=True, kw_only=True):
    """How the gateway shows itself to a provider. Never logged: it has no place in any record."""

    base_url: str
    secret: str | None


class Destination(Struct, frozen=True, kw_only=True):
    """One provider's endpoint, for one model, with one credential."""

    target: Target
    url: str
    headers: tuple[tuple[str, str], ...]
    dialect: str
    render: RenderTarget
    facts: ModelFacts
    secret: str | None
    provider: Provider


class Directory:
    """Resolves model names among the configured providers."""

    def __init__(self, catalogue: Catalogue, credentials: Mapping[str, Credential]) -> None:
        self._catalogue = catalogue
        self._credentials = credentials
        self._configured = frozenset(credentials)
        self._kept: dict[tuple[Operation, str], tuple[Destination, ...]] = {}

    @property
    def configured(self) -> frozenset[str]:
        return self._configured

    def plan(self, operation: Operation, model: str) -> tuple[Destination, ...]:
        """The destinations to try, in order. Raises GatewayError(not_found | invalid_request)."""
        kept = self._kept.get((operation, model))
        if kept is not None:
            return kept
        planned = (self._destination(operation, model),)
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        self._kept[(operation, model)] = planned
        return planned

    def models(self) -> list[ModelFacts]:
        """Every catalogued model of every configured provider."""
        return [
            facts
            for provider in sorted(self._configured)
            for facts in self._catalogue.models_of(provider)
        ]

    def _destination(self, operation: Operation, model: str) -> Destination:
        provider_name, upstream_model = self._catalogue.resolve(model, self._configured)
        provider = self._catalogue.providers[provider_name]
        endpoint = provider.operations.get(operation)
        if endpoint is None and operation == "count_tokens":
            # Answered by estimate; where the chat would go still tells whose tokens are meant.
            endpoint = provider.operations.get("chat")
        if endpoint is None:
            raise GatewayError(
                "invalid_request",
                f"The provider {provider.name} offers no {operation}; "
                "choose a model of one that does.",
                field="model",
                code="unsupported_operation",
            )
        credential = self._credentials[provider_name]
        facts = self._catalogue.facts(provider_name, upstream_model)
        return Destination(
            target=Target(provider=provider.label, model=upstream_model),
            url=credential.base_url + endpoint.path,
            headers=_headers(provider, credential.secret),
            dialect=endpoint.dialect,
            render=_render_target(provider, upstream_model, facts),
            facts=facts,
            secret=credential.secret,
            provider=provider,
        )


def _headers(provider: Provider, secret: str | None) -> tuple[tuple[str, str], ...]:
    headers = [("content-type", "application/json"), *provider.headers.items()]
    if secret is not None:
        match provider.auth:
            case "bearer":
                headers.append(("authorization", f"Bearer {secret}"))
            case "x-api-key" | "api-key":
                headers.append((provider.auth, secret))
            case "none":
                pass
    return tuple(headers)


def _render_target(provider: Provider, model: str, facts: ModelFacts) -> RenderTarget:
    return RenderTarget(
        model=model,
        max_output_tokens=facts.max_output_tokens,
        structured_output=facts.structured_output is not False,
        adaptive_thinking=bool(facts.adaptive_thinking),
        max_tokens_field=provider.max_tokens_field,
        developer_role=provider.developer_role,
        stream_usage=provider.stream_usage,
        refused_fields=provider.refused_fields,
    )
