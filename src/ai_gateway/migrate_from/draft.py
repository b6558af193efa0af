"""What a conversion makes: a `gateway.yaml`, and the account of how each setting fared."""

from typing import Any, Literal

import yaml
from msgspec import Struct

Fate = Literal["carried", "changed", "left"]
"""As it was; with another meaning than before; not at all."""


class Remark(Struct, frozen=True):
    fate: Fate
    line: int
    """In the file that was read."""
    name: str
    """The setting, as a path."""
    text: str


class _Plain(yaml.SafeDumper):
    """Writes what is used twice twice: `gateway.yaml` takes no aliases."""

    def ignore_aliases(self, data: object) -> bool:
        return True


class Draft:
    """Grows while a file is read."""

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}
        self.providers: dict[str, dict[str, Any]] = {}
        self.routes: dict[str, dict[str, Any]] = {}
        self.remarks: list[Remark] = []
        self.variables: set[str] = set()
        """Environment variables that the result refers to."""

    def carried(self, line: int, name: str, text: str) -> None:
        self.remarks.append(Remark("carried", line, name, text))

    def changed(self, line: int, name: str, text: str) -> None:
        self.remarks.append(Remark("changed", line, name, text))

    def left(self, line: int, name: str, text: str) -> None:
        self.remarks.append(Remark("left", line, name, text))

    def count(self, fate: Fate) -> int:
        return sum(remark.fate == fate for remark in self.remarks)

    def tree(self) -> dict[str, Any]:
        found = dict(self.settings)
        if self.providers:
            found["providers"] = self.providers
        if self.routes:
            found["routes"] = self.routes
        return found

    def text(self, source: str) -> str:
        return f"# Made by `ai-gateway import` from {source}.\n" + yaml.dump(
            self.tree(), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=100
        )

    def report(self) -> list[str]:
        lines: list[str] = []
        for fate, title in (
            ("left", "Not carried over"),
            ("changed", "Carried over, with a difference"),
            ("carried", "Carried over"),
        ):
            remarks = sorted((r for r in self.remarks if r.fate == fate), key=lambda r: r.line)
            if remarks:
                lines.append(f"{title}:")
                lines += [f"  line {r.line}, {r.name}: {r.text}" for r in remarks]
        if self.variables:
            lines.append(f"Variables it needs: {', '.join(sorted(self.variables))}")
        return lines
