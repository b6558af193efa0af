"""What a model's or route's name means: its candidates, resolved once and kept from call to call."""

from collections.abc import Sequence
from itertools import count

from msgspec import Struct

from ai_gateway.catalogue.models import ModelFacts
from ai_gateway.model.call import Operation, Target
from ai_gateway.model.errors import GatewayError
from ai_gateway.model.route import Route, is_pattern

from .destinations import Directory
from .needs import Limits
from .patterns import fitting
from .strategies import Candidate, Order


class Resolved(Struct, frozen=True, kw_only=True):
    """What a name means, for one operation. Kept from call to call."""

    name: str
    route: Route
    is_route: bool
    wild: bool
    """A target of its is a pattern: a caller's own models bound what it may lead to."""
    names: tuple[str, ...]
    """A model's other names; a route has none."""
    candidates: tuple[Candidate, ...]
    limits: Limits
    dearest: tuple[ModelFacts, ...]
    """Those of the candidates' models that can be the dearest for some call: what to set aside for."""
    turns: "count[int]"
    """Gives each call its turn."""
    kept: dict[object, tuple[float, Order]]
    """What was sifted from the candidates, by what it depends on, and until when it holds."""


def candidates_of(
    directory: Directory,
    operation: Operation,
    route: Route,
    dialect: str = "",
    named: Sequence[str] = (),
) -> tuple[Candidate, ...]:
    """Those of a route's targets that offer the operation. `named`: the models that a pattern may fit
    beside the catalogue's. Raises GatewayError where none does."""
    found: list[Candidate] = []
    seen: set[Target] = set()
    refused: GatewayError | None = None
    for target in route.targets:
        if is_pattern(target.model):
            fit = fitting(target.model, directory, operation, dialect, named)
            destinations = [d for d in fit if d.target not in seen]
        else:
            try:
                destinations = [directory.destination(operation, target.model, dialect)]
            except GatewayError as error:
                refused = refused or error
                continue
        seen.update(d.target for d in destinations)
        found += [
            Candidate(destination=d, weight=target.weight, tags=target.tags) for d in destinations
        ]
    if not found:
        raise refused or GatewayError(
            "not_found",
            "No chat model of a configured provider fits this route. Name models in a route.",
            field="model",
            code="no_model_fits",
        )
    return tuple(found)
