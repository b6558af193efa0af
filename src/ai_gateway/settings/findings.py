"""The sources of settings, and what was found wrong with them."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from .secret import Secret, resolve_secret
from .tree import Problem
from .yaml_file import Entry


class Findings:
    """Collects every problem, so that one does not hide the others."""

    def __init__(self, environ: Mapping[str, str], file: str, entries: Mapping[str, Entry]) -> None:
        self.environ = environ
        self.file = file
        self.entries = entries
        self.problems: list[Problem] = []
        self.warnings: list[str] = []
        self.secret_files: list[Path] = []

    def problem(self, where: str, name: str, message: str, remedy: str) -> None:
        self.problems.append(Problem(where=where, name=name, message=message, remedy=remedy))

    def unknown(self, line: int, name: str, valid: list[str]) -> None:
        near = get_close_matches(name, valid, n=1, cutoff=0.5)
        remedy = f"Did you mean {near[0]}?" if near else f"Known here: {', '.join(sorted(valid))}."
        self.problem(f"{self.file}:{line}", name, "there is no such setting", remedy)

    def secret(self, reference: str, where: str, name: str) -> Secret | None:
        kind, _, rest = reference.partition(":")
        if kind == "file" and rest:
            self.secret_files.append(Path(rest))
        try:
            return resolve_secret(reference, self.environ)
        except ValueError as error:
            self.problem(where, name, str(error), "Give a reference to a set value.")
            return None
