"""Targets that are patterns: `openai/gpt-*`, `*`. They stand for every chat model that fits: those that the
catalogue marks as for general use, of configured providers, and those that routes name."""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from ai_gateway.model.call import Operation
from ai_gateway.model.errors import GatewayError
from ai_gateway.model.route import Route, RouteTarget, is_pattern

from .destinations import Destination, Directory

ANY = ("*",)
AUTO_NAME = "auto"
AUTO = Route(targets=(RouteTarget(model="*"),), strategy="balanced")
"""The route that is always there, unless another of its name is."""
CHAT: tuple[Operation, ...] = ("chat", "count_tokens")


def named_in(routes: Mapping[str, Route]) -> list[str]:
    """The models that routes name, once each, in the order written."""
    models = (target.model for route in routes.values() for target in route.targets)
    return list(dict.fromkeys(model for model in models if not is_pattern(model)))


def fitting(
    pattern: str, directory: Directory, operation: Operation, dialect: str, named: Iterable[str]
) -> list[Destination]:
    """Where the models that fit are asked, once each: those that routes name (`named`) first."""
    if operation not in CHAT:
        return []
    found: dict[tuple[str, str], Destination] = {}
    for model in (*named, *directory.general_models()):
        try:
            destination = directory.destination(operation, model, dialect)
        except GatewayError:
            continue
        facts = destination.facts
        if fits((pattern,), facts.name, f"{facts.provider}/{facts.name}"):
            found.setdefault((facts.provider, facts.name), destination)
    return list(found.values())


def fits(patterns: Sequence[str], *names: str) -> bool:
    """Whether one of a thing's names fits one of the shell patterns."""
    return patterns == ANY or any(
        fnmatchcase(name, pattern) for pattern in patterns for name in names
    )
