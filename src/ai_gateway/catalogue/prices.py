"""Prices and context windows, from `prices.json` and an operator's own file of the same form."""

import re
from collections.abc import Collection, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from .models import Prices

Clause = list[Any]
"""["equals" | "starts_with" | "ends_with" | "contains" | "regex", text] or ["or" | "and", clause...]."""


class PricedModel(Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: str
    match: Clause
    context: int | None = None
    prices: Prices | None = None


class PriceBook(Struct, frozen=True, kw_only=True):
    source: str
    version: str
    date: str
    providers: dict[str, list[PricedModel]]


def load_prices(wanted: Collection[str], override: Path | None = None) -> PriceBook:
    """The shipped book, with the wanted lists alone: most of it is of providers that nobody uses here. An
    override's models come before the shipped ones of the same provider.

    Raises OSError, msgspec.DecodeError for an override that cannot be read.
    """
    book = msgspec.json.decode(
        (files("ai_gateway.catalogue") / "prices.json").read_bytes(), type=PriceBook
    )
    providers = {name: models for name, models in book.providers.items() if name in wanted}
    if override is None:
        return msgspec.structs.replace(book, providers=providers)
    own = msgspec.json.decode(override.read_bytes(), type=PriceBook)
    for name, models in own.providers.items():
        if name in wanted:
            providers[name] = [*models, *providers.get(name, ())]
    version = f"{book.version}+{own.version}"
    return PriceBook(source=book.source, version=version, date=own.date, providers=providers)


def priced_model(models: Sequence[PricedModel], name: str) -> PricedModel | None:
    lowered = name.lower()
    for model in models:
        if matches(model.match, lowered):
            return model
    return None


def matches(clause: Clause, name: str) -> bool:
    kind, *rest = clause
    match kind:
        case "equals":
            return name == rest[0]
        case "starts_with":
            return name.startswith(rest[0])
        case "ends_with":
            return name.endswith(rest[0])
        case "contains":
            return rest[0] in name
        case "or":
            return any(matches(inner, name) for inner in rest)
        case "and":
            return all(matches(inner, name) for inner in rest)
        case "regex":
            return re.search(rest[0], name) is not None
        case _:
            return False
