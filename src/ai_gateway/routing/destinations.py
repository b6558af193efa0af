"""A model's name -> where to send the call, ready to be asked.

Everything that does not change from call to call (URL, headers with the credential, quirks) is
made once per model and kept.
"""

from collections.abc import Mapping
from math import inf
from urllib.parse import quote, urlsplit

from msgspec import Struct

from ai_gateway.catalogue.catalogue import Catalogue
from ai_gateway.catalogue.models import ModelFacts, Price, Prices
from ai_gateway.catalogue.provider import Provider
from ai_gateway.dialects.dialect import RenderTarget
from ai_gateway.model.call import Operation, Target
from ai_gateway.model.errors import GatewayError
from ai_gateway.upstream.client import address
from ai_gateway.upstream.signing import Signer

from .gates import Gate
from .keys import Door, Doors, Key
from .vitals import PASS_THROUGH, Vitals, VitalsBook

_MOST_KEPT = 4096
"""Callers choose model names, so what is kept per name is bounded."""


class Credential(Struct, frozen=True, kw_only=True):
    """How the gateway shows itself to a provider. Never logged: it has no place in any record."""

    base_url: str
    secrets: tuple[str | None, ...]
    """Used in turn; one None where the provider asks for none."""
    weights: tuple[float, ...] = ()
    """One for each secret; empty: all alike."""
    signer: Signer | None = None
    """Where requests are signed rather than sent with a secret."""


class Destination(Struct, frozen=True, kw_only=True):
    """One provider's endpoint, for one model."""

    target: Target
    doors: Doors
    """Its addresses, one for each of the provider's credentials, which they hold."""
    vitals: Vitals
    dialect: str
    render: RenderTarget
    facts: ModelFacts
    forwarded: tuple[tuple[bytes, bytes | None], ...]
    """Headers of the caller's that concern the provider, and what is sent where it gives none."""
    hashed: bytes
    """What its name adds to a key where the two are hashed together."""
    input_usd: float | None = None
    output_usd: float = 0.0
    """For each token, up to an input of `first_tier` tokens; for choosing, never for the account."""
    first_tier: float = inf


