from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices import calc_price
from hypothesis import given, settings
from hypothesis import strategies as st

from ai_gateway.catalogue.catalogue import Catalogue, load_catalogue
from ai_gateway.catalogue.cost import cost_of, nano_dollars, nano_dollars_of
from ai_gateway.catalogue.models import Price, Prices, Tier
from ai_gateway.catalogue.provider import custom_provider, load_providers
from ai_gateway.dialects.registry import PROVIDER_DIALECTS
from ai_gateway.model.errors import GatewayError
from ai_gateway.model.usage import Usage


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


ALL = frozenset({"openai", "anthropic", "groq", "openrouter", "mistral"})

RESOLVED = [
    ("gpt-4o", ("openai", "gpt-4o")),
    ("o3-mini", ("openai", "o3-mini")),
    ("gpt-99-not-yet-known", ("openai", "gpt-99-not-yet-known")),
    ("claude-sonnet-4-5", ("anthropic", "claude-sonnet-4-5")),
    ("openai/gpt-4o", ("openai", "gpt-4o")),
    ("openrouter/anthropic/claude-3.5-sonnet", ("openrouter", "anthropic/claude-3.5-sonnet")),
    ("groq/anything", ("groq", "anything")),
    ("llama-3.3-70b-versatile", ("groq", "llama-3.3-70b-versatile")),
    ("mistral-large-latest", ("mistral", "mistral-large-latest")),
    ("text-embedding-3-small", ("openai", "text-embedding-3-small")),
]


@pytest.mark.parametrize(("name", "expected"), RESOLVED)
def test_names_resolve(catalogue: Catalogue, name: str, expected: tuple[str, str]) -> None:
    assert catalogue.resolve(name, ALL) == expected


def test_prices_are_kept_of_the_configured_providers_alone() -> None:
    catalogue = load_catalogue(configured={"groq"})
    assert catalogue.facts("groq", "llama-3.3-70b-versatile").prices is not None
    assert catalogue.models_of("groq") == load_catalogue().models_of("groq")
    assert not catalogue.models_of("openai")


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("gemini-2.5-pro", "GEMINI_API_KEY"),
        ("xai/grok", "XAI_API_KEY"),
        ("ollama/x", "OLLAMA_BASE_URL"),
    ],
)
def test_an_unconfigured_provider_is_told_by_its_variable(
    catalogue: Catalogue, name: str, variable: str
) -> None:
    with pytest.raises(GatewayError, match=variable):
        catalogue.resolve(name, ALL)


@pytest.mark.parametrize("name", ["gpt4o", "x" * 10_000, "../../etc", "a\0b", "openai/", "/", "Ω"])
def test_unknown_names_are_not_found_and_shown_harmlessly(catalogue: Catalogue, name: str) -> None:
    with pytest.raises(GatewayError) as caught:
        catalogue.resolve(name, ALL)
    assert caught.value.status == 404
    assert caught.value.message.isascii()
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 500


def test_with_nothing_configured_the_simulator_takes_every_name(catalogue: Catalogue) -> None:
    simulators = frozenset({"simulator", "simulator-anthropic"})
    assert catalogue.resolve("claude-x", simulators) == ("simulator-anthropic", "claude-x")
    assert catalogue.resolve("anything", simulators) == ("simulator", "anything")


def test_every_provider_speaks_a_known_dialect_and_has_an_address() -> None:
    for provider in load_providers().values():
        assert provider.operations, provider.name
        assert all(e.dialect in PROVIDER_DIALECTS for e in provider.operations.values()), (
            provider.name
        )
        # Azure has an address of its own for each customer.
        known = provider.base_url.startswith("https://") or provider.base_path
        assert known or not provider.key_required, provider.name
        assert not provider.base_url.endswith("/"), provider.name


def test_a_made_up_provider_is_one_row() -> None:
    acme = custom_provider("acme", "https://acme.example/v1", auth="bearer", embeddings=True)
    catalogue = load_catalogue(extra_providers={"acme": acme})
    assert catalogue.resolve("acme/m", {"acme"}) == ("acme", "m")


def test_claudes_abilities_are_known(catalogue: Catalogue) -> None:
    old = catalogue.facts("anthropic", "claude-3-5-haiku-latest")
    new = catalogue.facts("anthropic", "claude-opus-4-6")
    assert (old.max_output_tokens, old.structured_output, old.adaptive_thinking) == (
        8192,
        False,
        None,
    )
    assert (new.structured_output, new.adaptive_thinking) == (True, True)


