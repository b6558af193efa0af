"""The chain of hashes: every kind of tampering shows, nothing else does."""

from pathlib import Path

import msgspec
import pytest

from ai_gateway.audit.jsonl import JsonlSink, files_in, verify_file
from ai_gateway.audit.record import record_of
from ai_gateway.hash_chain import BEGINNING, Chain, Link, Verifier
from ai_gateway.model.audit import AuditRecord, ChainReport
from tests.unit.telemetry.test_metrics import outcome_of

from .test_redact import Bodies, Redaction, Redactor

Row = tuple[str, int, str, bytes]


def written(count: int, key: bytes | None = None) -> list[Row]:
    chain = Chain(key, "c")
    rows: list[Row] = []
    for number in range(count):
        content = b"record %d" % number
        link = chain.link(content)
        rows.append((f"id{number}", link.seq, link.hash, content))
    return rows


def verified(
    rows: list[Row], key: bytes | None = None, last: int | None = 5, head: str | None = None
) -> ChainReport:
    verifier = Verifier(key, "c")
    verifier.follow(rows)
    return verifier.finish(last, head or written(5, key)[-1][2])


@pytest.mark.parametrize("key", [None, b"key"])
def test_an_untouched_chain_has_no_faults(key: bytes | None) -> None:
    assert verified(written(5, key), key).faults == []


def test_a_changed_record_is_named() -> None:
    rows = written(5)
    rows[2] = (*rows[2][:3], b"forged")
    assert verified(rows).faults == ["the record id2 (number 3) was changed"]


def test_a_changed_record_with_a_hash_of_its_own_breaks_the_next() -> None:
    rows = written(5)
    forged = Chain(None, "c")
    forged.rewind((2, rows[1][2]))
    link: Link = forged.link(b"forged")
    rows[2] = ("id2", link.seq, link.hash, b"forged")
    assert verified(rows).faults == ["the record id3 (number 4) was changed"]


def test_missing_and_added_records_show() -> None:
    rows = written(5)
    assert verified(rows[:2] + rows[3:]).faults == ["1 records are missing before id3 (number 4)"]
    assert verified(rows[1:]).faults == ["1 records are missing before id1 (number 2)"]
    assert verified(rows[:3]).faults == ["its last 2 records are missing"]
    assert verified([*rows[:2], rows[1], *rows[2:]]).faults != []


def test_without_the_key_nobody_makes_a_chain_that_fits() -> None:
    assert (
        verified(written(5, b"other"), b"key").faults[0] == "the record id0 (number 1) was changed"
    )
    assert verified(written(5), b"key").faults != []


def record() -> AuditRecord:
    return record_of(outcome_of(call_id="0" * 32), "full", Bodies(Redactor(Redaction()), 1000))


class Written:
    def __init__(self) -> None:
        self.count = 0
        self.losses: dict[str, int] = {}

    def add(self, count: int) -> None:
        self.count += count

    def lost(self, reason: str, count: int) -> None:
        self.losses[reason] = self.losses.get(reason, 0) + count


def jsonl(directory: Path, counts: Written, **changed: int) -> JsonlSink:
    sizes = {"max_bytes": 10_000, "keep": 3} | changed
    return JsonlSink(directory, key=b"k", written=counts.add, lost=counts.lost, **sizes)


def test_jsonl_files_rotate_verify_and_show_tampering(tmp_path: Path) -> None:
    counts = Written()
    sink = jsonl(tmp_path, counts, keep=50)
    for _ in range(40):
        sink._write([record()])
    sink.close(1)
    files = files_in(tmp_path)
    assert len(files) > 2
    assert counts.count == 40
    reports = [verify_file(file, b"k") for file in files]
    assert sum(report.records for report in reports) == 40
    assert [report.faults for report in reports if report.faults] == []
    lines = files[0].read_bytes().splitlines(keepends=True)
    line = msgspec.json.decode(lines[1])
    assert line["record"]["tenant"] == "acme"
    files[0].write_bytes(b"".join([lines[0], lines[1].replace(b"acme", b"evil"), *lines[2:]]))
    assert "was changed" in verify_file(files[0], b"k").faults[0]
    files[0].write_bytes(b"".join([lines[0], *lines[2:]]))
    assert "missing" in verify_file(files[0], b"k").faults[0]


def test_old_jsonl_files_go(tmp_path: Path) -> None:
    sink = jsonl(tmp_path, Written(), max_bytes=1)
    for _ in range(10):
        sink._write([record()])
    sink.close(1)
    assert len(files_in(tmp_path)) == 3


def test_a_full_disk_loses_a_counted_batch_and_leaves_no_half_line(tmp_path: Path) -> None:
    """/dev/full takes nothing; a file limit stands for a disk that takes half."""
    counts = Written()
    sink = jsonl(tmp_path, counts)
    sink._write([record()])
    file = files_in(tmp_path)[0]
    size = file.stat().st_size
    import resource
    import signal

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, before[1]))
    try:
        for _ in range(5):
            sink.put(record())
        sink.close(5)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert counts.losses == {"failed": 5}
    assert sink.trouble is not None
    assert file.stat().st_size == size
    assert verify_file(file, b"k").faults == []


def test_a_chain_begins_where_it_says() -> None:
    assert Chain(None).position == (0, BEGINNING)
