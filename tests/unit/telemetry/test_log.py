"""The log: which calls get a line, and what a closed or blocked output costs."""

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import time
from decimal import Decimal

import pytest

from ai_gateway.model.call import Caller, Outcome
from ai_gateway.model.trace import Trace
from ai_gateway.model.usage import Usage
from ai_gateway.telemetry.log import CallLine, Level, Log

from .test_metrics import outcome_of


class Count:
    def __init__(self) -> None:
        self.value = 0

    def __call__(self) -> None:
        self.value += 1


async def test_good_calls_are_sampled_and_failed_ones_are_not() -> None:
    reading, writing = os.pipe()
    dropped, out = Count(), Count()
    log = Log("info", dropped, descriptor=writing, sample=0.0, sampled_out=out)
    for _ in range(3):
        log.call(outcome_of())
    log.call(outcome_of(error="upstream", status=502, call_id="c1", route="smart", cache="miss"))
    await log.close()
    (line,) = [json.loads(text) for text in os.read(reading, 65536).splitlines()]
    assert (line["level"], line["error"], out.value, dropped.value) == ("warning", "upstream", 3, 0)
    assert (line["call_id"], line["route"], line["cache"]) == ("c1", "smart", "miss")
    os.close(reading)
    os.close(writing)


async def test_a_flood_of_unknown_keys_gets_few_lines_and_the_rest_are_counted() -> None:
    reading, writing = os.pipe()
    out = Count()
    log = Log("info", Count(), descriptor=writing, sampled_out=out)
    for _ in range(100):
        log.call(outcome_of(error="authentication", status=401))
    log.call(outcome_of(error="upstream", status=502))
    await log.close()
    lines = [json.loads(text) for text in os.read(reading, 65536).splitlines()]
    # The second may change in between, and begins anew.
    assert 20 <= len(lines) - 1 <= 40
    assert out.value == 100 - (len(lines) - 1)
    assert lines[-1]["error"] == "upstream"
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("odd", ["\x9b2J", "\x85", "\u2028", "\u202e", "\x7f", "\U000e0001"])
async def test_what_is_not_printable_is_escaped_and_means_the_same(odd: str) -> None:
    reading, writing = os.pipe()
    log = Log("info", Count(), descriptor=writing)
    log.event("info", "x", name=f"Zoë {odd} 中")
    await log.close()
    raw = os.read(reading, 65536)
    assert raw.decode().rstrip("\n").isprintable()
    assert json.loads(raw)["name"] == f"Zoë {odd} 中"
    assert "Zoë" in raw.decode()
    os.close(reading)
    os.close(writing)


def test_a_listener_hears_events_that_are_not_written() -> None:
    log = Log("error", Count())
    heard: list[str] = []
    log.listener = lambda event, fields: heard.append(f"{event} {dict(fields)}")
    log.event("info", "breaker", state="open")
    assert heard == ["breaker {'state': 'open'}"]


async def test_an_output_that_nobody_reads_does_not_hold_up_the_end() -> None:
    reading, writing = os.pipe()
    dropped = Count()
    log = Log("info", dropped, descriptor=writing)
    log.start()
    for _ in range(2000):
        log.call(outcome_of())
    await asyncio.sleep(0.3)
    log.call(outcome_of())
    started = time.monotonic()
    await log.close()
    assert time.monotonic() - started < 4
    # The last one, and what came while its thread was at the first already.
    assert 1 <= dropped.value < 2000
    os.close(reading)
    await asyncio.sleep(0.1)
    os.close(writing)


async def test_an_output_that_is_full_as_the_end_comes_does_not_hold_it_up() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, bytes(65536))
    os.set_blocking(writing, True)
    log = Log("info", Count(), descriptor=writing)
    log.event("info", "stopped")
    await asyncio.wait_for(log.close(), 4)
    os.close(reading)
    await asyncio.sleep(0.1)
    os.close(writing)