PRICES = Prices(
    input=Price(Decimal(3), (Tier(200_000, Decimal(6)),)),
    output=Price(Decimal(15)),
    cache_read=Price(Decimal("0.3")),
    cache_write_5m=Price(Decimal("3.75")),
    cache_write_1h=Price(Decimal(6)),
)
COSTS = [
    (Usage(input_tokens=1000, output_tokens=100), "0.0045"),
    (Usage(input_tokens=1000, cache_read_tokens=1000), "0.0003"),
    (Usage(input_tokens=1000, cache_write_5m_tokens=500, cache_write_1h_tokens=500), "0.004875"),
    (Usage(input_tokens=300_000), "1.8"),
    (Usage(input_tokens=1), "0.000003"),
    (Usage(), "0"),
    (
        Usage(input_tokens=10, input_audio_tokens=4, output_tokens=10, output_audio_tokens=10),
        "0.00018",
    ),
]


@pytest.mark.parametrize(("usage", "expected"), COSTS)
def test_costs_are_exact(usage: Usage, expected: str) -> None:
    assert cost_of(usage, PRICES) == Decimal(expected)


SIZES = st.integers(0, 10**7)
DEAREST = Decimal(1000)


@settings(deadline=None, max_examples=300)
@given(
    base=st.decimals(0, DEAREST, places=6),
    long=st.decimals(0, DEAREST, places=6),
    out=st.none() | st.decimals(0, DEAREST, places=6),
    start=st.integers(0, 10**7),
    read=SIZES,
    written=SIZES,
)
def test_what_is_set_aside_is_the_cost_rounded_up(
    base: Decimal, long: Decimal, out: Decimal | None, start: int, read: int, written: int
) -> None:
    prices = Prices(
        input=Price(base, (Tier(start, long),)), output=None if out is None else Price(out)
    )
    cost = cost_of(Usage(input_tokens=read, output_tokens=written), prices)
    assert nano_dollars_of(read, written, prices) == nano_dollars(cost)


@settings(deadline=None, max_examples=300)
@given(price=st.decimals(0, DEAREST, places=9), read=SIZES, written=SIZES)
def test_of_finer_prices_never_too_little_is_set_aside(
    price: Decimal, read: int, written: int
) -> None:
    prices = Prices(input=Price(price), output=Price(price))
    cost = nano_dollars(cost_of(Usage(input_tokens=read, output_tokens=written), prices))
    # By less than a pico-dollar a token too much.
    assert cost <= nano_dollars_of(read, written, prices) <= cost + (read + written) // 1000 + 1


MODELS = [
    ("openai", "gpt-4o"), ("openai", "gpt-4o-mini"), ("openai", "gpt-5"), ("openai", "gpt-4.1"),
    ("openai", "o3"), ("openai", "text-embedding-3-small"), ("openai", "gpt-5.2"),
    ("anthropic", "claude-sonnet-4-5"), ("anthropic", "claude-haiku-4-5"), ("anthropic", "claude-opus-4-6"),
    ("anthropic", "claude-3-haiku"), ("groq", "llama-3.3-70b-versatile"), ("mistral", "mistral-large-latest"),
    ("deepseek", "deepseek-chat"), ("google", "gemini-2.5-flash"), ("google", "gemini-2.5-pro"),
]  # fmt: skip


@pytest.mark.parametrize(("provider", "model"), MODELS)
@pytest.mark.parametrize("size", [1000, 250_000])
def test_costs_agree_with_the_source_of_the_prices(
    catalogue: Catalogue, provider: str, model: str, size: int
) -> None:
    theirs = calc_price(
        TheirUsage(input_tokens=size, cache_read_tokens=size // 4, output_tokens=500),
        model,
        provider_id=provider,
        genai_request_timestamp=datetime(2026, 11, 24, 12, tzinfo=UTC),
    ).total_price
    ours = {"google": "gemini"}.get(provider, provider)
    facts = catalogue.facts(ours, model)
    assert facts.prices is not None
    usage = Usage(input_tokens=size, cache_read_tokens=size // 4, output_tokens=500)
    assert cost_of(usage, facts.prices) == theirs
