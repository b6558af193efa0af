"""What the pages tell readers to type, in the order they tell it."""

import re
import subprocess
from pathlib import Path

from msgspec import Struct

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


class Step(Struct, frozen=True):
    kind: str
    """`sh`, `python` or `yaml`."""
    text: str


def steps(page: Path) -> list[Step]:
    """Commands, one by one, and whole blocks of Python and YAML. A transcript's commands come after `$ `."""
    found: list[Step] = []
    for kind, block in re.findall(r"^```(\w*)\n(.*?)^```", page.read_text("utf-8"), re.S | re.M):
        if kind == "sh":
            found += [Step("sh", command) for command in _commands(block)]
        elif kind == "":
            found += [Step("sh", c) for c in re.findall(r"^\$ (.+)$", block, re.M)]
        elif kind in ("python", "yaml"):
            found.append(Step(kind, block))
    return found


def _commands(block: str) -> list[str]:
    """A command goes on where a line ends in a backslash, and until the shell finds it whole."""
    found: list[str] = []
    waiting = ""
    for line in block.replace("\\\n", " ").splitlines():
        waiting += re.sub(r"(^|\s+)# .*$", "", line).rstrip()
        if not waiting:
            continue
        if subprocess.run(["bash", "-n"], input=waiting, text=True, capture_output=True).returncode:
            waiting += "\n"
            continue
        found.append(waiting)
        waiting = ""
    assert not waiting, waiting
    return found


def program(command: str) -> str:
    """The word that says what runs: behind variables, and within `NAME=$(...)`."""
    return re.sub(r"^([A-Z_]+=[^\s$]+ )+|^[A-Z_]+=\$\(", "", command).split()[0].rstrip(";")