def test_a_process_whose_output_nobody_reads_ends_all_the_same() -> None:
    program = (
        "import asyncio\n"
        "from ai_gateway.telemetry.log import Log\n"
        "async def main():\n"
        "    log = Log('info', lambda: None)\n"
        "    for _ in range(5000): log.event('info', 'much', words='x' * 100)\n"
        "    await log.close()\n"
        "asyncio.run(main())\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    try:
        assert process.wait(10) == 0
    finally:
        process.kill()
        assert process.stdout is not None
        process.stdout.close()


def written(log_level: Level, outcome: Outcome, *, text: bool) -> list[str]:
    reading, writing = os.pipe()
    log = Log(log_level, Count(), descriptor=writing, text=text)
    log.call(outcome)
    log.event("info", "serving", host="::1", port=8080, why=None)
    asyncio.run(log.close())
    os.close(writing)
    found = os.read(reading, 65536).decode().splitlines()
    os.close(reading)
    return found


def test_at_debug_every_attempt_has_a_line() -> None:
    tried = outcome_of(
        attempts=[("openai", "gpt-4o", "timeout"), ("groq", "llama", None)], call_id="c1"
    )
    first, second, call, _ = [json.loads(line) for line in written("debug", tried, text=False)]
    assert (first["event"], first["number"], first["provider"], first["error"]) == (
        "attempt", 1, "openai", "timeout",
    )  # fmt: skip
    assert (second["number"], second["model"], second["call_id"]) == (2, "llama", "c1")
    assert call["event"] == "call"
    assert len(written("info", tried, text=False)) == 2


def test_a_calls_line_has_each_of_its_facts_under_its_own_name() -> None:
    full = outcome_of(
        error="upstream", error_detail="reset", status=502, route="r1", cache="miss", stream=True,
        notes=("left out",), guardrails=["pii=redact:email"], upstream_request_id="u1", call_id="c1",
        answered_model="gpt-4o-2024", stop="length", saved=Decimal("0.1"), requested_model="m",
        caller=Caller(tenant="t", user="u", key_id="k"),
        usage=Usage(input_tokens=1, output_tokens=2, cache_read_tokens=3),
        trace=Trace(trace_id=1, span_id=2),
        attempts=[("openai", "gpt-4o", "timeout"), ("groq", "llama", "reset")],
    )  # fmt: skip
    fields = json.loads(written("info", full, text=False)[0])
    assert re.fullmatch(r"[\d-]{10}T[\d:]{8}\.\d{3}Z", fields.pop("time"))
    assert fields.pop("attempts_trace").startswith("openai/gpt-4o;")
    assert fields == {
        "level": "warning", "event": "call", "request_id": "r", "call_id": "c1",
        "endpoint": "/v1/chat/completions", "status": 502, "duration_ms": 1500.3, "overhead_ms": 0.3,
        "tenant": "t", "user": "u", "key_id": "k", "requested_model": "m", "route": "r1",
        "provider": "openai", "model": "gpt-4o", "answered_model": "gpt-4o-2024", "stream": True,
        "attempts": 2, "input_tokens": 1, "output_tokens": 2, "cache_read_tokens": 3,
        "cost_usd": "0.25", "cache": "miss", "saved_usd": "0.1", "first_token_ms": 500.0,
        "stop": "length", "error": "upstream", "error_detail": "reset", "notes": ["left out"],
        "guardrails": ["pii=redact:email"], "upstream_request_id": "u1", "trace_id": f"{1:032x}",
    }  # fmt: skip


def test_text_has_what_is_looked_at_first_in_front() -> None:
    call, serving = written("info", outcome_of(requested_model="smart", call_id="c1"), text=True)
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d\.\d{3} info    call 200 /v1/chat/completions smart -> openai/gpt-4o "
        r"1500\.3 ms \(own 0\.3, first token 500\.0\) 1000\+101 tokens \$0\.25 request_id=r call_id=c1 "
        r"tenant=acme user=anna attempts=1",
        call,
    )
    assert serving.endswith(" info    serving host=::1 port=8080")


def test_text_says_all_that_json_says() -> None:
    full = outcome_of(
        error="upstream", error_detail="reset", status=502, route="r1", cache="miss", stream=True,
        notes=("left out",), guardrails=["pii=redact:email"], upstream_request_id="u1",
        answered_model="gpt-4o-2024", stop="length", saved=Decimal("0.1"), requested_model="m",
        usage=Usage(input_tokens=1, output_tokens=2, cache_read_tokens=3),
        trace=Trace(trace_id=1, span_id=2),
        attempts=[("openai", "gpt-4o", "timeout"), ("groq", "llama", "reset")],
    )  # fmt: skip
    fields = json.loads(written("info", full, text=False)[0])
    assert set(fields) >= {*CallLine.__struct_fields__} - {"key_id"}
    text = written("info", full, text=True)[0]
    for name, value in fields.items():
        if name not in ("time", "requested_model", "duration_ms"):
            shown = value if isinstance(value, str) else json.dumps(value)
            assert shown in text or shown == "true", name


@pytest.mark.parametrize(
    "name", ["a\nb", "a\r\x1b[31mred", "a b=c", 'quo"te', "snow\u2603", "\u2028", "\x9b31m", ""]
)
def test_names_that_callers_choose_neither_break_a_text_line_nor_steer_a_terminal(
    name: str,
) -> None:
    line, _ = written("info", outcome_of(user=name, requested_model=name), text=True)
    assert line.isascii()
    assert line.isprintable()
    user = line.partition(" user=")[2]
    if user.startswith('"'):
        assert json.JSONDecoder().raw_decode(user)[0] == name
