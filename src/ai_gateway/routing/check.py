"""Whether a route can be put in force: everything wrong with it, before anything is swapped."""

import re
from collections.abc import Mapping

from msgspec import Struct

from ai_gateway.model.errors import GatewayError
from ai_gateway.model.route import Route, is_pattern

from .destinations import Directory
from .patterns import fitting, named_in

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}")


class RouteProblem(Struct, frozen=True, kw_only=True):
    field: str
    """Such as `smart.targets[0].model`."""
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.field} {self.message}. {self.remedy}"


def route_problems(
    name: str, route: Route, routes: Mapping[str, Route], directory: Directory
) -> list[RouteProblem]:
    """`routes`: all that would be in force, this one among them."""
    found: list[RouteProblem] = []

    def report(field: str, message: str, remedy: str) -> None:
        found.append(RouteProblem(field=f"{name[:128]}{field}", message=message, remedy=remedy))

    if not _NAME.fullmatch(name):
        report("", "is no name for a route", "Use letters, digits and . _ : / @ -, 128 at most.")
    if not route.targets:
        report(".targets", "is empty", "Give it at least one.")
    for number, target in enumerate(route.targets):
        field = f".targets[{number}].model"
        if target.model in routes and target.model != name:
            report(field, f"is the route {target.model}, and a route leads to models", "Name one.")
            continue
        if is_pattern(target.model):
            if not fitting(target.model, directory, "chat", "", named_in(routes)):
                report(field, "fits no chat model", "Name one, or widen the pattern.")
            continue
        message = unreachable(directory, target.model)
        if message is not None:
            report(field, f"cannot be reached: {message}", "Name a model of a configured provider.")
    aside = [] if route.shadow is None else [(".shadow.model", route.shadow.model)]
    if route.experiment is not None:
        names = [variant.name for variant in route.experiment.variants]
        if len(set(names)) < len(names):
            report(".experiment.variants", "hold a name twice", "Name each once.")
        aside += [
            (f".experiment.variants[{number}].model", variant.model)
            for number, variant in enumerate(route.experiment.variants)
            if variant.model is not None
        ]
    for field, model in aside:
        message = unreachable(directory, model)
        if message is not None:
            report(field, f"cannot be reached: {message}", "Name a model of a configured provider.")
    return found


def unreachable(directory: Directory, model: str) -> str | None:
    """Why no call can be sent to a model; None where one can."""
    reason: str | None = None
    for operation in ("chat", "embeddings", "rerank", "moderations", "images"):
        try:
            directory.destination(operation, model)
            return None
        except GatewayError as error:
            if error.code != "unsupported_operation":
                return error.message.rstrip(".")
            reason = error.message.rstrip(".")
    return reason


def all_problems(routes: Mapping[str, Route], directory: Directory) -> list[RouteProblem]:
    return [
        problem
        for name, route in routes.items()
        for problem in route_problems(name, route, routes, directory)
    ]
