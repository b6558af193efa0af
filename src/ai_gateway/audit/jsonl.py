"""Records as JSON lines in files that are rotated by size, each file a chain of its own.

A line is `{"chain":...,"seq":...,"hash":...,"record":{...}}`; the hash covers the record's bytes as they
stand. A batch that the disk does not take whole is taken back, so that a file never ends in half a line.
"""

import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Raw, Struct

from ai_gateway.courier import Loss
from ai_gateway.hash_chain import Chain, Verifier
from ai_gateway.model.audit import AuditRecord, ChainReport

from .sink import CourierSink

_NAME = re.compile(r"audit-\d{8}T\d{6}-[0-9a-f]{16}\.jsonl")
_encode = msgspec.json.Encoder().encode


class _Line(Struct):
    chain: str
    seq: int
    hash: str
    record: Raw


class _Id(Struct):
    id: str


class JsonlSink(CourierSink):
    name = "jsonl"

    def __init__(
        self,
        directory: Path,
        *,
        key: bytes | None,
        max_bytes: int,
        keep: int,
        written: Callable[[int], None],
        lost: Callable[[Loss, int], None],
    ) -> None:
        self._directory = directory
        self._key = key
        self._max_bytes = max_bytes
        self._keep = keep
        self._written = written
        self._file: int | None = None
        self._size = 0
        self._chain = Chain(key)
        super().__init__(self._write, batch=256, every=0.2, lost=lost)

    def close(self, seconds: float) -> None:
        super().close(seconds)
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write(self, records: list[AuditRecord]) -> None:
        file = self._open()
        position = self._chain.position
        data = bytearray()
        for record in records:
            content = _encode(record)
            link = self._chain.link(content)
            data += _encode(_Line(link.chain, link.seq, link.hash, Raw(content))) + b"\n"
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(file, view) :]
            os.fdatasync(file)
        except OSError:
            self._chain.rewind(position)
            os.ftruncate(file, self._size)
            raise
        self._size += len(data)
        self._written(len(records))

    def _open(self) -> int:
        if self._file is not None and self._size < self._max_bytes:
            return self._file
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._directory.mkdir(parents=True, exist_ok=True)
        self._chain = Chain(self._key)
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        path = self._directory / f"audit-{stamp}-{self._chain.name}.jsonl"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL, 0o600)
        self._size = 0
        for old in files_in(self._directory)[: -self._keep]:
            old.unlink(missing_ok=True)
        return self._file


def files_in(directory: Path) -> list[Path]:
    """Oldest first."""
    if not directory.is_dir():
        return []
    return sorted(path for path in directory.iterdir() if _NAME.fullmatch(path.name))


def verify_file(path: Path, key: bytes | None) -> ChainReport:
    """Raises OSError."""
    chain = path.stem.rpartition("-")[2]
    verifier = Verifier(key, chain)
    bad: list[int] = []

    def lines() -> Iterator[tuple[str, int, str, bytes]]:
        decode = msgspec.json.Decoder(_Line).decode
        with path.open("rb") as file:
            for number, text in enumerate(file, 1):
                try:
                    line = decode(text)
                    id = msgspec.json.decode(line.record, type=_Id).id
                except msgspec.DecodeError:
                    bad.append(number)
                    continue
                yield id, line.seq, line.hash, bytes(line.record)

    verifier.follow(lines())
    report = verifier.finish(None, None)
    report.faults.extend(f"line {number} cannot be read" for number in bad)
    return report
