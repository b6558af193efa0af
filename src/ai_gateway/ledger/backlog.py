"""What of the ledger has not reached the database: of every process that spools into this directory."""

from collections.abc import Callable
from pathlib import Path
from time import time

from .record import settled_at
from .spool import Spool, segments


class Backlog:
    """Read at a scrape: a look at a directory, and at the first line of its oldest files."""

    def __init__(self, spool: Spool, root: Path, clock: Callable[[], float] = time) -> None:
        """`clock`: seconds since 1970."""
        self._spool = spool
        self._root = root
        self._clock = clock

    def size(self) -> float:
        """Bytes on disk."""
        return float(sum(_size(path) for files in self._files() for path in files))

    def held(self) -> float:
        """Records that this process holds in memory, the disk not taking them."""
        return float(self._spool.held)

    def lag(self) -> float:
        """Seconds since the oldest record was settled; 0 where none waits."""
        firsts = [line for files in self._files() if files and (line := _first_line(files[0]))]
        if self._spool.oldest_held is not None:
            firsts.append(self._spool.oldest_held)
        settled = [at for line in firsts if (at := settled_at(line)) is not None]
        return max(0.0, self._clock() - min(settled)) if settled else 0.0

    def _files(self) -> list[list[Path]]:
        """The segments of each process, oldest first."""
        try:
            return [segments(path) for path in self._root.iterdir() if path.is_dir()]
        except OSError:
            # There is no spool yet, or a process has just cleared its own away.
            return []


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _first_line(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.readline()
    except OSError:
        return b""
