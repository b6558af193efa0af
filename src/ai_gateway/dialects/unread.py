"""What a dialect's own reading of a request passes over, below its top level.

A relayed request loses nothing. A translated one keeps what the types know; a field they do not know
(a newer API's, a client's own) is found here, so that its loss is told in `x-gateway-notes`.
"""

from collections.abc import Mapping
from typing import TypeAlias

from msgspec import Raw, Struct
from msgspec.json import Decoder

Read: TypeAlias = "Mapping[str, Read | None]"
"""Fields by name; None where nothing inside is looked at. A list has the fields of its entries."""

_MOST = 16
_LONGEST = 64
_SAYS_NOTHING = (b"null", b"[]", b"{}", b'""')
_fields = Decoder(dict[str, Raw])
_entries = Decoder(list[Raw])


def known(*types: type[Struct]) -> "dict[str, Read | None]":
    """The fields of types; what is inside them is not looked at."""
    return {name: None for each in types for name in each.__struct_fields__}


def unread(fields: Mapping[str, Raw], read: Read) -> dict[str, Raw]:
    """Of a request's top-level fields, those inside the known ones that are not known themselves,
    by path (`tools[].defer_loading`), at most `_MOST`."""
    found: dict[str, Raw] = {}
    for name, inside in read.items():
        value = fields.get(name)
        if value is not None and inside is not None:
            _look(value, inside, name, found)
    return found


def _look(raw: Raw, read: Read, path: str, found: dict[str, Raw]) -> None:
    if _starts(raw, b"["):
        for entry in _entries.decode(raw):
            if _starts(entry, b"{"):
                _look(entry, read, f"{path}[]", found)
    elif _starts(raw, b"{"):
        for name, value in _fields.decode(raw).items():
            if name in read:
                inside = read[name]
                if inside is not None:
                    _look(value, inside, f"{path}.{name}", found)
            elif len(found) < _MOST and not _says_nothing(value):
                found[f"{path}.{name[:_LONGEST]}"] = value


def _starts(raw: Raw, mark: bytes) -> bool:
    return bytes(memoryview(raw)[:1]) == mark


def _says_nothing(value: Raw) -> bool:
    return len(memoryview(value)) <= 4 and bytes(value) in _SAYS_NOTHING
