"""Runs every scenario of `scenarios.py` and writes what was measured into docs/reliability.md.

    python -m tests.faults.campaign [--long] [--only 31,32 [--write]]

`--only` runs some and prints their table; with `--write` their rows take the place of those in the page.
"""

import argparse
import os
import platform
import re
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec import Struct

from .scenarios import PARTS, SCENARIOS, Scenario

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- campaign -->\n", "<!-- end of campaign -->\n"


class Ran(Struct):
    """A case of a test."""

    outcome: str
    """passed, failed or skipped."""
    seconds: float
    figures: list[str]
    why: str = ""


class Collector:
    """A plugin of pytest's that keeps what became of each case."""

    def __init__(self) -> None:
        self.cases: dict[str, Ran] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        seen = self.cases.setdefault(report.nodeid, Ran("passed", 0.0, []))
        seen.seconds += report.duration
        if report.when == "call":
            seen.figures = [
                str(value) for name, value in report.user_properties if name == "figure"
            ]
        if report.failed:
            seen.outcome, seen.why = "failed", str(report.longrepr).strip().splitlines()[-1]
        elif report.skipped and seen.outcome == "passed":
            seen.outcome = "skipped"
            seen.why = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""


def tests_of(scenario: Scenario, long: bool) -> tuple[str, ...]:
    return scenario.long if long and scenario.long else scenario.tests


def run(scenarios: Sequence[Scenario], long: bool) -> dict[str, Ran]:
    """Each test once, however many scenarios name it; by its id below `tests/`."""
    if long:
        os.environ["FAULTS"] = "long"
    named = (test for scenario in scenarios for test in tests_of(scenario, long))
    wanted = dict.fromkeys(f"tests/{t.split('[')[0] if t.endswith('*') else t}" for t in named)
    collector = Collector()
    status = pytest.main(["-m", "", "-p", "no:cacheprovider", *wanted], plugins=[collector])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise SystemExit(f"pytest ended with {status!r}: is every test of scenarios.py there?")
    return {name.removeprefix("tests/"): case for name, case in collector.cases.items()}


def cases_of(test: str, ran: dict[str, Ran]) -> list[Ran]:
    """A test's cases; of a file, all that are in it."""
    if test.endswith("*"):
        return [case for name, case in ran.items() if name.startswith(test[:-1])]
    inside = ("[", "::") if "::" not in test else ("[",)
    return [
        case
        for name, case in ran.items()
        if name == test or any(name.startswith(test + mark) for mark in inside)
    ]


def row(scenario: Scenario, ran: dict[str, Ran], long: bool) -> tuple[str, bool]:
    """The scenario's line of the table, and whether it held."""
    cases = [case for test in tests_of(scenario, long) for case in cases_of(test, ran)]
    counted = {o: sum(c.outcome == o for c in cases) for o in ("passed", "failed", "skipped")}
    held = counted["failed"] == 0 and counted["passed"] > 0
    figures = list(dict.fromkeys(figure for case in cases for figure in case.figures))
    measured = "; ".join([*figures, f"{counted['passed']} of {len(cases)} cases hold"])
    skipped = {case.why.removeprefix("Skipped: ") for case in cases if case.outcome == "skipped"}
    if skipped:
        measured += f"; not run: {'; '.join(sorted(skipped))}"
    cells = (
        str(scenario.number),
        scenario.fault,
        scenario.expected,
        measured,
        "yes" if held else "**NO**",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |", held


def table(scenarios: Sequence[Scenario], ran: dict[str, Ran], long: bool) -> tuple[list[str], int]:
    lines: list[str] = []
    failed = 0
    for part in PARTS:
        rows = [row(s, ran, long) for s in part.scenarios if s in scenarios]
        if not rows:
            continue
        lines += [
            f"### {part.title}",
            "",
            "| | fault | what has to hold | measured | holds |",
            "| --- | --- | --- | --- | --- |",
        ]
        lines += [line for line, _ in rows]
        lines.append("")
        failed += sum(not held for _, held in rows)
    return lines, failed


def summary(ran: dict[str, Ran], seconds: float, failed: int, number: int, long: bool) -> list[str]:
    how = "at full length" if long else "shortened"
    return [
        f"{number - failed} of {number} scenarios hold: {len(ran)} cases in {seconds / 60:.0f} minutes, "
        f"{how}, on {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, "
        f"{os.cpu_count()} cores.",
        "",
    ]


def write(lines: Sequence[str]) -> None:
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + BEGIN + "\n" + "\n".join(lines) + END + after)


def rewrite(lines: Sequence[str]) -> None:
    """The rows of some scenarios anew; the summary says how many hold now."""
    anew = {line.split("|")[1].strip(): line for line in lines if line.startswith("| ")}
    before, _, rest = PAGE.read_text().partition(BEGIN)
    old, _, after = rest.partition(END)
    rows = [
        anew.get(line.split("|")[1].strip(), line) if line.startswith("| ") else line
        for line in old.splitlines()
    ]
    held = sum(row.endswith("| yes |") for row in rows)
    number = sum(row.endswith(("| yes |", "| **NO** |")) for row in rows)
    rows = [
        re.sub(r"^\d+ of \d+ scenarios hold", f"{held} of {number} scenarios hold", row)
        for row in rows
    ]
    PAGE.write_text(before + BEGIN + "\n".join(rows) + "\n" + END + after)


def tell_failures(ran: dict[str, Ran]) -> None:
    by_file: dict[str, list[str]] = defaultdict(list)
    for name, case in ran.items():
        if case.outcome == "failed":
            by_file[name.split("::")[0]].append(f"  {name.split('::')[-1]}: {case.why}")
    for file, lines in by_file.items():
        print(file, *lines, sep="\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true", help="at full length: an hour and more")
    parser.add_argument("--only", help="numbers of scenarios, such as 31,32")
    parser.add_argument(
        "--write", action="store_true", help="with --only: their rows, into the page"
    )
    given = parser.parse_args()
    numbers = {int(n) for n in given.only.split(",")} if given.only else None
    chosen = [s for s in SCENARIOS if numbers is None or s.number in numbers]
    os.chdir(ROOT)
    started = time.monotonic()
    ran = run(chosen, given.long)
    lines, failed = table(chosen, ran, given.long)
    lines = summary(ran, time.monotonic() - started, failed, len(chosen), given.long) + lines
    if numbers is None:
        write(lines)
        print(f"written: {PAGE.relative_to(ROOT)}")
    elif given.write:
        rewrite(lines)
    print("\n".join(lines))
    tell_failures(ran)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
