"""Metrics: what a call adds, what stays bounded, what a scraper reads."""

import shutil
import subprocess
from collections.abc import Sequence
from decimal import Decimal
from time import thread_time
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from ai_gateway.model.call import Attempt, Caller, Outcome, Request, Target
from ai_gateway.model.usage import Usage
from ai_gateway.telemetry.declared import INVENTED, METRICS
from ai_gateway.telemetry.metrics import Metrics
from tests.figures import Figure

REQUEST = Request(
    id="r",
    operation="chat",
    dialect="openai_chat",
    endpoint="/v1/chat/completions",
    body=b"",
    headers={},
    received=0.0,
)
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def outcome_of(
    *,
    provider: str = "openai",
    model: str = "gpt-4o",
    user: str = "anna",
    tenant: str = "acme",
    attempts: Sequence[tuple[str, str, str | None]] | None = None,
    **fields: Any,
) -> Outcome:
    target = Target(provider=provider, model=model)
    made = [(provider, model, None)] if attempts is None else attempts
    values: dict[str, Any] = {
        "request": REQUEST,
        "caller": Caller(tenant=tenant, user=user),
        "target": target,
        "status": 200,
        "usage": Usage(input_tokens=1000, output_tokens=101),
        "usage_known": True,
        "cost": Decimal("0.25"),
        "upstream_seconds": 1.5,
        "first_token_seconds": 0.5,
        "total_seconds": 1.5003,
        "attempts": [
            Attempt(target=Target(provider=name, model=of), started=0.0, error=error)
            for name, of, error in made
        ],
    }
    return Outcome(**(values | fields))


def shown(metrics: Metrics) -> dict[str, float]:
    """Samples that are not 0, by name and labels as written."""
    text = metrics.render("")[0].decode()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    pairs = (line.rsplit(" ", 1) for line in lines)
    return {name: float(value) for name, value in pairs if float(value)}


def test_a_good_stream_is_counted_everywhere() -> None:
    metrics = Metrics("1")
    metrics.observe_call(outcome_of())
    found = shown(metrics)
    labels = '{model="gpt-4o",provider="openai"}'
    assert found['llm_requests_total{model="gpt-4o",provider="openai",status="success"}'] == 1
    assert found[f"llm_request_duration_seconds_sum{labels}"] == 1.5
    assert found[f"llm_time_to_first_token_seconds_sum{labels}"] == 0.5
    assert found[f"llm_time_per_output_token_seconds_sum{labels}"] == 0.01
    assert found[f"llm_cost_usd_total{labels}"] == 0.25
    assert found['llm_tokens_used_total{model="gpt-4o",provider="openai",type="input"}'] == 1000
    assert found['gateway_tenant_requests_total{outcome="success",tenant="acme"}'] == 1
    assert found['gateway_tenant_cost_usd_total{tenant="acme"}'] == 0.25
    assert found['gateway_overhead_seconds_bucket{le="0.0005"}'] == 1


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"cache": "hit", "attempts": (), "saved": Decimal("0.5")}, "cache_hits_total"),
        ({"cache": "semantic", "attempts": ()}, "cache_hits_total"),
        ({"cache": "joined", "attempts": ()}, 'cache_requests_total{outcome="joined"}'),
        ({"cache": "hit", "attempts": (), "saved": Decimal("1")}, "cache_saved_usd_total"),
        ({"cache": "miss"}, "cache_misses_total"),
        ({"cache": "bypass"}, 'cache_requests_total{outcome="bypass"}'),
        (
            {"error": "rate_limited", "status": 429, "attempts": ()},
            'rate_limit_exceeded_total{user_id="anna"}',
        ),
        (
            {"error": "quota_exhausted", "status": 429, "attempts": ()},
            'gateway_tenant_requests_total{outcome="refused",tenant="acme"}',
        ),
        (
            {"error": "upstream", "status": 502},
            'gateway_tenant_requests_total{outcome="failed",tenant="acme"}',
        ),
        (
            {"error": "cancelled", "status": 499},
            'gateway_tenant_requests_total{outcome="cancelled",tenant="acme"}',
        ),
        ({"cost": None}, 'llm_unpriced_requests_total{model="gpt-4o",provider="openai"}'),
        (
            {"attempts": [("openai", "a", "timeout"), ("openai", "a", None)]},
            'llm_retries_total{provider="openai"}',
        ),
        (
            {"attempts": [("openai", "a", "timeout"), ("groq", "b", None)]},
            'llm_fallbacks_total{provider="openai",to_provider="groq"}',
        ),
        (
            {"attempts": [("openai", "a", "timeout"), ("groq", "b", None)]},
            'llm_attempts_total{provider="openai",status="timeout"}',
        ),
    ],
)
def test_what_became_of_a_call_shows(fields: dict[str, Any], line: str) -> None:
    metrics = Metrics("1")
    metrics.observe_call(outcome_of(**fields))
    assert shown(metrics)[line] > 0


def test_a_providers_429_is_not_a_limit_of_ours() -> None:
    metrics = Metrics("1")
    metrics.observe_call(outcome_of(error="rate_limited", status=429))
    assert not any(name.startswith("rate_limit_exceeded") for name in shown(metrics))


