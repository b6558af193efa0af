"""`gateway.yaml` as a tree of values that know their lines."""

from collections.abc import Iterator
from pathlib import Path

import yaml
from msgspec import Struct

from .tree import Problem, SettingsError

_LARGEST = 4 * 1024 * 1024


class Entry(Struct, frozen=True):
    """A value: text as written, or a mapping of entries, or a list of them."""

    line: int
    value: "str | dict[str, Entry] | list[Entry]"


def read_yaml(path: Path) -> dict[str, Entry]:
    """The top-level entries. Raises SettingsError. Aliases are refused: they can blow up a file."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _error(path, 0, "cannot be read", type(error).__name__) from None
    if len(text) > _LARGEST:
        raise _error(path, 0, "is larger than 4 MiB", "Make it smaller.")
    try:
        for token in _tokens(text):
            if isinstance(token, yaml.AliasToken):
                line = token.start_mark.line + 1
                raise _error(path, line, "holds an alias", "Write the value out.")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 0
        raise _error(path, line, f"is not YAML: {error.problem}", "Mend it there.") from None
    except (yaml.YAMLError, RecursionError):
        raise _error(path, 0, "is not YAML", "Mend it.") from None
    if node is None:
        return {}
    entry = _entry(node, path)
    if not isinstance(entry.value, dict):
        raise _error(path, entry.line, "is not a mapping", "Begin with 'name: value' lines.")
    return entry.value


def _tokens(text: str) -> "Iterator[yaml.Token]":
    return iter(yaml.scan(text, Loader=yaml.SafeLoader))


def _entry(node: yaml.Node, path: Path) -> Entry:
    line = node.start_mark.line + 1
    match node:
        case yaml.MappingNode():
            out: dict[str, Entry] = {}
            for key, value in node.value:
                name = str(key.value)
                if name in out:
                    raise _error(
                        path, key.start_mark.line + 1, f"{name} is given twice", "Keep one."
                    )
                out[name] = Entry(key.start_mark.line + 1, _entry(value, path).value)
            return Entry(line, out)
        case yaml.SequenceNode():
            return Entry(line, [_entry(item, path) for item in node.value])
        case _:
            return Entry(line, str(node.value))


def _error(path: Path, line: int, message: str, remedy: str) -> SettingsError:
    where = f"{path.name}:{line}" if line else path.name
    return SettingsError([Problem(where=where, name=path.name, message=message, remedy=remedy)])
