"""What is known of a model: limits, abilities, prices."""

import tomllib
from collections.abc import Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import cached_property
from importlib.resources import files
from math import ceil, inf

import msgspec
from msgspec import Struct


class Tier(Struct, frozen=True):
    """A price that holds from so many input tokens on (for the whole call)."""

    start: int
    price: Decimal


class Price(Struct, frozen=True, omit_defaults=True):
    """US dollars a million tokens, with its tiers by size of input, smallest first."""

    base: Decimal
    tiers: tuple[Tier, ...] = ()

    def at(self, input_tokens: int) -> Decimal:
        price = self.base
        for tier in self.tiers:
            if input_tokens > tier.start:
                price = tier.price
        return price


class Prices(Struct, frozen=True, kw_only=True, omit_defaults=True, dict=True):
    input: Price | None = None
    output: Price | None = None
    cache_read: Price | None = None
    cache_write_5m: Price | None = None
    cache_write_1h: Price | None = None
    input_audio: Price | None = None
    output_audio: Price | None = None

    @cached_property
    def rates(self) -> tuple[int, int, float]:
        """Whole pico-dollars (10^-12) that a plain token of input and of output costs, a finer price
        rounded up, and the size of input up to which that holds."""
        priced = [price for price in (self.input, self.output) if price is not None]
        starts = [tier.start for price in priced for tier in price.tiers]
        return _pico(self.input), _pico(self.output), min(starts, default=inf)


def _pico(price: Price | None) -> int:
    return 0 if price is None else ceil(price.base * 1_000_000)


class ModelFacts(Struct, frozen=True, kw_only=True):
    """None where nothing is known."""

    provider: str
    name: str
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    prices: Prices | None = None
    tells_cost: bool = False
    """What the provider says an answer cost is what it charges."""
    structured_output: bool | None = None
    reasoning: bool | None = None
    adaptive_thinking: bool | None = None
    thinking_level: bool | None = None
    tools: bool | None = None
    vision: bool | None = None
    responses_only: bool | None = None


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    models: tuple[str, ...]
    max_output_tokens: int | None = None
    structured_output: bool | None = None
    reasoning: bool | None = None
    adaptive_thinking: bool | None = None
    thinking_level: bool | None = None
    tools: bool | None = None
    vision: bool | None = None
    responses_only: bool | None = None


class _Rules(Struct, frozen=True):
    rule: tuple[Rule, ...]
    general: tuple[str, ...]


_NO_RULE = Rule(models=())


def load_rules() -> tuple[Sequence[Rule], Sequence[str]]:
    """The rules, and the patterns of the models for general use."""
    text = (files("ai_gateway.catalogue") / "models.toml").read_text("utf-8")
    read = msgspec.convert(tomllib.loads(text), _Rules)
    return read.rule, read.general


def rule_for(model: str, rules: Sequence[Rule]) -> Rule:
    """`model` may carry a maker's prefix (`anthropic/claude-...`), as routers' names do."""
    name = model.rsplit("/", 1)[-1].lower().replace(".", "-")
    for rule in rules:
        if any(fnmatchcase(name, pattern) for pattern in rule.models):
            return rule
    return _NO_RULE
