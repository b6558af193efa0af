"""What telemetry and audit lean on goes away under load: calls do not notice, and what is dropped is counted."""

import asyncio
import json
import resource
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ai_gateway.audit.bodies import Bodies
from ai_gateway.audit.database import DatabaseSink
from ai_gateway.audit.record import record_of
from ai_gateway.audit.redact import Redactor
from ai_gateway.audit.search import AuditSearch, Filters
from ai_gateway.courier import Loss
from ai_gateway.model.audit import Redaction
from ai_gateway.storage.database import Database, database_url
from tests.faults.kill import ADMIN
from tests.faults.load import percentile
from tests.faults.test_database import Busy, busy_on, until
from tests.integration.test_readings import gauges
from tests.otlp import receiving_http
from tests.postgresql import own_postgresql
from tests.serving import ask
from tests.unit.telemetry.test_metrics import outcome_of

UNNOTICED = 0.05
"""Seconds that the 99th percentile may rise by."""


async def audited(busy: Busy) -> list[str]:
    """The request ids of all audited calls."""
    got = await ask("GET", busy.gateway.url + "/admin/audit/export", key=ADMIN)
    assert got.status == 200, got.body
    return [json.loads(line)["request_id"] for line in got.body.splitlines()]


async def complete(busy: Busy) -> bool:
    """Of calls that were answered, each is in the audit."""
    try:
        return set(busy.callers.answered) <= set(await audited(busy))
    except AssertionError:
        return False


@pytest.mark.parametrize("how", ["down", "hung"])
async def test_an_audit_whose_database_goes_and_comes_back_has_every_call_once(
    tmp_path: Path, how: str
) -> None:
    loop = asyncio.get_running_loop()
    with own_postgresql() as server:
        async with busy_on(server, tmp_path, AUDIT="full") as busy:
            await asyncio.sleep(2)
            before = loop.time()
            away = server.down() if how == "down" else server.hung()
            # In a thread: the callers share this loop, and are timed.
            await asyncio.to_thread(away.__enter__)
            try:
                await asyncio.sleep(4)
                during = loop.time()
            finally:
                await asyncio.to_thread(away.__exit__, None, None, None)
            await asyncio.sleep(0.5)
            await busy.callers.stop()
            assert busy.callers.statuses() == {200: len(busy.callers.answered)}
            await until("every call is in the audit", lambda: complete(busy))
            found = Counter(await audited(busy))
            assert set(found) == set(busy.callers.answered)
            assert set(found.values()) == {1}
            assert await dropped(busy) == 0
            got = await ask("POST", busy.gateway.url + "/admin/audit/verify", key=ADMIN)
            assert json.loads(got.body)["untouched"], got.body
    usual = percentile(busy.callers.seconds(until=before), 0.99)
    worst = percentile(busy.callers.seconds(before, during), 0.99)
    assert worst - usual < UNNOTICED, (usual, worst)


async def dropped(busy: Busy, of: str = "gateway_audit_dropped_total") -> float:
    found = await gauges(busy.gateway.url)
    return sum(value for name, value in found.items() if name.startswith(of))


async def test_beyond_the_bound_records_are_dropped_and_counted_and_the_chain_stays_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ai_gateway.audit.database._MOST_WAITING", 300)
    monkeypatch.setattr("ai_gateway.audit.database._BATCH", 50)
    bodies = Bodies(Redactor(Redaction()), 65536)
    lost: Counter[Loss] = Counter()
    kept = 0

    def written(count: int) -> None:
        nonlocal kept
        kept += count

    with own_postgresql() as server:
        database = Database(database_url(server.url(), tmp_path))
        await database.open()
        sink = DatabaseSink(
            database, key=b"k", written=written, lost=lambda why, count: lost.update({why: count})
        )
        sink.start()

        def put(first: int, count: int) -> None:
            for number in range(first, first + count):
                sink.put(record_of(outcome_of(call_id=f"{number:032x}"), "full", bodies))

        put(0, 10)
        while kept < 10:
            await asyncio.sleep(0.02)
        with server.down():
            put(10, 1000)
            await asyncio.sleep(1)
            assert sink.trouble is not None
            assert lost["full"] >= 600
        for _ in range(600):
            if kept + lost["full"] == 1010:
                break
            await asyncio.sleep(0.05)
        assert set(lost) == {"full"}
        assert kept == 1010 - lost["full"] >= 300
        page = await AuditSearch(database).page(Filters(), 10_000)
        assert len(page.data) == kept
        (report,) = await AuditSearch(database).verify(b"k")
        assert (report.faults, report.records) == ([], kept)
        await asyncio.to_thread(sink.close, 5)
        await database.close()


async def test_calls_do_not_notice_that_collector_disk_and_database_are_away_at_once(
    tmp_path: Path,
) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text("audit_options: {sinks: [database, jsonl, otlp]}\n")
    environ: dict[str, Any] = {"AUDIT": "full", "CONFIG": str(config)}
    loop = asyncio.get_running_loop()
    with own_postgresql() as server, receiving_http() as receiver:
        environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = receiver.url
        async with busy_on(server, tmp_path, **environ) as busy:
            await asyncio.sleep(3)
            before = loop.time()
            receiver.hang.set()
            # As a disk that is full: whatever file is longer than this grows no more.
            pid = busy.gateway.process.pid
            _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (16_384, hard))
            down = server.down()
            await asyncio.to_thread(down.__enter__)
            try:
                await asyncio.sleep(4)
                during = loop.time()
            finally:
                await asyncio.to_thread(down.__exit__, None, None, None)
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
                receiver.hang.clear()
            await asyncio.sleep(0.5)
            await busy.callers.stop()
            assert busy.callers.statuses() == {200: len(busy.callers.answered)}
            await until("every call is in the audit's database", lambda: complete(busy))
            assert (
                await dropped(busy, 'gateway_audit_dropped_total{reason="failed",sink="jsonl') > 0
            )
            assert (
                await dropped(busy, 'gateway_audit_dropped_total{reason="full",sink="database') == 0
            )
            assert await dropped(busy, "gateway_log_lines_dropped_total") > 0
            assert await dropped(busy, "gateway_ledger_lost_total") == 0
    usual = percentile(busy.callers.seconds(until=before), 0.99)
    worst = percentile(busy.callers.seconds(before, during), 0.99)
    assert worst - usual < UNNOTICED, (usual, worst)
