"""What has not reached the database: how much, of whom, since when."""

from pathlib import Path

from ai_gateway.ledger.backlog import Backlog
from ai_gateway.ledger.record import record_of
from ai_gateway.ledger.spool import Spool, segments
from tests.unit.ledger.test_record import outcome


def line(begun: float, seconds: float) -> bytes:
    """Of a call that began then and took so long."""
    return record_of(outcome(call_id=f"{int(begun * 1000):012x}{'0' * 20}"), seconds, "v1")


def test_nothing_waits_where_nothing_was_written(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", lost=lambda _: None)
    backlog = Backlog(spool, tmp_path / "spool", clock=lambda: 1e9)
    assert (backlog.size(), backlog.held(), backlog.lag()) == (0, 0, 0)


def test_the_oldest_settled_record_makes_the_lag_of_every_process(tmp_path: Path) -> None:
    now = 1_700_000_000.0
    mine, other = (Spool(tmp_path, lost=lambda _: None) for _ in range(2))
    backlog = Backlog(mine, tmp_path, clock=lambda: now)
    first, second = line(now - 100, 40), line(now - 50, 1)
    mine.append(first)
    mine.rotate()
    mine.append(second)
    assert backlog.lag() == 60
    assert backlog.size() == len(first) + len(second)
    mine.waiting()[0].unlink()
    assert backlog.lag() == 49
    other.append(line(now - 200, 0))
    assert backlog.lag() == 200
    for directory in tmp_path.iterdir():
        for path in segments(directory):
            path.unlink()
    assert backlog.lag() == 0


def test_what_the_disk_did_not_take_counts_too(tmp_path: Path) -> None:
    now = 1_700_000_000.0
    (tmp_path / "spool").write_text("in the way")
    spool = Spool(tmp_path / "spool", lost=lambda _: None)
    backlog = Backlog(spool, tmp_path / "spool", clock=lambda: now)
    spool.append(line(now - 10, 3))
    spool.append(line(now - 5, 3))
    assert (backlog.held(), backlog.lag(), backlog.size()) == (2, 7, 0)


def test_what_is_no_record_is_passed_over(tmp_path: Path) -> None:
    spool = Spool(tmp_path, lost=lambda _: None)
    spool.append(b"no record\n")
    assert Backlog(spool, tmp_path).lag() == 0
