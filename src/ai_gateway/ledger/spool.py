"""Records on their way to the database, in files that outlive the process.

A record is written with one write(2): then the kernel has it, and neither `kill -9` nor a lost database
takes it away. The disk is told to keep it (fdatasync) by the replayer once a second or so; a machine
that loses its power may lose that much.

Every process has a directory of its own under the spool, which it holds by a lock; what a process
left behind is taken over by the next one that looks (`orphans`). A directory holds segments of lines;
the newest is being written, the others wait to be replayed.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from time import time

_LARGEST_SEGMENT = 8 * 1024 * 1024
_MOST_HELD = 20_000
_LOCK = "lock"
_SUFFIX = ".jsonl"


class Spool:
    """`lost` counts records that neither disk nor memory had room for."""

    def __init__(self, directory: Path, *, lost: Callable[[int], None]) -> None:
        self._root = directory
        self._lost = lost
        self._own: Path | None = None
        self._lock = -1
        self._descriptor = -1
        self._written = 0
        self._number = 0
        self._ended: list[int] = []
        """Descriptors of segments that are whole, and not yet made durable."""
        self._held: list[bytes] = []
        self.trouble: str | None = None
        """Why records are held in memory: the disk did not take them."""

    @property
    def held(self) -> int:
        """Records in memory alone."""
        return len(self._held)

    @property
    def oldest_held(self) -> bytes | None:
        return self._held[0] if self._held else None

    def append(self, line: bytes) -> None:
        """Never waits for anything but the page cache; never raises."""
        if self._held:
            self._hold(line)
            return
        try:
            self._write(line)
        except OSError as error:
            self.trouble = error.strerror or type(error).__name__
            self._hold(line)

    def rotate(self) -> None:
        """Ends the segment in hand, if it has anything; retries what is held."""
        if self._held:
            self._retry()
        if self._descriptor >= 0 and self._written:
            self._ended.append(self._descriptor)
            self._descriptor, self._written = -1, 0

    @property
    def has_ended(self) -> bool:
        """Something waits to be made durable."""
        return bool(self._ended)

    def make_durable(self) -> None:
        """What has ended is on the disk then. Waits for the disk: not for the event loop's thread, while
        calls are under way. Raises OSError."""
        while self._ended:
            descriptor = self._ended.pop()
            try:
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)

    def waiting(self) -> list[Path]:
        """This process's finished segments, oldest first."""
        if self._own is None:
            return []
        current = self._segment(self._number) if self._descriptor >= 0 else None
        return [path for path in segments(self._own) if path != current]

    def orphans(self) -> list[Path]:
        """Segments of processes that are no more. What is empty of them is cleared away."""
        found: list[Path] = []
        if not self._root.is_dir():
            return found
        for directory in sorted(self._root.iterdir()):
            if directory == self._own or not directory.is_dir() or not _is_abandoned(directory):
                continue
            left = segments(directory)
            found += left
            if not left:
                _remove(directory)
        return found

    def close(self) -> None:
        self.rotate()
        self.make_durable()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._segment(self._number).unlink(missing_ok=True)
            self._descriptor = -1
        if self._own is not None and not segments(self._own):
            _remove(self._own)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        if self._held:
            self._lost(len(self._held))

    def _hold(self, line: bytes) -> None:
        if len(self._held) < _MOST_HELD:
            self._held.append(line)
        else:
            self._lost(1)

    def _retry(self) -> None:
        try:
            while self._held:
                self._write(self._held[0])
                del self._held[0]
        except OSError as error:
            self.trouble = error.strerror or type(error).__name__
        else:
            self.trouble = None

    def _write(self, line: bytes) -> None:
        """The whole line or none of it. Raises OSError."""
        if self._descriptor < 0 or self._written >= _LARGEST_SEGMENT:
            self._begin()
        done = os.write(self._descriptor, line)
        if done != len(line):
            # The disk is full just here: half a line would spoil the next.
            os.ftruncate(self._descriptor, self._written)
            raise OSError(28, "No space left on device")
        self._written += done

    def _begin(self) -> None:
        if self._own is None:
            self._own = self._claim()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(self._segment(self._number + 1), flags, 0o600)
        if self._descriptor >= 0:
            self._ended.append(self._descriptor)
        self._number += 1
        self._descriptor, self._written = descriptor, 0

    def _claim(self) -> Path:
        own = self._root / f"{int(time() * 1e6):015x}-{os.getpid()}"
        own.mkdir(parents=True, mode=0o700)
        self._lock = os.open(own / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        return own

    def _segment(self, number: int) -> Path:
        assert self._own is not None
        return self._own / f"{number:09d}{_SUFFIX}"


def segments(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if path.suffix == _SUFFIX)


def batches(segment: Path, most: int) -> Iterator[list[bytes]]:
    """Its lines, at most so many at a time, so that a long segment is never in memory as a whole. Half
    a line at the end is of a call that was never answered."""
    try:
        file = segment.open("rb")
    except FileNotFoundError:
        # Another process took it over, and was quicker.
        return
    with file:
        while lines := [line[:-1] for line in islice(file, most) if line.endswith(b"\n")]:
            yield [line for line in lines if line]


def _is_abandoned(directory: Path) -> bool:
    """Whether the process that held it is gone. A directory without its lock has just been made."""
    try:
        descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return bool(segments(directory))
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _remove(directory: Path) -> None:
    try:
        (directory / _LOCK).unlink(missing_ok=True)
        directory.rmdir()
    except OSError:
        # Somebody else is at it, or a file of another kind lies there.
        return
