"""The tables are what the migrations make; the ledger's sums are those of its records."""

import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ai_gateway.ledger.query import LedgerQueries
from ai_gateway.model.errors import GatewayError
from ai_gateway.storage.database import Database, database_url


async def test_the_migrations_make_the_declared_tables(opened: Database) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from ai_gateway.storage.tables import metadata

    def declared(thing: Any, name: str | None, kind: str, reflected: bool, other: Any) -> bool:
        # The audit's word index is each database's own kind of thing, which SQLAlchemy cannot declare.
        return name != "audit_search" and not (name or "").startswith("audit_text")

    def compare(connection: Any) -> list[Any]:
        options = {"compare_type": True, "include_object": declared}
        context = MigrationContext.configure(connection, opts=options)
        return compare_metadata(context, metadata)

    async with opened.read() as connection:
        differences = await connection.run_sync(compare)
    # SQLite tells of a unique column by an index without a name.
    assert [
        d for d in differences if "uq" not in str(d).lower() and "unique" not in str(d).lower()
    ] == []


async def test_opening_again_changes_nothing_and_imports_no_alembic(opened: Database) -> None:
    from ai_gateway.storage.migrate import current, is_current, newest

    async with opened.read() as connection:
        assert await connection.run_sync(current) == newest()
        assert await connection.run_sync(is_current)


names = st.sampled_from(["a", "b"])
records = st.fixed_dictionaries(
    {
        "id": st.integers(0, 15).map(lambda n: f"{1_700_000_000_000 + n * 1_800_000:012x}{n:020x}"),
        "tenant": names,
        "user": names,
        "key_id": st.one_of(st.none(), names),
        "route": st.one_of(st.none(), names),
        "tags": st.one_of(st.none(), st.lists(names, unique=True, max_size=2).map(json.dumps)),
        "model": names,
        "provider": names,
        "status": st.sampled_from([200, 500]),
        "error": st.one_of(st.none(), st.just("upstream")),
        "cache": st.one_of(st.none(), st.sampled_from(["hit", "miss"])),
        "cost_pico": st.one_of(st.none(), st.integers(0, 10**13)),
        "input_tokens": st.integers(0, 10**6),
    }
)


