"""A record that no database takes is lost alone, and holds up none of the others."""

import asyncio
from collections import Counter
from pathlib import Path

from msgspec.structs import replace

from ai_gateway.audit.database import DatabaseSink
from ai_gateway.audit.search import AuditSearch, Filters
from ai_gateway.courier import Loss
from ai_gateway.storage.database import Database, database_url
from tests.integration.test_audit_words import record


async def test_what_the_database_will_not_have_is_lost_alone(
    database: dict[str, str], tmp_path: Path
) -> None:
    opened = Database(database_url(database.get("DATABASE_URL"), tmp_path))
    await opened.open()
    lost: Counter[Loss] = Counter()
    kept: list[int] = []
    sink = DatabaseSink(
        opened, key=b"k", written=kept.append, lost=lambda why, count: lost.update({why: count})
    )
    sink.start()
    for number in range(1, 11):
        made = record(number, "zebra")
        # More than any database's integer.
        sink.put(replace(made, input_tokens=2**70) if number == 4 else made)
    for _ in range(400):
        if sum(kept) == 9 and lost:
            break
        await asyncio.sleep(0.05)
    assert (sum(kept), dict(lost)) == (9, {"failed": 1})
    search = AuditSearch(opened)
    assert len((await search.page(Filters(), 100)).data) == 9
    (report,) = await search.verify(b"k")
    assert (report.records, report.faults) == (9, [])
    assert sink.trouble is None
    await asyncio.to_thread(sink.close, 5)
    await opened.close()
