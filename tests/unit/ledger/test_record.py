"""A call's line: exact money, ids that sort by time, names fit for any database."""

from decimal import Decimal
from time import time

import msgspec
import pytest

from ai_gateway.ledger.record import (
    UsageRecord,
    is_accountable,
    is_record,
    new_call_id,
    record_of,
    time_of,
)
from ai_gateway.model.call import Attempt, Caller, Outcome, Request, Target
from ai_gateway.model.trace import Trace
from ai_gateway.model.usage import Usage


def outcome(**fields: object) -> Outcome:
    request = Request(
        id="r", operation="chat", dialect="openai_chat", endpoint="/v1/chat/completions", body=b"",
        headers={}, received=0.0,
    )  # fmt: skip
    caller = Caller(tenant="t", user="u")
    return Outcome(**{"request": request, "call_id": new_call_id(), "caller": caller, **fields})  # type: ignore[arg-type]


def read(of: Outcome) -> UsageRecord:
    line = record_of(of, 0.25, "v1")
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert is_record(line)
    return msgspec.json.decode(line, type=UsageRecord)


def test_ids_sort_as_their_calls_came_and_tell_the_time() -> None:
    ids = [new_call_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert abs(time_of(ids[0]) / 1000 - time()) < 2
    assert [id[:12] for id in ids] == sorted(id[:12] for id in ids)


@pytest.mark.parametrize("cost", ["0", "0.0035", "0.000000037500", "123.456789012345", "9000000"])
def test_money_is_exact(cost: str) -> None:
    record = read(outcome(cost=Decimal(cost)))
    assert record.cost_pico is not None
    assert Decimal(record.cost_pico) / 10**12 == Decimal(cost)
    assert record.price_version == "v1"


@pytest.mark.parametrize(
    "name", ["gpt-4o", "a\x00b", "line\nbreak", "\ud800", "x" * 10_000, "名前", "\x1b[31m", ""]
)
def test_any_name_makes_one_printable_bounded_name(name: str) -> None:
    record = read(outcome(requested_model=name, target=Target(provider="p", model=name)))
    assert len(record.requested_model) <= 256
    assert record.requested_model.isprintable()
    assert record.model == record.requested_model
    if name.isprintable():
        assert record.requested_model == name[:256]


def test_all_that_is_known_of_a_call_is_in_its_own_column() -> None:
    of = outcome(
        caller=Caller(tenant="t", user="u", key_id="k", tags=("a=1", "a=1", "b=2")),
        requested_model="asked", target=Target(provider="p", model="m"), stream=True, status=502,
        usage_known=True, route="smart", error="upstream", cache="semantic", cache_key="stored",
        similarity=0.98765, cost=Decimal("0.000001"), saved=Decimal("0.000002"),
        usage=Usage(
            input_tokens=1, output_tokens=2, cache_read_tokens=3, cache_write_5m_tokens=4,
            cache_write_1h_tokens=5, reasoning_tokens=6, input_audio_tokens=7, output_audio_tokens=8,
        ),
        upstream_seconds=0.125, first_token_seconds=0.0625, experiment="e", variant="v",
        shadow_of="s", trace=Trace(trace_id=255, span_id=1), stages=[("admit", 0.0, 0.5)],
        attempts=[Attempt(target=Target(provider="p", model="m"), started=0.5, seconds=1, status=502)],
    )  # fmt: skip
    assert msgspec.json.decode(msgspec.json.encode(read(of))) == {
        "id": of.call_id, "at": time_of(of.call_id), "tenant": "t", "user": "u", "request_id": "r",
        "operation": "chat", "endpoint": "/v1/chat/completions", "requested_model": "asked",
        "provider": "p", "model": "m", "stream": True, "status": 502, "attempts": 1,
        "usage_known": True, "input_tokens": 1, "output_tokens": 2, "cache_read_tokens": 3,
        "cache_write_tokens": 9, "reasoning_tokens": 6, "audio_tokens": 15, "duration_us": 250_000,
        "upstream_us": 125_000, "key_id": "k", "route": "smart", "error": "upstream",
        "cache": "semantic", "cost_pico": 1_000_000, "saved_pico": 2_000_000, "price_version": "v1",
        "first_token_us": 62_500, "tags": '["a=1","b=2"]', "experiment": "e", "variant": "v",
        "shadow_of": "s", "trace_id": f"{255:032x}", "cache_key": "stored", "similarity": 9876,
        "course": [[["admit", 0, 500_000]], [["p", "m", 500_000, 250_000, 502, None]]],
    }  # fmt: skip


TARGET = Target(provider="p", model="m")


@pytest.mark.parametrize(
    ("fields", "belongs"),
    [
        ({"status": 200, "attempts": [Attempt(target=TARGET, started=0)]}, True),
        ({"status": 502, "attempts": [Attempt(target=TARGET, started=0)]}, True),
        ({"status": 200, "cache": "hit"}, True),
        ({"status": 200}, True),
        ({"status": 429}, False),
        ({"status": 401, "caller": None}, False),
    ],
)
def test_what_belongs_into_the_ledger(fields: dict[str, object], belongs: bool) -> None:
    assert is_accountable(outcome(**fields)) is belongs


@pytest.mark.parametrize("line", [b"", b"{}", b"no record", b'{"id": 5}', b"\xff", b"[]"])
def test_what_is_no_record_is_known_for_none(line: bytes) -> None:
    assert not is_record(line)
