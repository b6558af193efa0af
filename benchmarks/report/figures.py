"""The figures of a run, as they are kept in benchmarks/results/latest.json."""

import os
import platform
import shutil
import subprocess
from datetime import datetime
from pathlib import Path
from statistics import median

import msgspec
from msgspec import Struct, field

from benchmarks import servers

LATEST = servers.ROOT / "benchmarks/results/latest.json"
_BUILD = (
    "import platform, sysconfig; a = sysconfig.get_config_var('CONFIG_ARGS') or ''; "
    "print(platform.python_version(), platform.python_compiler(), "
    "'PGO' if '--enable-optimizations' in a else 'no PGO', "
    "'LTO' if '--with-lto' in a else 'no LTO', sep=', ')"
)


class Part(Struct, frozen=True, kw_only=True):
    """What one part of the report measured."""

    at: str
    """When, UTC, to the minute."""
    load: float
    """Processes that wanted a core when it began, others' included: above 1, the machine was not quiet."""
    figures: dict[str, list[float]]
    """By name, each round's value; for plots, the value at each `x`."""


class Results(Struct, kw_only=True):
    machine: dict[str, str] = field(default_factory=dict[str, str])
    quick: bool = False
    parts: dict[str, Part] = field(default_factory=dict[str, Part])

    def values(self, name: str) -> list[float]:
        """Of `part/figure`; none, where it was not measured."""
        part, _, figure = name.partition("/")
        return self.parts[part].figures.get(figure, []) if part in self.parts else []

    def get(self, name: str) -> float | None:
        """The median of the rounds."""
        values = self.values(name)
        return median(values) if values else None

    def ratio(self, name: str, other: str) -> float | None:
        """Of two medians of one run."""
        above, below = self.get(name), self.get(other)
        return above / below if above is not None and below else None

    def difference(self, name: str, other: str) -> float | None:
        above, below = self.get(name), self.get(other)
        return above - below if above is not None and below is not None else None


def load(path: Path = LATEST) -> Results:
    return msgspec.json.decode(path.read_bytes(), type=Results) if path.exists() else Results()


def save(results: Results, path: Path = LATEST) -> None:
    path.parent.mkdir(exist_ok=True)
    for part in results.parts.values():
        for values in part.figures.values():
            values[:] = [float(f"{value:.5g}") for value in values]
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def now() -> str:
    return datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")


def machine() -> dict[str, str]:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB",
        "kernel": f"Linux {platform.release()}",
        "python": _said(*servers.PYTHON, "-c", _BUILD),
        "haproxy": _said("haproxy", "-v").split(" - ")[0].removeprefix("HAProxy version "),
        "wrk": _said("wrk", "-v").split(" [")[0].removeprefix("wrk "),
        "commit": _said("git", "-C", str(servers.ROOT), "rev-parse", "--short=10", "HEAD"),
    }


def _said(*command: str) -> str:
    """A command's first line; nothing, where there is no such command."""
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    return (done.stdout or done.stderr).partition("\n")[0].strip()
