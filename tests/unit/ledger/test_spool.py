"""Files that outlive the process: whole lines, in order, taken over once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ai_gateway.ledger.spool import Spool, batches, segments

ROOT = Path(__file__).parents[3]


def read(segment: Path) -> list[bytes]:
    return [line for batch in batches(segment, 7) for line in batch]


def lines_of(spool: Spool) -> list[bytes]:
    return [line for segment in spool.waiting() for line in read(segment)]


def test_what_is_written_is_read_in_its_order_and_the_directory_is_left_empty(
    tmp_path: Path,
) -> None:
    spool = Spool(tmp_path / "spool", lost=lambda _: None)
    for number in range(10):
        spool.append(b"line %d\n" % number)
        if number % 4 == 0:
            spool.rotate()
    assert lines_of(spool) == [b"line %d" % number for number in range(9)]
    spool.rotate()
    assert lines_of(spool) == [b"line %d" % number for number in range(10)]
    for segment in spool.waiting():
        segment.unlink()
    spool.close()
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_line_is_with_the_kernel_once_append_returns(tmp_path: Path) -> None:
    """A process that kills itself right after has lost nothing."""
    code = (
        "import os, signal; from pathlib import Path; from ai_gateway.ledger.spool import Spool\n"
        "spool = Spool(Path('spool'), lost=print)\n"
        "for number in range(100): spool.append(b'line %d\\n' % number)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    environ = {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environ)
    assert done.returncode == -9
    spool = Spool(tmp_path / "spool", lost=lambda _: None)
    (orphan,) = spool.orphans()
    assert read(orphan) == [b"line %d" % number for number in range(100)]


def test_half_a_line_at_the_end_is_not_read(tmp_path: Path) -> None:
    segment = tmp_path / "1.jsonl"
    segment.write_bytes(b"one\ntwo\nthr")
    assert read(segment) == [b"one", b"two"]
    assert read(tmp_path / "gone.jsonl") == []


def test_what_a_living_process_holds_is_not_taken_over(tmp_path: Path) -> None:
    one = Spool(tmp_path, lost=lambda _: None)
    two = Spool(tmp_path, lost=lambda _: None)
    one.append(b"mine\n")
    two.append(b"mine too\n")
    one.rotate()
    assert two.orphans() == []
    assert one.orphans() == []
    assert len(one.waiting()) == 1
    one.close()
    assert [read(segment) for segment in two.orphans()] == [[b"mine"]]


def test_where_the_disk_takes_nothing_records_wait_in_memory(tmp_path: Path) -> None:
    lost: list[int] = []
    place = tmp_path / "spool"
    place.write_text("a file where the directory should be")
    spool = Spool(place, lost=lost.append)
    for number in range(20_005):
        spool.append(b"line %d\n" % number)
    assert spool.held == 20_000
    assert spool.trouble
    assert sum(lost) == 5
    place.unlink()
    spool.rotate()
    assert (spool.held, spool.trouble) == (0, None)
    assert len(lines_of(spool)) == 20_000
    spool.append(b"and on\n")
    spool.rotate()
    assert lines_of(spool)[-1] == b"and on"


def test_a_disk_that_fills_up_in_the_middle_of_a_line_leaves_none_half_written(
    tmp_path: Path,
) -> None:
    """The limit on a file's size cuts a write short, as a full disk does."""
    code = (
        "import resource; from pathlib import Path; from ai_gateway.ledger.spool import Spool\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "spool = Spool(Path('spool'), lost=print)\n"
        "for number in range(40): spool.append(b'%050d\\n' % number)\n"
        "print(spool.held, spool.trouble is not None)"
    )
    environ = {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environ, capture_output=True, text=True
    )
    assert done.stdout.split() == ["21", "True"], done.stderr
    (directory,) = (tmp_path / "spool").iterdir()
    (segment,) = segments(directory)
    assert read(segment) == [b"%050d" % number for number in range(19)]
    assert segment.stat().st_size == 19 * 51
    assert os.stat(segment).st_mode & 0o077 == 0


def test_what_has_ended_is_synced_and_closed_once_and_apart_from_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    spool = Spool(tmp_path, lost=lambda n: None)
    spool.append(b"one\n")
    spool.rotate()
    assert synced == []
    spool.append(b"two\n")
    spool.rotate()
    spool.make_durable()
    spool.make_durable()
    assert len(synced) == 2
    for descriptor in synced:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
    spool.close()