def crowded(count: int) -> Metrics:
    """Every label that callers can make up, `count` times over."""
    metrics = Metrics("1")
    long = "x" * 200
    for number in range(count):
        call = outcome_of(model=f"m{number}-{long}", user=f"u{number}-{long}", tenant=f"t{number}")
        metrics.observe_call(call)
        refused = outcome_of(user=f"u{number}{long}", error="rate_limited", status=429, attempts=())
        metrics.observe_call(refused)
    return metrics


def cpu_of_a_scrape(metrics: Metrics) -> float:
    """Seconds; the least of three, of this thread alone, since others work on the machine too."""
    taken: list[float] = []
    for _ in range(3):
        started = thread_time()
        metrics.render("")
        taken.append(thread_time() - started)
    return min(taken)


def test_names_that_callers_make_up_leave_the_page_small_and_quick() -> None:
    metrics = crowded(20_000)
    first = len(metrics.render(OPENMETRICS)[0])
    body = metrics.render(OPENMETRICS)[0]
    assert first < 1_000_000
    assert cpu_of_a_scrape(metrics) < 0.1
    assert b'llm_requests_total{model="other",provider="openai",status="success"}' in body
    assert b'rate_limit_exceeded_total{user_id="other"}' in body
    assert b'gateway_tenant_requests_total{outcome="success",tenant="other"}' in body
    found = shown(metrics)
    counted = sum(v for n, v in found.items() if n.startswith("llm_requests_total"))
    assert counted == 20_000


@pytest.mark.slow
def test_a_million_users_and_models_leave_the_page_small_and_quick(figure: Figure) -> None:
    metrics = crowded(1_000_000)
    figure("the page", f"{len(metrics.render('')[0]) / 1000:.0f} kB")
    assert len(metrics.render("")[0]) < 1_000_000
    assert cpu_of_a_scrape(metrics) < 0.1


def test_both_formats_parse_and_say_the_same() -> None:
    metrics = crowded(10)
    metrics.observe_call(
        outcome_of(user='"quoted"\n\\', error="rate_limited", status=429, attempts=())
    )
    metrics.observe_call(outcome_of(), trace_id="ab" * 16)
    text, kind = metrics.render("text/plain")
    assert kind.startswith("text/plain; version=0.0.4")
    open_text, open_kind = metrics.render(OPENMETRICS + ",text/plain;q=0.1")
    assert open_kind.startswith("application/openmetrics-text; version=1.0.0")
    plain = list(parse_text(text.decode()))
    opened = list(parse_openmetrics(open_text.decode()))
    volatile = ("process_", "python_gc")
    read = [
        {
            (s.name, tuple(sorted(s.labels.items())), s.value)
            for family in families
            for s in family.samples
            if not s.name.startswith(volatile)
        }
        for families in (plain, opened)
    ]
    assert read[0] == read[1]
    assert ("rate_limit_exceeded_total", (("user_id", '"quoted"\n\\'),), 1.0) in read[0]
    exemplars = [s.exemplar for f in opened for s in f.samples if s.exemplar is not None]
    assert {e.labels["trace_id"] for e in exemplars} == {"ab" * 16}
    assert b"trace_id" not in text


def test_the_workers_numbers_add_up() -> None:
    workers = [Metrics("1"), Metrics("1"), Metrics("1")]
    for number, metrics in enumerate(workers):
        for _ in range(number + 1):
            metrics.observe_call(outcome_of(cache="hit"), trace_id=f"{number:032x}")
        metrics.in_flight = number
    workers[0].others = lambda: [metrics.encode_snapshot() for metrics in workers[1:]]
    text = workers[0].render("")[0].decode()
    assert "cache_hits_total 6.0" in text
    assert 'llm_request_duration_seconds_count{model="gpt-4o",provider="openai"} 6' in text
    assert 'llm_request_duration_seconds_sum{model="gpt-4o",provider="openai"} 9.0' in text
    assert "gateway_in_flight 3.0" in text
    build = [line for line in text.splitlines() if line.startswith("gateway_build_info{")]
    assert build[0].endswith(" 1.0")
    once = float(_value(workers[0].render("")[0].decode(), "process_start_time_seconds"))
    assert float(_value(text, "process_start_time_seconds")) == once
    assert float(_value(text, "process_resident_memory_bytes")) > 3e7


def _value(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(f"{name} ")).split(" ")[1]


def test_a_wrong_number_of_labels_is_refused() -> None:
    with pytest.raises(ValueError, match="has the labels"):
        Metrics("1").counter("llm_cost_usd_total").of("openai")


def test_every_metric_is_declared_well() -> None:
    for metric in METRICS:
        assert metric.help.endswith("."), metric.name
        assert (metric.kind == "counter") == metric.name.endswith("_total"), metric.name
        assert (metric.kind == "histogram") == bool(metric.buckets), metric.name
        assert list(metric.buckets) == sorted(set(metric.buckets)), metric.name
        assert metric.most <= 1000 or not INVENTED.isdisjoint(metric.labels), metric.name
    assert len({metric.name for metric in METRICS}) == len(METRICS)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on this machine")
def test_promtool_finds_no_fault() -> None:
    metrics = crowded(3)
    metrics.observe_http("GET", "/metrics", 200, 0.1)
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=metrics.render("")[0],
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