class Directory:
    """Resolves model names among the configured providers."""

    def __init__(
        self,
        catalogue: Catalogue,
        credentials: Mapping[str, Credential],
        vitals: VitalsBook,
        *,
        user_agent: str,
    ) -> None:
        self._user_agent = user_agent
        self._catalogue = catalogue
        self._credentials = credentials
        self._vitals = vitals
        self._keys = {
            name: tuple(
                Key(secret, number, credential.weights[number] if credential.weights else 1.0)
                for number, secret in enumerate(credential.secrets)
            )
            for name, credential in credentials.items()
        }
        self._configured = frozenset(credentials)
        self.servers = {
            catalogue.providers[name].label: _server(credential.base_url)
            for name, credential in credentials.items()
            if name in catalogue.providers
        }
        """Where each provider listens, host and port, by what calls show of its name."""
        self._kept: dict[tuple[Operation, str, str], Destination] = {}
        self._general: tuple[str, ...] | None = None

    @property
    def vitals(self) -> VitalsBook:
        return self._vitals

    @property
    def configured(self) -> frozenset[str]:
        return self._configured

    def destination(self, operation: Operation, model: str, dialect: str = "") -> Destination:
        """Where a model's calls go. `dialect` is the caller's: a provider that speaks it is asked
        in it. Raises GatewayError(not_found | invalid_request)."""
        kept = self._kept.get((operation, model, dialect))
        if kept is not None:
            return kept
        made = self._destination(operation, model, dialect)
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        self._kept[(operation, model, dialect)] = made
        return made

    def gate(
        self, provider: str | None, model: str | None, default: str, credential: int | None = None
    ) -> Gate:
        """The door for a call that passes through: the named provider's, else the one whose model it
        is, else the default. Raises GatewayError(not_found)."""
        upstream_model = "-"
        if provider is None and model is not None:
            provider, upstream_model = self._catalogue.resolve(model, self._configured)
        elif model is not None:
            upstream_model = model
        name = provider or default
        if name == "openai" and "simulator" in self._configured:
            name = "simulator"
        known = self._catalogue.providers.get(name)
        configured = self._credentials.get(name)
        if known is None or configured is None:
            raise _not_configured(name, known)
        if configured.signer is not None:
            raise GatewayError(
                "invalid_request",
                f"{known.title} takes signed requests only, which cannot pass through.",
                code="unsupported_operation",
            )
        facts = self._catalogue.facts(name, upstream_model)
        keys = self._keys[name]
        key = min(keys, key=lambda key: key.resting_until)
        if credential is not None and credential < len(keys):
            key = keys[credential]
        headers = tuple(
            (n, v)
            for n, v in _headers(known, key.secret, self._user_agent)
            if n not in ("content-type", "accept")
        )
        return Gate(
            target=Target(provider=known.label, model=upstream_model),
            base_url=configured.base_url,
            headers=headers,
            own_headers=frozenset(n.lower() for n, _ in headers),
            prices=facts.prices,
            vitals=self._vitals.of(name, PASS_THROUGH),
        )

    def general_models(self) -> tuple[str, ...]:
        """The chat models for general use that the catalogue knows of the configured providers."""
        if self._general is None:
            self._general = tuple(self._catalogue.general_models(self._configured))
        return self._general

    def models(self) -> list[ModelFacts]:
        """Every catalogued model of every configured provider."""
        return [
            facts
            for provider in sorted(self._configured)
            for facts in self._catalogue.models_of(provider)
        ]

    def _destination(self, operation: Operation, model: str, dialect: str) -> Destination:
        provider_name, upstream_model = self._catalogue.resolve(model, self._configured)
        provider = self._catalogue.providers[provider_name]
        facts = self._catalogue.facts(provider_name, upstream_model)
        endpoint = provider.operations.get(operation)
        if operation == "chat":
            spoken = "openai_responses" if facts.responses_only else dialect
            endpoint = provider.chat_in.get(spoken, endpoint)
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
        prices = facts.prices
        # A caller chose the name: in a path it must not become more than a name.
        named = quote(upstream_model.removeprefix("models/"), safe="")
        paths = (endpoint.path, endpoint.stream_path or endpoint.path)
        whole, stream = (credential.base_url + path.replace("{model}", named) for path in paths)
        vitals = self._vitals.of(provider_name, upstream_model)
        doors: list[Door] = []
        for key in self._keys[provider_name]:
            headers = _headers(provider, key.secret, self._user_agent)
            at = address(whole, headers)
            streaming = at if stream == whole else address(stream, headers)
            doors.append(Door(at, key, streaming, credential.signer, vitals.rest(key)))
        return Destination(
            target=Target(provider=provider.label, model=upstream_model),
            hashed=f"\0{provider.label}\0{upstream_model}".encode("utf-8", "surrogatepass"),
            doors=Doors(doors),
            vitals=vitals,
            dialect=endpoint.dialect,
            render=_render_target(provider, upstream_model, facts),
            facts=facts,
            forwarded=tuple(
                (name.encode(), default.encode() if default is not None else None)
                for name in provider.forwarded_headers
                for default in (provider.headers.get(name),)
            ),
            input_usd=None if prices is None or prices.input is None else _usd(prices.input),
            output_usd=0.0 if prices is None or prices.output is None else _usd(prices.output),
            first_tier=_first_tier(prices),
        )


def _not_configured(name: str, known: Provider | None) -> GatewayError:
    if known is None:
        message = f"There is no provider {name[:64]!a}."
    else:
        variable = known.switch
        message = f"The provider {known.title} is not configured. Set {variable} and restart."
    return GatewayError("not_found", message, code="provider_not_configured")


def _usd(price: Price) -> float:
    return float(price.base) / 1e6


def _first_tier(prices: Prices | None) -> float:
    """The input tokens from which the price is another one."""
    if prices is None or prices.input is None:
        return inf
    tiers = [*prices.input.tiers, *(() if prices.output is None else prices.output.tiers)]
    return min((tier.start for tier in tiers), default=inf)


def _server(base_url: str) -> tuple[str, int]:
    parts = urlsplit(base_url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _headers(provider: Provider, secret: str | None, user_agent: str) -> list[tuple[str, str]]:
    headers = [
        ("content-type", "application/json"),
        ("accept", "*/*"),
        ("user-agent", user_agent),
        *(h for h in provider.headers.items() if h[0] not in provider.forwarded_headers),
    ]
    if secret is not None:
        match provider.auth:
            case "bearer":
                headers.append(("authorization", f"Bearer {secret}"))
            case "x-api-key" | "api-key" | "x-goog-api-key":
                headers.append((provider.auth, secret))
            case "none":
                pass
    return headers


def _render_target(provider: Provider, model: str, facts: ModelFacts) -> RenderTarget:
    return RenderTarget(
        model=model,
        max_output_tokens=facts.max_output_tokens,
        structured_output=facts.structured_output is not False,
        adaptive_thinking=bool(facts.adaptive_thinking),
        thinking_level=bool(facts.thinking_level),
        max_tokens_field=provider.max_tokens_field,
        developer_role=provider.developer_role,
        stream_usage=provider.stream_usage,
        body_version=provider.body_version,
        refused_fields=provider.refused_fields,
        renamed_fields=provider.renamed_fields,
    )
