"""The catalogue: which provider a model's name means, and what is known of the model."""

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path

from ai_gateway.model.errors import GatewayError

from .models import ModelFacts, Rule, load_rules, rule_for
from .prices import PriceBook, PricedModel, load_prices, priced_model
from .provider import Provider, load_providers

_MOST_KEPT = 4096
_LONGEST_SHOWN = 100
_SIMULATED = {"claude-": "simulator-anthropic", "gemini-": "simulator-gemini"}
"""Model names that the simulator serves in their maker's dialect."""
_SIMULATORS = frozenset({"simulator", *_SIMULATED.values()})


class Catalogue:
    def __init__(
        self,
        providers: Mapping[str, Provider],
        book: PriceBook,
        rules: Sequence[Rule],
        general: Sequence[str] = (),
    ) -> None:
        """`general`: shell patterns of `provider/model`."""
        self.providers = providers
        self._general = general
        self.price_version = book.version
        self._book = book
        self._rules = rules
        self._facts: dict[tuple[str, str], ModelFacts] = {}

    def facts(self, provider: str, model: str) -> ModelFacts:
        """Total: of an unknown model little is known."""
        kept = self._facts.get((provider, model))
        if kept is not None:
            return kept
        priced = priced_model(self._priced(provider), model)
        rule = rule_for(model, self._rules)
        facts = ModelFacts(
            provider=provider,
            name=model,
            context_tokens=None if priced is None else priced.context,
            max_output_tokens=rule.max_output_tokens,
            prices=None if priced is None else priced.prices,
            tells_cost=provider in self.providers and self.providers[provider].tells_cost,
            structured_output=rule.structured_output,
            reasoning=rule.reasoning,
            adaptive_thinking=rule.adaptive_thinking,
            thinking_level=rule.thinking_level,
            tools=rule.tools,
            vision=rule.vision,
            responses_only=rule.responses_only,
        )
        if len(self._facts) >= _MOST_KEPT:
            self._facts.clear()
        self._facts[(provider, model)] = facts
        return facts

    def models_of(self, provider: str) -> list[ModelFacts]:
        return [self.facts(provider, model.id) for model in self._priced(provider)]

    def general_models(self, configured: Collection[str]) -> list[str]:
        """As `provider/model`: the chat models for general use that are known of the configured ones."""
        found: list[str] = []
        for provider in sorted(configured):
            own = [p for p in self._general if p.startswith(f"{provider}/")]
            if own:
                names = [f"{provider}/{model.id}" for model in self._priced(provider)]
                found += [n for n in names if any(fnmatchcase(n.lower(), p) for p in own)]
        return found

    def resolve(self, name: str, configured: Collection[str]) -> tuple[str, str]:
        """(provider, the provider's own name for the model).

        In this order: `provider/model`; the provider whose prefix the name has; a configured
        provider that lists the name. With nothing but the simulator every name is its. Raises
        GatewayError(not_found | invalid_request) saying what to do.
        """
        head, slash, rest = name.partition("/")
        if slash and rest and head in self.providers:
            return self._configured(head, configured), rest
        if "simulator" in configured and _SIMULATORS.issuperset(configured):
            for prefix, simulated in _SIMULATED.items():
                if name.startswith(prefix) and simulated in configured:
                    return simulated, name
            return "simulator", name
        by_prefix = self._by_prefix(name)
        if by_prefix is not None and by_prefix in configured:
            return by_prefix, name
        for provider in self.providers:
            if provider in configured and self._lists(provider, name):
                return provider, name
        if by_prefix is not None:
            return self._configured(by_prefix, configured), name
        raise self._unknown(name, configured)

    def _priced(self, provider: str) -> list[PricedModel]:
        known = self.providers.get(provider)
        return self._book.providers.get(known.prices if known is not None else provider, [])

    def _by_prefix(self, name: str) -> str | None:
        for provider in self.providers.values():
            if provider.model_prefixes and name.startswith(provider.model_prefixes):
                return provider.name
        return None

    def _lists(self, provider: str, name: str) -> bool:
        return any(model.id == name for model in self._priced(provider))

    def _configured(self, name: str, configured: Collection[str]) -> str:
        if name in configured:
            return name
        provider = self.providers[name]
        variable = provider.switch
        raise GatewayError(
            "not_found",
            f"The provider {provider.title} is not configured. Set {variable} and restart.",
            field="model",
            code="provider_not_configured",
        )

    def _unknown(self, name: str, configured: Collection[str]) -> GatewayError:
        known = [m.id for p in sorted(configured) for m in self._priced(p)]
        shown = _shown(name)
        near = get_close_matches(name[:_LONGEST_SHOWN], known, n=3, cutoff=0.5)
        hint = f" Near it: {', '.join(near)}." if near else ""
        return GatewayError(
            "not_found",
            f"There is no model {shown}.{hint} GET /v1/models lists what there is; "
            "'provider/model' reaches any model of a configured provider.",
            field="model",
            code="model_not_found",
        )


def _shown(name: str) -> str:
    """A caller's name, fit to be printed."""
    cut = name[:_LONGEST_SHOWN]
    return ascii(cut) + ("..." if len(name) > _LONGEST_SHOWN else "")


def load_catalogue(
    prices: Path | None = None,
    extra_providers: Mapping[str, Provider] | None = None,
    configured: Collection[str] | None = None,
) -> Catalogue:
    """`prices`: an operator's own price file; `configured`: the providers whose models are known, all where
    it is not given. Raises OSError, msgspec.DecodeError for a bad file."""
    providers = {**load_providers(), **(extra_providers or {})}
    rules, general = load_rules()
    priced = {providers[name].prices for name in configured or providers}
    return Catalogue(providers, load_prices(priced, prices), rules, general)
