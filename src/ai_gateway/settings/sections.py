"""The parts of `gateway.yaml` that do not fit a variable, each a typed noun of `ai_gateway.model`.

A section's values are read into its type by msgspec; what does not fit is a problem that names its
file, line and remedy. To add a section: a line in `SECTIONS` and a field in `Settings`.
"""

import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, get_args

import msgspec
from msgspec import Struct

from ai_gateway.model.audit import Audit
from ai_gateway.model.cache import CacheSettings
from ai_gateway.model.guardrail import Guardrail
from ai_gateway.model.key import ConfiguredKey, ConfiguredTenant, TokenIssuer
from ai_gateway.model.mcp import McpServer
from ai_gateway.model.policy import Budget, RateLimit
from ai_gateway.model.route import Route
from ai_gateway.model.upstream import Upstream

from .yaml_file import Entry

Report = Callable[[int, str, str, str], None]
"""`report(line, name, message, remedy)`"""


class Section(Struct, frozen=True, kw_only=True):
    name: str
    type: Any
    """What `msgspec.convert` makes of the whole section."""
    default: Any


SECTIONS: tuple[Section, ...] = (
    Section(name="routes", type=dict[str, Route], default={}),
    Section(name="upstreams", type=dict[str, Upstream], default={}),
    Section(name="tenants", type=dict[str, ConfiguredTenant], default={}),
    Section(name="keys", type=dict[str, ConfiguredKey], default={}),
    Section(name="limits", type=tuple[RateLimit, ...], default=()),
    Section(name="budgets", type=tuple[Budget, ...], default=()),
    Section(name="auth", type=dict[str, TokenIssuer], default={}),
    Section(name="cache", type=CacheSettings, default=CacheSettings()),
    Section(name="guardrails", type=dict[str, Guardrail], default={}),
    Section(name="mcp_servers", type=dict[str, McpServer], default={}),
    Section(name="audit_options", type=Audit, default=Audit()),
)

_PATH = re.compile(r" - at `(?:key in )?\$([^`]*)`$")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_UNKNOWN = re.compile(r"Object contains unknown field `([^`]*)`")


def read_section(section: Section, entry: Entry, report: Report) -> Any:
    """The section's value, or its default once its problems are reported.

    Each member of a mapping and of a list is read apart, so that one mistake does not hide others.
    """
    value = entry.value
    arguments = get_args(section.type)
    if isinstance(value, dict) and len(arguments) == 2:
        return {
            name: _read(f"{section.name}.{name}", arguments[1], inner, report)
            for name, inner in value.items()
        }
    if isinstance(value, list) and arguments:
        return tuple(
            _read(f"{section.name}[{at}]", arguments[0], inner, report)
            for at, inner in enumerate(value)
        )
    return _read(section.name, section.type, entry, report)


def _read(name: str, kind: Any, entry: Entry, report: Report) -> Any:
    try:
        return msgspec.convert(_plain(entry), kind, strict=False)
    except msgspec.ValidationError as error:
        text = str(error)
        found = _PATH.search(text)
        steps = _STEP.findall(found[1]) if found is not None else []
        line, path = _locate(entry, steps, text)
        message = _PATH.sub("", text)
        unknown = _UNKNOWN.search(message)
        if unknown is not None:
            near = get_close_matches(unknown[1], _names(kind), n=1, cutoff=0.5)
            remedy = f"Did you mean {near[0]}?" if near else "Remove it."
            report(line, f"{name}{path}.{unknown[1]}", "there is no such setting", remedy)
        else:
            report(line, f"{name}{path}", message[:1].lower() + message[1:], "Correct it.")
        return None


def _plain(entry: Entry) -> Any:
    value = entry.value
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value


def _locate(entry: Entry, steps: list[tuple[str, str]], text: str) -> tuple[int, str]:
    """The line of what msgspec complains about, as near as its path leads, and the path."""
    path = ""
    for name, index in steps:
        value = entry.value
        if name and isinstance(value, dict) and name in value:
            entry, path = value[name], f"{path}.{name}"
        elif index.isdigit() and isinstance(value, list) and int(index) < len(value):
            entry, path = value[int(index)], f"{path}[{index}]"
        else:
            break
    unknown = _UNKNOWN.search(text)
    if unknown is not None and isinstance(entry.value, dict) and unknown[1] in entry.value:
        return entry.value[unknown[1]].line, path
    return entry.line, path


def _names(kind: Any) -> list[str]:
    """Every field name of a Struct and of the Structs within it."""
    names: list[str] = []
    if isinstance(kind, type) and issubclass(kind, Struct):
        for field in msgspec.structs.fields(kind):
            names.append(field.encode_name)
            names += _names(field.type)
    for inner in get_args(kind):
        names += _names(inner)
    return names
