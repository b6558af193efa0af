"""What the dashboard asks of the ledger: sums by anything, percentiles, calls by what no index knows."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.json import encode

from ai_gateway.ledger import calls
from ai_gateway.ledger.latency import SAMPLE, LatencyFilter
from ai_gateway.ledger.query import CallFilter, LedgerQueries
from ai_gateway.ledger.record import AttemptRun, Course, StepRun, UsageRecord
from ai_gateway.storage.database import Database
from tests.integration.test_admin import ADMIN
from tests.serving import ask, serving

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


def record(number: int, at: datetime = NOON, **more: Any) -> UsageRecord:
    milliseconds = int(at.timestamp() * 1000)
    given: dict[str, Any] = {
        "id": f"{milliseconds:012x}{number:020x}", "at": milliseconds, "tenant": "acme", "user": "u",
        "request_id": "r", "operation": "chat", "endpoint": "/", "requested_model": "m",
        "provider": "p", "model": "m", "stream": False, "status": 200, "attempts": 1,
        "usage_known": True, "input_tokens": 1, "output_tokens": 1, "cache_read_tokens": 0,
        "cache_write_tokens": 0, "reasoning_tokens": 0, "audio_tokens": 0, "duration_us": 1000,
        "upstream_us": 900, "cost_pico": 10**12, **more,
    }  # fmt: skip
    return UsageRecord(**given)


async def keep(database: Database, *records: UsageRecord) -> LedgerQueries:
    from ai_gateway.ledger.store import keep as kept

    async with database.write() as connection:
        await kept(connection, encode(records).decode())
    return LedgerQueries(database)


async def test_a_calls_course_is_read_however_its_line_held_it(opened: Database) -> None:
    course = Course(
        (StepRun("admit", 0, 2000),), (AttemptRun("p", "m", 3000, 5000, 502, 're"s\n'),)
    )
    lines = [record(1, course=course), record(2, course=encode(course).decode()), record(3)]
    await keep(opened, *lines)
    nested, text, none = [await calls.one_call(opened, line.id) for line in lines]
    assert nested is not None
    assert text is not None
    assert none is not None
    assert (nested.steps, nested.asked) == (text.steps, text.asked)
    assert [(s.name, s.start_ms, s.end_ms) for s in nested.steps] == [("admit", 0, 2)]
    assert [(a.status, a.error) for a in nested.asked] == [(502, 're"s\n')]
    assert (none.steps, none.asked) == ([], [])


DAY = {"start": NOON - timedelta(hours=12), "end": NOON + timedelta(hours=12)}


async def test_sums_are_kept_by_route_and_by_tag(opened: Database) -> None:
    ledger = await keep(
        opened,
        record(1, route="smart", tags='["team=a","env=x"]'),
        record(2, route="smart", tags='["team=b"]', tenant="other"),
        record(3, tags='["team=a"]'),
        record(4),
    )

    async def sums(by: Any, **more: Any) -> dict[str, int]:
        asked = {"scope": "all", "tenant": None, **DAY, **more}
        found = await ledger.report(by=[by], **asked)
        return {getattr(group, by): group.requests for group in found.groups}

    assert await sums("route") == {"smart": 2}
    assert await sums("tag") == {"team=a": 2, "team=b": 1, "env=x": 1}
    assert await sums("tag", scope="tenant", tenant="other") == {"team=b": 1}
    assert await sums("tenant", scope="tag", subject="team=a") == {"acme": 2}
    assert await sums("model", scope="route", subject="smart", tenant="acme") == {"m": 1}
    assert await sums("tag", provider="nobody") == {}
    whole = await ledger.report(scope="all", tenant=None, by=["tag"], **DAY)
    assert whole.total.requests == 4


async def test_a_day_begins_where_the_viewer_is(opened: Database) -> None:
    late = NOON.replace(hour=23)
    ledger = await keep(opened, record(1, late), record(2, late + timedelta(hours=3)))
    for offset, days in ((0, [1, 1]), (-2, [1, 1]), (-3, [2]), (1, [2])):
        found = await ledger.report(
            scope="all", tenant=None, start=NOON - timedelta(days=1), end=NOON + timedelta(days=2),
            by=["day"], utc_offset=offset,
        )  # fmt: skip
        assert [group.requests for group in found.groups] == days, offset
        assert all(
            group.start is not None and (group.start.hour + offset) % 24 == 0
            for group in found.groups
        )


async def test_percentiles_are_those_of_the_sorted_times(opened: Database) -> None:
    """Against the plain reckoning, over hours with few calls and with none."""
    times = [(n * 7919) % 1000 + 1 for n in range(137)]
    records = [
        record(
            n, NOON + timedelta(seconds=n * 20), duration_us=time * 1000, model=f"m{n % 3}",
            first_token_us=time * 100 if n % 2 else None,
        )
        for n, time in enumerate(times)
    ]  # fmt: skip
    ledger = await keep(opened, *records)
    found = await ledger.latency(
        LatencyFilter(),
        start=NOON,
        end=NOON + timedelta(hours=3),
        step=timedelta(hours=1),
        by="model",
    )

    def at(values: list[int], part: float) -> float | None:
        ordered = sorted(values)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))] / 1000 if ordered else None

    def check(step: Any, chosen: list[UsageRecord]) -> None:
        whole = [one.duration_us for one in chosen]
        first = [one.first_token_us for one in chosen if one.first_token_us is not None]
        assert step.calls == len(chosen)
        assert (step.p50_ms, step.p95_ms, step.p99_ms) == tuple(
            at(whole, p) for p in (0.5, 0.95, 0.99)
        )
        assert step.first_token_p50_ms == at(first, 0.5)
        assert step.first_token_p95_ms == at(first, 0.95)

    check(found.total, records)
    assert [step.calls for step in found.steps] == [137, 0, 0]
    assert found.steps[1].p50_ms is None
    assert sorted(group.name for group in found.groups) == ["m0", "m1", "m2"]
    for group in found.groups:
        check(group.total, [one for one in records if one.model == group.name])


async def test_a_busy_step_is_seen_from_its_beginning_to_its_end(opened: Database) -> None:
    """Slow in its first half, quick in its second: the last calls alone would not show it."""
    records = [
        record(n, NOON + timedelta(seconds=n), duration_us=9000 if n < 1800 else 1000)
        for n in range(3600)
    ]
    ledger = await keep(opened, *records)
    found = await ledger.latency(
        LatencyFilter(), start=NOON, end=NOON + timedelta(hours=1), step=timedelta(hours=1)
    )
    assert SAMPLE * 0.9 <= found.total.calls <= SAMPLE
    assert found.total.p95_ms == 9.0


async def test_latency_is_of_whom_was_asked_for(opened: Database) -> None:
    ledger = await keep(
        opened,
        record(1, duration_us=1000, key_id="k", route="r"),
        record(2, duration_us=2000, tenant="other", user="v", provider="q"),
        record(3, duration_us=3000, cache="hit", provider="q"),
    )

    async def calls_of(**wanted: Any) -> int:
        found = await ledger.latency(
            LatencyFilter(**wanted),
            start=NOON,
            end=NOON + timedelta(hours=1),
            step=timedelta(hours=1),
        )
        return found.total.calls

    assert await calls_of() == 3
    for wanted in (
        {"tenant": "other"},
        {"key": "k"},
        {"user": "v"},
        {"route": "r"},
        {"provider": "p"},
    ):
        assert await calls_of(**wanted) == 1, wanted
    assert await calls_of(tenant="acme", user="v") == 0
    found = await ledger.latency(
        LatencyFilter(), start=NOON, end=NOON + timedelta(hours=1), step=timedelta(hours=1), by="provider"
    )  # fmt: skip
    # What the cache answered says nothing of a provider.
    assert {group.name: group.total.calls for group in found.groups} == {"p": 1, "q": 1}


FITTING = [
    (CallFilter(failed=True), [2]),
    (CallFilter(failed=False), [1, 3, 4]),
    (CallFilter(cache="hit"), [3]),
    (CallFilter(provider="q"), [4]),
    (CallFilter(model="asked"), [1]),
    (CallFilter(model="given"), [2]),
    (CallFilter(route="smart"), [3]),
    (CallFilter(tag="team=a"), [1]),
    (CallFilter(tag="team"), []),
    (CallFilter(tag="%"), []),
    (CallFilter(tag='x="quoted"'), [2]),
    (CallFilter(failed=True, provider="q"), []),
]


@pytest.mark.parametrize(("fitting", "numbers"), FITTING)
async def test_calls_are_found_by_what_they_are(
    opened: Database, fitting: CallFilter, numbers: list[int]
) -> None:
    ledger = await keep(
        opened,
        record(1, requested_model="asked", tags='["team=a","x=y"]'),
        record(2, model="given", error="upstream", tags=json.dumps(['x="quoted"', "team=ab"])),
        record(3, cache="hit", route="smart"),
        record(4, provider="q"),
    )
    page = await ledger.calls(tenant=None, limit=10, fitting=fitting)
    assert sorted(int(one.id[12:], 16) for one in page.data) == numbers
    assert page.next is None


async def test_a_rare_call_is_found_page_by_page(
    opened: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "_LOOKED_THROUGH", 5)
    records = [record(n, provider="rare" if n in (0, 7) else "p") for n in range(12)]
    ledger = await keep(opened, *records)
    found: list[str] = []
    before, pages = None, 0
    while pages == 0 or before is not None:
        page = await ledger.calls(
            tenant=None, limit=10, before=before, fitting=CallFilter(provider="rare")
        )
        found += [one.id for one in page.data]
        before, pages = page.next, pages + 1
    assert found == [records[7].id, records[0].id]
    assert pages == 3


async def test_new_calls_are_those_that_are_not_known(opened: Database) -> None:
    records = [record(number, tenant="acme" if number % 2 else "other") for number in range(1, 7)]
    ledger = await keep(opened, *records)
    ids = [one.id for one in reversed(records)]
    found, calls = await ledger.new_calls(None, {ids[1], ids[3]}, looked_at=5, most=2)
    assert found == [ids[0], ids[2], ids[4]]
    assert [call.id for call in calls] == [ids[0], ids[2]]
    found, calls = await ledger.new_calls("acme", (), looked_at=5, most=5)
    assert [call.id for call in calls] == found == [ids[1], ids[3], ids[5]]
    assert await ledger.new_calls(None, ids, looked_at=9, most=9) == ([], [])


async def test_stored_answers_are_told_by_what_they_saved(opened: Database) -> None:
    ledger = await keep(
        opened,
        *(record(n, cache="hit", cache_key="k1", saved_pico=10**11) for n in range(5)),
        *(
            record(n, cache="semantic", cache_key="k2", saved_pico=10**12, similarity=9_340 + n)
            for n in range(10, 13)
        ),
        record(20, cache="hit", cache_key="k3", saved_pico=10**10, tenant="other"),
        record(21, cache="miss"),
    )
    found = await ledger.cache_use(None, start=NOON - timedelta(days=1), limit=2)
    assert [(one.key, one.hits, one.semantic, str(one.saved_usd)) for one in found.entries] == [
        ("k2", 3, 3, "3"), ("k1", 5, 0, "0.5"),
    ]  # fmt: skip
    assert found.calls == 9
    own = await ledger.cache_use("other", start=NOON - timedelta(days=1), limit=2)
    assert [one.key for one in own.entries] == ["k3"]
    assert (await ledger.cache_use(None, start=NOON + timedelta(hours=1), limit=2)).calls == 0


async def test_similarities_tell_which_hits_were_reported(opened: Database) -> None:
    from ai_gateway.routing.experiment_report import Feedback
    from ai_gateway.routing.results import keep_feedback

    hits = [
        record(n, cache="semantic", cache_key="k", similarity=s)
        for n, s in enumerate((9_200, 9_249, 9_250, 9_900))
    ]
    ledger = await keep(opened, *hits)
    bad = Feedback(call=hits[0].id, score=None, label="bad_cache_hit", comment=None)
    await keep_feedback(opened, "acme", "u", bad)
    await keep_feedback(opened, "acme", "v", bad)
    await keep_feedback(opened, "other", "u", Feedback(call=hits[3].id, score=None, label="bad_cache_hit", comment=None))  # fmt: skip
    found = await ledger.similarities(None, start=NOON - timedelta(days=1))
    assert [(one.similarity, one.hits, one.reported) for one in found.steps] == [
        (0.92, 2, 1), (0.925, 1, 0), (0.99, 1, 0),
    ]  # fmt: skip
    assert (await ledger.similarities("other", start=NOON - timedelta(days=1))).steps == []


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/admin/usage?key=k&route=r", "route"),
        ("/admin/usage?tag=a=b&group_by=user", "group_by"),
        ("/admin/usage?group_by=tag,route", "group_by"),
        ("/admin/usage?user=u", "tenant"),
        ("/admin/usage?utc_offset=99", "utc_offset"),
        ("/admin/latency?group_by=user", "group_by"),
        ("/admin/calls?status=odd", "status"),
    ],
)
async def test_what_cannot_be_asked_is_named(path: str, field: str) -> None:
    async with serving({"ADMIN_KEY": ADMIN}) as running:
        got = await ask("GET", running.url + path, key=ADMIN)
    assert got.status == 400, got.body
    assert json.loads(got.body)["error"]["param"] == field