def whole(record: dict[str, Any]) -> dict[str, Any]:
    return {
        "at": int(record["id"][:12], 16), "request_id": "r", "operation": "chat",
        "endpoint": "/v1/chat/completions", "requested_model": "m", "stream": False, "attempts": 1,
        "usage_known": True, "output_tokens": 1, "cache_read_tokens": 0, "cache_write_tokens": 0,
        "reasoning_tokens": 0, "audio_tokens": 0, "duration_us": 5, "upstream_us": 4, **record,
    }  # fmt: skip


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.lists(records, max_size=8), max_size=5))
async def test_however_often_batches_come_each_record_counts_once(
    opened: Database, batches: list[list[dict[str, Any]]]
) -> None:
    from sqlalchemy import text

    from ai_gateway.ledger.store import keep

    async with opened.write() as connection:
        await connection.execute(text("DELETE FROM usage"))
        await connection.execute(text("DELETE FROM usage_hourly"))
    # Of records with one id, the first is the one; so give them all the same content.
    first: dict[str, dict[str, Any]] = {}
    for batch in batches:
        for record in batch:
            first.setdefault(record["id"], record)
    for batch in [*batches, *batches[:1]]:
        same = [whole(first[record["id"]]) for record in batch]
        async with opened.write() as connection:
            await keep(connection, json.dumps(same))
    expected: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0, 0, 0])
    for record in first.values():
        hour = str(int(record["id"][:12], 16) // 3_600_000)
        for scope, tenant, subject in (
            ("all", "", ""),
            ("tenant", record["tenant"], ""),
            ("key", record["tenant"], record["key_id"]),
            ("user", record["tenant"], record["user"]),
            ("route", record["tenant"], record["route"]),
            *(("tag", record["tenant"], tag) for tag in json.loads(record["tags"] or "[]")),
        ):
            if subject is None:
                continue
            sums = expected[scope, tenant, subject, hour, record["provider"], record["model"]]
            sums[0] += 1
            sums[1] += record["input_tokens"]
            sums[2] += record["cost_pico"] or 0
    async with opened.read() as connection:
        rows = (
            await connection.execute(
                text(
                    "SELECT scope, tenant, subject, hour, provider, model, calls, input_tokens, cost_pico "
                    "FROM usage_hourly"
                )
            )
        ).all()
    found = {(*row[:3], str(row[3]), *row[4:6]): list(row[6:]) for row in rows}
    assert found == dict(expected)


async def test_records_and_sums_go_by_age(opened: Database) -> None:
    from ai_gateway.ledger.retain import let_go
    from ai_gateway.ledger.store import keep

    now = time()
    ages = (0.5, 5, 40, 400)
    batch = [
        whole({
            "id": f"{int((now - days * 86400) * 1000):012x}{number:020x}", "tenant": "a", "user": "u",
            "key_id": None, "model": "m", "provider": "p", "status": 200, "input_tokens": 1,
            "cost_pico": 10**12,
        })
        for number, days in enumerate(ages)
    ]  # fmt: skip
    async with opened.write() as connection:
        await keep(connection, json.dumps(batch))
    queries = LedgerQueries(opened)
    assert await let_go(opened, days=30, hourly_days=100, now=now) == 2
    page = await queries.calls(tenant="a", limit=10)
    assert len(page.data) == 2
    assert (await queries.spent("tenant", "a", "", 0))[0] == 3
    assert (await queries.spent("user", "a", "u", now - 10 * 86400))[0] == 2
    assert (await queries.spent("user", "b", "u", 0)) == (0, 0)
    assert await let_go(opened, days=0, hourly_days=0, now=now) == 0


async def test_more_groups_than_an_answer_can_hold_are_refused_by_name(
    opened: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ai_gateway.ledger import query
    from ai_gateway.ledger.store import keep

    monkeypatch.setattr(query, "_MOST_GROUPS", 2)
    at = int(time() * 1000)
    batch = [
        whole(
            {
                "id": f"{at:012x}{n:020x}",
                "tenant": "a",
                "user": f"u{n}",
                "key_id": None,
                "model": "m",
                "provider": "p",
                "status": 200,
                "input_tokens": 1,
            }
        )
        for n in range(3)
    ]
    async with opened.write() as connection:
        await keep(connection, json.dumps(batch))
    end = datetime.now(UTC) + timedelta(hours=1)
    with pytest.raises(GatewayError, match="more than 2 groups") as refused:
        await LedgerQueries(opened).report(
            scope="tenant", tenant="a", start=end - timedelta(days=1), end=end, by=["user"]
        )
    assert (refused.value.status, refused.value.field) == (400, "group_by")


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (None, "sqlite+aiosqlite:////data/gateway.db"),
        ("sqlite:////var/db.sqlite", "sqlite+aiosqlite:////var/db.sqlite"),
        ("postgres://u:p@h/d", "postgresql+asyncpg://u:p@h/d"),
        ("postgresql://u@h:5/d?sslmode=require", "postgresql+asyncpg://u@h:5/d?ssl=require"),
    ],
)
def test_addresses_of_databases(given: str | None, found: str) -> None:
    assert database_url(given, Path("/data")) == found


@pytest.mark.parametrize("given", ["mysql://h/d", "nonsense", ""])
def test_other_databases_are_refused(given: str) -> None:
    with pytest.raises(ValueError, match="postgresql://"):
        database_url(given, Path("/data"))


async def test_a_database_in_memory_opens() -> None:
    database = Database(database_url("sqlite:///:memory:", Path()))
    await database.open()
    await database.close()
