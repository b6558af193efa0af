"""Values that must never be shown."""

import os
from collections.abc import Mapping
from pathlib import Path


class Secret:
    """Holds a value; shows `***` wherever it is printed."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def resolve_secret(reference: str, environ: Mapping[str, str]) -> Secret:
    """`env:NAME` or `file:/path` -> the secret. Raises ValueError saying what is wrong, not what it is."""
    kind, colon, rest = reference.partition(":")
    if not colon or kind not in ("env", "file"):
        raise ValueError("a secret is given by reference: 'env:NAME' or 'file:/path'")
    if kind == "env":
        value = environ.get(rest, "").strip()
        if not value:
            raise ValueError(f"the environment variable {rest} is not set")
        return Secret(value)
    try:
        value = Path(rest).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the file {os.path.basename(rest)} cannot be read") from error
    if not value:
        raise ValueError(f"the file {os.path.basename(rest)} is empty")
    return Secret(value)
