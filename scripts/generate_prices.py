"""Writes src/ai_gateway/catalogue/prices.json from the `genai-prices` package (MIT).

    .venv/bin/python scripts/generate_prices.py

The package's data snapshot is taken as it is installed; of prices that changed over time, those of
the given day (by default today) count; tiers by input size are kept; variants by service tier are not.
"""

import argparse
import importlib.metadata
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo, TieredPrices

from ai_gateway.catalogue.models import Price, Prices, Tier
from ai_gateway.catalogue.prices import PriceBook, PricedModel

TARGET = Path(__file__).parent.parent / "src/ai_gateway/catalogue/prices.json"
PROVIDERS = (
    "openai", "anthropic", "google", "groq", "deepseek", "mistral", "openrouter", "x-ai",
    "together", "fireworks", "cerebras", "perplexity", "huggingface_together", "cohere",
    "moonshotai", "zai", "minimax", "huggingface_sambanova", "novita", "huggingface_nebius",
    "huggingface_hyperbolic", "voyageai", "azure", "aws",
)  # fmt: skip


def clause(match: Any) -> list[Any]:
    match type(match).__name__:
        case "ClauseEquals":
            return ["equals", match.equals.lower()]
        case "ClauseStartsWith":
            return ["starts_with", match.starts_with.lower()]
        case "ClauseEndsWith":
            return ["ends_with", match.ends_with.lower()]
        case "ClauseContains":
            return ["contains", match.contains.lower()]
        case "ClauseRegex":
            return ["regex", match.regex]
        case "ClauseOr":
            return ["or", *(clause(m) for m in match.or_)]
        case "ClauseAnd":
            return ["and", *(clause(m) for m in match.and_)]
        case other:
            raise ValueError(f"unknown match clause {other}")


def price(value: Decimal | TieredPrices | None) -> Price | None:
    if value is None:
        return None
    if isinstance(value, TieredPrices):
        tiers = tuple(Tier(t.start, t.price) for t in value.tiers)
        return Price(value.base, tiers)
    return Price(Decimal(value))


def priced(model: ModelInfo, day: date) -> PricedModel:
    at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    found = model.get_prices(at)
    write = price(getattr(found, "cache_write_mtok", None))
    write_1h = price(getattr(found, "cache_write_1h_mtok", None))
    prices = Prices(
        input=price(found.input_mtok),
        output=price(found.output_mtok),
        cache_read=price(found.cache_read_mtok),
        cache_write_5m=write,
        cache_write_1h=write_1h,
        input_audio=price(getattr(found, "input_audio_mtok", None)),
        output_audio=price(getattr(found, "output_audio_mtok", None)),
    )
    known = prices.input is not None or prices.output is not None
    return PricedModel(
        id=model.id,
        match=clause(model.match),
        context=model.context_window,
        prices=prices if known else None,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--date", type=date.fromisoformat, default=datetime.now(UTC).date())
    day = parser.parse_args().date
    snapshot = get_snapshot()
    book = PriceBook(
        source="genai-prices (github.com/pydantic/genai-prices, MIT)",
        version=f"genai-prices {importlib.metadata.version('genai-prices')}",
        date=day.isoformat(),
        providers={
            p.id: [priced(m, day) for m in p.models]
            for p in snapshot.providers
            if p.id in PROVIDERS
        },
    )
    # A line a provider, so that a change of prices can be reviewed.
    head, _, rest = msgspec.json.encode(book).partition(b'"providers":')
    lines = [
        msgspec.json.encode(name)
        + b":[\n"
        + b",\n".join(msgspec.json.encode(m) for m in models)
        + b"\n]"
        for name, models in book.providers.items()
    ]
    del rest
    TARGET.write_bytes(head + b'"providers":{\n' + b",\n".join(lines) + b"}}\n")


if __name__ == "__main__":
    main()
