"""The sections of gateway.yaml for docs/reference.md: every noun that may stand there, field by field."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from ai_gateway.settings.sections import SECTIONS

_WORDS = {
    str: "text", int: "whole number", float: "number", bool: "true or false", Decimal: "number",
    datetime: "time, RFC 3339", Any: "anything",
}  # fmt: skip


def sections() -> Iterator[str]:
    yield "| section | |"
    yield "| --- | --- |"
    for section in SECTIONS:
        yield f"| `{section.name}` | {_kind(section.type)} |"
    for noun in _nouns():
        yield from ("", f"### {noun.__name__}", "")
        if about := vars(noun).get("__doc__"):
            yield from (_plain(about), "")
        tag = noun.__struct_config__.tag
        yield "| field | | default | |"
        yield "| --- | --- | --- | --- |"
        if tag is not None:
            yield f"| `{noun.__struct_config__.tag_field}` | `{tag}` | | |"
        told = _told(noun)
        for field in msgspec.structs.fields(noun):
            about = told.get(field.name, "")
            default = _default(field)
            yield f"| `{field.encode_name}` | {_kind(field.type)} | {default} | {about} |"


def _nouns() -> list[type[Struct]]:
    """In the order in which a reader of the sections meets them."""
    found: list[type[Struct]] = []

    def visit(kind: Any) -> None:
        if isinstance(kind, type) and issubclass(kind, Struct) and kind not in found:
            found.append(kind)
            for field in msgspec.structs.fields(kind):
                visit(field.type)
        for inner in get_args(kind):
            visit(inner)

    for section in SECTIONS:
        visit(section.type)
    return found


def _told(noun: type[Struct]) -> dict[str, str]:
    """What stands below each field in the source, its bases' too."""
    told: dict[str, str] = {}
    for base in reversed(noun.__mro__):
        if not (issubclass(base, Struct) and base is not Struct):
            continue
        written = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(written, ast.ClassDef)
        for field, after in zip(written.body, [*written.body[1:], None], strict=True):
            match field, after:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    told[name] = _plain(text).replace("|", "\\|")
    return told


def _plain(text: str) -> str:
    """In a YAML reader's words."""
    return re.sub(r"\bNone\b", "unset", " ".join(text.split()))


def _kind(kind: Any) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if kind in _WORDS:
        return _WORDS[kind]
    if origin is Annotated:
        return _kind(inner[0]) + "".join(_bounds(m) for m in inner[1:] if isinstance(m, Meta))
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin in (Union, UnionType):
        return " or ".join(_kind(each) for each in inner if each is not NoneType)
    if origin in (tuple, list):
        return f"list of {_kind(inner[0])}"
    if origin is dict:
        return f"by name: {_kind(inner[1])}"
    if isinstance(kind, type) and issubclass(kind, Struct):
        return f"[{kind.__name__}](#{kind.__name__.lower()})"
    raise ValueError(f"scripts/gateway_yaml.py has no words for {kind}")


def _bounds(meta: Meta) -> str:
    said = [
        f"{word} {bound:.12g}"
        for word, bound in (("from", meta.ge), ("above", meta.gt), ("to", meta.le))
        if bound is not None
    ]
    return "".join(f", {part}" for part in said)


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    value = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    match value:
        case None | "" | () | {}:
            return ""
        case Struct():
            return "as below" if msgspec.structs.fields(value) else ""
        case bool():
            return f"`{str(value).lower()}`"
        case float() | int():
            return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"
        case tuple() | dict():
            return " ".join(f"`{each}`" for each in value)
        case _:
            return f"`{value}`"
