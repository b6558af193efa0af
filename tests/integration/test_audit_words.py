"""SQLite's index of the audit's words follows the records, and no search misses what it has not reached."""

from pathlib import Path

import pytest
import pytest_asyncio
from msgspec.structs import replace
from sqlalchemy import text

from ai_gateway.audit.bodies import Bodies
from ai_gateway.audit.database import DatabaseSink
from ai_gateway.audit.record import record_of
from ai_gateway.audit.redact import Redactor
from ai_gateway.audit.search import AuditSearch, Filters
from ai_gateway.model.audit import AuditRecord, Redaction
from ai_gateway.storage.database import Database, database_url
from tests.unit.telemetry.test_metrics import outcome_of

BODIES = Bodies(Redactor(Redaction()), 65536)


def record(number: int, words: str) -> AuditRecord:
    made = record_of(outcome_of(call_id=f"{number:032x}"), "full", BODIES)
    return replace(made, at=number, request=f'{{"content":"{words} n{number}"}}', response=words)


@pytest_asyncio.fixture
async def database(tmp_path: Path):
    found = Database(database_url(None, tmp_path))
    await found.open()
    yield found
    await found.close()


async def kept(database: Database, count: int, first: int = 1) -> None:
    sink = DatabaseSink(database, key=None, written=lambda _: None, lost=lambda *_: None)
    await sink._store([record(first + n, "zebra crossing") for n in range(count)])


async def indexed(database: Database) -> int:
    async with database.read() as connection:
        return int(
            (await connection.execute(text("SELECT count(*) FROM audit_text_docsize"))).scalar()
            or 0
        )


async def found(search: AuditSearch, words: str) -> int:
    return len((await search.page(Filters(text=words), 10_000)).data)


async def test_a_search_brings_the_index_up_to_date(database: Database) -> None:
    await kept(database, 600)
    assert await indexed(database) == 0
    search = AuditSearch(database)
    assert await found(search, "crossing n599") == 1
    assert await indexed(database) == 600
    assert await found(search, "zebra") == 600


async def test_records_that_the_index_has_not_reached_are_read_through(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await kept(database, 30)
    search = AuditSearch(database)
    monkeypatch.setattr("ai_gateway.audit.words._BEFORE_A_SEARCH", 10)
    monkeypatch.setattr("ai_gateway.audit.words._CHUNK", 10)
    assert await found(search, "zebra") == 30
    assert await indexed(database) == 10
    for words, count in (
        ("n5", 1),
        ("n29", 1),
        ("n29 zebra", 1),
        ("n29 giraffe", 0),
        ("100%", 0),
        ("n_9", 0),
    ):
        assert await found(search, words) == count, words


@pytest.mark.parametrize("reached", [0, 4, 10])
async def test_letting_go_leaves_the_index_sound_wherever_it_is(
    database: Database, monkeypatch: pytest.MonkeyPatch, reached: int
) -> None:
    await kept(database, 10)
    search = AuditSearch(database)
    if reached:
        await search.words._index(reached)
    assert await search.let_go(days=6 / 86_400_000, now=13 / 1000) == 6
    await kept(database, 5, first=11)
    assert await found(search, "zebra") == 9
    assert await found(search, "n3") == 0
    assert await found(search, "n12") == 1
    async with database.write() as connection:
        await connection.execute(
            text("INSERT INTO audit_text(audit_text) VALUES ('integrity-check')")
        )
