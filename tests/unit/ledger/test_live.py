"""New calls, as pages that look on are told of them."""

import asyncio
import json
from collections.abc import AsyncGenerator, Container
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from ai_gateway.edge.admin import live
from ai_gateway.ledger.query import LedgerQueries
from ai_gateway.model.usage_report import CallRecord


def record(id: str, tenant: str = "acme") -> CallRecord:
    return CallRecord(
        id=id, at=datetime.now(UTC), tenant=tenant, user="u", key=None, request_id="r",
        operation="chat", endpoint="/", route=None, requested_model="m", provider="p", model="m",
        stream=False, status=200, error=None, cache=None, attempts=1, usage_known=True,
        input_tokens=0, output_tokens=0, cache_read_tokens=0, cache_write_tokens=0,
        reasoning_tokens=0, audio_tokens=0, cost_usd=None, saved_usd=None, price_version=None,
        duration_ms=1, upstream_ms=1, first_token_ms=None, tags=(),
    )  # fmt: skip


class Records:
    def __init__(self, *records: CallRecord) -> None:
        self.records = list(records)
        self.looks = 0

    async def new_calls(
        self, tenant: str | None, known: Container[str], *, looked_at: int, most: int
    ) -> tuple[list[str], list[CallRecord]]:
        self.looks += 1
        newest = sorted(self.records, key=lambda one: one.id, reverse=True)
        fresh = [one for one in newest[:looked_at] if one.id not in known]
        fresh = [one for one in fresh if tenant in (None, one.tenant)]
        return [one.id for one in fresh], fresh[:most]


async def told(events: AsyncGenerator[bytes, None]) -> list[str]:
    async for event in events:
        if event.startswith(b"data: "):
            return [one["id"] for one in json.loads(event[6:])]
    return []


async def begun(records: Records, watched: live.LiveCalls, tenant: str | None = None) -> Any:
    events = watched.events(cast(LedgerQueries, records), tenant)
    assert b"begun" in await anext(events)
    return events


async def test_twenty_pages_cost_one_look_a_second() -> None:
    records, watched = Records(record("1")), live.LiveCalls()
    pages = [await begun(records, watched) for _ in range(20)]
    records.records.append(record("2"))
    assert await asyncio.gather(*map(told, pages)) == [["2"]] * 20
    assert records.looks == 2


async def test_a_long_call_shows_though_later_ones_ended_before_it() -> None:
    records, watched = Records(record("1"), record("3")), live.LiveCalls()
    page = await begun(records, watched)
    records.records.append(record("2"))
    assert await told(page) == ["2"]


async def test_a_tenant_hears_of_its_own_calls_only() -> None:
    records, watched = Records(), live.LiveCalls()
    page = await begun(records, watched, "acme")
    records.records += [record("1", "rival"), record("2"), record("3", "rival")]
    assert await told(page) == ["2"]


async def test_of_a_flood_the_newest_are_told() -> None:
    records, watched = Records(), live.LiveCalls()
    page = await begun(records, watched)
    records.records += [record(f"{number:03}") for number in range(450)]
    assert await told(page) == [f"{number:03}" for number in range(449, 349, -1)]
    records.records.append(record("450"))
    assert await told(page) == ["450"]


async def test_nothing_is_looked_at_for_pages_that_are_closed() -> None:
    records, watched = Records(), live.LiveCalls()
    page = await begun(records, watched)
    await page.aclose()
    assert watched._lists == {}  # pyright: ignore[reportPrivateUsage]


async def test_a_stream_ends_so_that_its_session_is_looked_at_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "_SECONDS", 0)
    assert await told(await begun(Records(), live.LiveCalls())) == []
