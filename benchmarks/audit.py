"""`python -m benchmarks.audit [SECONDS] [CALLS A SECOND]`: the audit in full, kept up for a minute.

Every call goes the whole way into SQLite, its words are indexed behind it, then all is verified; then
one row is changed, which must be found.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from msgspec import Struct

from ai_gateway.audit.auditor import Auditor
from ai_gateway.audit.bodies import Bodies
from ai_gateway.audit.database import DatabaseSink
from ai_gateway.audit.redact import Redactor
from ai_gateway.audit.search import AuditSearch, Filters
from ai_gateway.courier import Loss
from ai_gateway.model.audit import Redaction
from ai_gateway.reply import KeptReply
from ai_gateway.storage.database import Database
from benchmarks.telemetry import ANSWER, an_outcome

_EVERY = 0.005
_MIB = 2**20


class Sustained(Struct):
    sent: int = 0
    kept: int = 0
    lost: int = 0
    most_waiting: int = 0
    resident_mib: list[float] = []
    """Six times, evenly."""
    cpu_seconds: float = 0.0
    verify_seconds: float = 0.0
    faults: list[str] = []
    """Of what nobody touched."""
    faults_of_a_change: list[str] = []
    found_by_word: bool = False


async def sustain(seconds: float, calls_a_second: int) -> Sustained:
    result = Sustained()

    def lost(reason: Loss, count: int) -> None:
        result.lost += count

    def written(count: int) -> None:
        result.kept += count

    with tempfile.TemporaryDirectory() as directory:
        database = Database(f"sqlite+aiosqlite:///{Path(directory) / 'gateway.db'}")
        await database.open()
        sink = DatabaseSink(database, key=b"key", written=written, lost=lost)
        auditor = Auditor("full", Bodies(Redactor(Redaction()), 65536), [sink], lost=lost)
        auditor.start()
        search = AuditSearch(database)
        following = asyncio.create_task(search.words.follow())
        begun, cpu = time.monotonic(), time.process_time()
        while (now := time.monotonic() - begun) < seconds:
            while result.sent < now * calls_a_second:
                outcome = an_outcome(result.sent)
                reply = auditor.watch(outcome, KeptReply(), None, None)
                await reply.whole(outcome, ANSWER)
                auditor.record(outcome)
                result.sent += 1
            result.most_waiting = max(result.most_waiting, sum(auditor.waiting.values()))
            if len(result.resident_mib) <= now / seconds * 6:
                result.resident_mib.append(_resident())
            await asyncio.sleep(_EVERY)
        await asyncio.to_thread(auditor.close, 30)
        result.cpu_seconds = time.process_time() - cpu
        following.cancel()
        begun = time.monotonic()
        result.faults = await _faults(search)
        result.verify_seconds = time.monotonic() - begun
        last = f"req_{result.sent - 1:024x}"
        page = await search.page(Filters(text="word", request_id=last), 1)
        result.found_by_word = len(page.data) == 1
        async with database.write() as connection:
            statement = "UPDATE audit SET status = 418 WHERE seq = ?"
            await connection.exec_driver_sql(statement, (result.kept // 2,))
        result.faults_of_a_change = await _faults(search)
        await database.close()
    return result


async def _faults(search: AuditSearch) -> list[str]:
    return [fault for report in await search.verify(b"key") for fault in report.faults]


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * 4096 / _MIB, 1)


def _main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    calls = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    found = asyncio.run(sustain(seconds, calls))
    print(
        f"{found.sent} sent, {found.kept} kept, {found.lost} lost; at most {found.most_waiting} waiting"
    )
    print(f"resident MiB {found.resident_mib}; {found.cpu_seconds / found.sent * 1e6:.0f} us of CPU a call, "
          "this generator and the index of words included")  # fmt: skip
    print(f"verified in {found.verify_seconds:.1f} s: {found.faults or 'untouched'}")
    print(f"after a change: {found.faults_of_a_change}")


if __name__ == "__main__":
    _main()
