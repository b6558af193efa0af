"""The table of faults, written row by row, so that a run that is cut off is not lost.

A cell that the table has already, with as many calls, is not run again.
"""

from pathlib import Path

from msgspec import Struct

_HEAD = """\
# Faults and strategies

Made by `python -m benchmarks.reliability`: one of two providers has the fault all the while, the other is
well. Each row is one run: *good* are the callers' good answers, *told* the streams that broke after their
first byte and said so by an error event, *asked* the calls that reached a provider for each of theirs; *p99* is what the
fault adds to the 99th percentile of two healthy providers, on a machine that may be busy with other things.

| what | fault | strategy | calls | good % | told % | asked | p99 +ms | wall s |
| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |
"""


class Row(Struct, frozen=True, kw_only=True):
    what: str
    """`whole` or `stream`."""
    fault: str
    strategy: str
    calls: int
    good: float
    told: float
    asked: float
    added_p99: float
    """Milliseconds."""
    seconds: float
    """That the run took."""

    def line(self) -> str:
        cells = (
            self.what, self.fault, self.strategy, f"{self.calls}", f"{self.good:.3f}",
            f"{self.told:.3f}", f"{self.asked:.4f}", f"{self.added_p99:.1f}", f"{self.seconds:.1f}",
        )  # fmt: skip
        return f"| {' | '.join(cells)} |\n"


class FaultTable:
    def __init__(self, path: Path) -> None:
        self._path = path
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_HEAD)

    def has(self, what: str, fault: str, strategy: str, calls: int) -> bool:
        begin = f"| {what} | {fault} | {strategy} | {calls} |"
        return any(line.startswith(begin) for line in self._path.read_text().splitlines())

    def add(self, row: Row) -> None:
        """One write, so that several processes may add to the same file."""
        with self._path.open("a") as file:
            file.write(row.line())

    def put_in_order(self) -> None:
        """By fault and strategy; once nobody adds to it any more."""
        lines = self._path.read_text().splitlines(keepends=True)
        rows = [line for line in lines if line.startswith(("| whole ", "| stream "))]
        rest = [line for line in lines if line not in rows]
        self._path.write_text("".join([*rest, *sorted(rows, key=_place)]))


def _place(line: str) -> tuple[bool, int, str, str]:
    _, what, fault, strategy, *_ = (cell.strip() for cell in line.split("|"))
    return what == "stream", int(fault.split(" ")[0]), fault, strategy
