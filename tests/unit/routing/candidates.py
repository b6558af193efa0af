"""Candidates for tests: models of made-up providers at made-up prices."""

from decimal import Decimal

from ai_gateway.catalogue.models import ModelFacts, Price, Prices
from ai_gateway.dialects.dialect import RenderTarget
from ai_gateway.model.call import Target
from ai_gateway.routing.breaker import Breaker
from ai_gateway.routing.destinations import Destination
from ai_gateway.routing.keys import Door, Doors, Key
from ai_gateway.routing.strategies import Candidate
from ai_gateway.routing.vitals import Vitals
from ai_gateway.upstream.client import address


def candidate(
    name: str,
    *,
    weight: float = 1.0,
    price: tuple[str, str] | None = None,
    facts: ModelFacts | None = None,
    url: str = "http://127.0.0.1:1/v1/chat/completions",
    keys: int = 1,
    dialect: str = "openai_chat",
) -> Candidate:
    """`price`: US dollars a million tokens of input and of output."""
    prices = None
    if price is not None:
        prices = Prices(input=Price(Decimal(price[0])), output=Price(Decimal(price[1])))
    doors = [
        Door(address(url, [("authorization", f"Bearer key-{n}")]), Key(f"key-{n}", n))
        for n in range(keys)
    ]
    return Candidate(
        destination=Destination(
            target=Target(provider=name, model="m"),
            doors=Doors(doors),
            vitals=Vitals(name, "m", Breaker()),
            dialect=dialect,
            render=RenderTarget(model="m"),
            facts=facts or ModelFacts(provider=name, name="m", prices=prices),
            forwarded=(),
            hashed=name.encode(),
            input_usd=None if price is None else float(price[0]) / 1e6,
            output_usd=0.0 if price is None else float(price[1]) / 1e6,
        ),
        weight=weight,
    )


def name_of(candidate: Candidate) -> str:
    return candidate.destination.target.provider
