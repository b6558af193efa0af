"""Traces without a collector: context, sampling, endpoints, spans, the courier."""

import threading
import time
from collections.abc import Sequence
from decimal import Decimal

import msgspec
import pytest

from ai_gateway.courier import Courier, Loss
from ai_gateway.model.call import Attempt, Outcome, Target
from ai_gateway.model.trace import Trace, read_parent, trace_headers
from ai_gateway.model.usage import Usage
from ai_gateway.settings.otlp import read_headers, traces_endpoint
from ai_gateway.telemetry.sampling import SamplerName, Sampling
from ai_gateway.telemetry.spans import ATTRIBUTES, Span, spans_of
from ai_gateway.telemetry.tracing import Tracing

from .test_metrics import REQUEST, outcome_of

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01".encode()


def test_the_callers_context_is_read() -> None:
    trace = read_parent(PARENT, b"vendor=abc")
    assert trace is not None
    assert f"{trace.trace_id:032x}" == TRACE_ID
    assert trace.parent_id == 0xB7AD6B7169203331
    assert trace.parent_sampled
    assert trace.span_id not in (0, trace.parent_id)
    assert trace.state == "vendor=abc"


@pytest.mark.parametrize(
    ("given", "valid"),
    [
        (PARENT, True),
        (PARENT[:-2] + b"00", True),
        (b"01" + PARENT[2:] + b"-more", True),
        (PARENT + b"-more", False),
        (b"ff" + PARENT[2:], False),
        (PARENT.upper(), False),
        (PARENT.replace(TRACE_ID.encode(), b"0" * 32), False),
        (PARENT.replace(b"b7ad6b7169203331", b"0" * 16), False),
        (PARENT[:-1], False),
        (b"", False),
        (b"00-" + b"\xff" * 52, False),
        (PARENT + b"\r\nx: y", False),
    ],
)
def test_what_is_no_traceparent_begins_a_trace_of_its_own(given: bytes, valid: bool) -> None:
    assert (read_parent(given, None) is not None) == valid


def test_a_provider_is_told_the_span_that_asks_it() -> None:
    trace = read_parent(PARENT, b"vendor=abc")
    assert trace is not None
    trace.sampled = True
    assert trace_headers(trace, 0xAB) == (
        (b"traceparent", f"00-{TRACE_ID}-00000000000000ab-01".encode()),
        (b"tracestate", b"vendor=abc"),
    )


@pytest.mark.parametrize(
    ("sampler", "ratio", "parent", "kept"),
    [
        ("always_on", 1.0, None, True),
        ("always_off", 1.0, True, False),
        ("parentbased_always_on", 1.0, None, True),
        ("parentbased_always_on", 1.0, False, False),
        ("parentbased_always_off", 1.0, True, True),
        ("parentbased_always_off", 1.0, None, False),
        ("parentbased_traceidratio", 0.0, True, True),
        ("parentbased_traceidratio", 0.0, None, False),
        ("parentbased_traceidratio", 1.0, None, True),
        ("traceidratio", 0.0, True, False),
        ("traceidratio", 0.5, None, False),
        ("traceidratio", 0.6, None, True),
    ],
)
def test_samplers_decide_as_opentelemetry_names_them(
    sampler: SamplerName, ratio: float, parent: bool | None, kept: bool
) -> None:
    trace = Trace(
        trace_id=(7 << 64) + (1 << 63),
        span_id=2,
        parent_id=None if parent is None else 3,
        parent_sampled=bool(parent),
    )
    assert Sampling(sampler=sampler, ratio=ratio).at_beginning(trace) == kept


@pytest.mark.parametrize(
    ("outcome", "kept"),
    [
        (outcome_of(), False),
        (outcome_of(error="upstream", status=502), True),
        (outcome_of(error="invalid_request", status=400), False),
        (outcome_of(error="rate_limited", status=429, attempts=()), False),
        (outcome_of(total_seconds=5.0), True),
        (outcome_of(attempts=[("a", "m", "timeout"), ("b", "m", None)]), True),
    ],
)
def test_failures_second_attempts_and_slow_calls_are_kept(outcome: Outcome, kept: bool) -> None:
    assert Sampling(slow_seconds=5.0).at_end(outcome) == kept


class Kept:
    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def export(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def start(self) -> None: ...

    def close(self) -> None: ...


def test_an_unsampled_call_is_exported_only_if_the_end_says_so() -> None:
    kept = Kept()
    tracing = Tracing(Sampling(sampler="always_off"), kept)
    good, bad = outcome_of(), outcome_of(error="upstream", status=502)
    for outcome in (good, bad):
        outcome.trace = tracing.begin({b"traceparent": PARENT})
    assert tracing.finish(good) is None
    assert tracing.finish(bad) == TRACE_ID
    assert kept.outcomes == [bad]


def test_without_a_collector_the_callers_trace_is_still_known() -> None:
    tracing = Tracing(Sampling(), None)
    assert tracing.begin({}) is None
    outcome = outcome_of(trace=tracing.begin({b"traceparent": PARENT}))
    assert outcome.trace is not None
    assert tracing.finish(outcome) is None


@pytest.mark.parametrize(
    ("given", "url", "protocol", "warned"),
    [
        ({"everything": "http://c:4318"}, "http://c:4318/v1/traces", "http/protobuf", False),
        ({"everything": "http://c:4317", "protocol": "grpc"}, "http://c:4317", "grpc", False),
        ({"traces": "http://t/x", "everything": "http://c", "jaeger": "http://j:14268"},
         "http://t/x", "http/protobuf", False),
        ({"everything": "http://c", "jaeger": "http://j:14268/api/traces"},
         "http://c/v1/traces", "http/protobuf", False),
        ({"jaeger": "http://j:14268/api/traces"}, "http://j:4318/v1/traces", "http/protobuf", True),
        ({"jaeger": "j:6831"}, "http://j:4318/v1/traces", "http/protobuf", True),
        ({"jaeger": "http://j:4318"}, "http://j:4318/v1/traces", "http/protobuf", False),
        ({"jaeger": "http://j:4317"}, "http://j:4317", "grpc", False),
        ({"jaeger": "https://[::1]:4318"}, "https://[::1]:4318/v1/traces", "http/protobuf", False),
        ({"jaeger": "jaeger"}, "http://jaeger:4318/v1/traces", "http/protobuf", False),
    ],
)  # fmt: skip
def test_where_traces_go(given: dict[str, str], url: str, protocol: str, warned: bool) -> None:
    values = {"traces": None, "everything": None, "jaeger": None, "protocol": "http/protobuf"}
    found = traces_endpoint(**(values | given))  # type: ignore[arg-type]
    assert found is not None
    assert (found.url, found.protocol, found.warning is not None) == (url, protocol, warned)


def test_headers_of_a_collector_are_read_as_opentelemetry_writes_them() -> None:
    assert read_headers("Authorization=Bearer%20x, b = c,") == {
        "authorization": "Bearer x",
        "b": "c",
    }


BODY = (
    b'{"model":"m","messages":[{"role":"user","content":"canary"}],"max_completion_tokens":9,'
    b'"temperature":0.5,"top_p":0.9,"top_k":3,"frequency_penalty":0.1,"presence_penalty":0.2,'
    b'"seed":7,"n":2,"response_format":{"type":"json_schema"}}'
)


def whole_outcome() -> Outcome:
    """Everything that a span can show."""
    return outcome_of(
        request=msgspec.structs.replace(REQUEST, received=time.perf_counter() - 3.0, body=BODY),
        trace=read_parent(PARENT, None),
        attempts=[("mistral", "big", "timeout"), ("openai", "gpt-4o", None)],
        stream=True,
        route="smart",
        requested_model="smart",
        cache="miss",
        notes=("left out",),
        guardrails=["g=flag:x"],
        answered_model="gpt-4o-2024",
        stop="stop",
        upstream_request_id="up-1",
        usage=Usage(
            input_tokens=10,
            output_tokens=5,
            cache_read_tokens=3,
            cache_write_5m_tokens=2,
            reasoning_tokens=1,
        ),
        cost=Decimal("0.5"),
        total_seconds=3.0,
        first_token_seconds=0.5,
    )


def timed(outcome: Outcome) -> Outcome:
    begun = outcome.request.received
    outcome.stages.append(("admit", begun, begun + 0.1))
    for number, attempt in enumerate(outcome.attempts):
        attempt.started, attempt.seconds = begun + 0.5 + number, 1.0
        attempt.status = 200
    return outcome


def spans(outcome: Outcome) -> Sequence[Span]:
    assert outcome.trace is not None
    return spans_of(outcome, outcome.trace)


def test_a_call_is_a_tree_of_spans() -> None:
    outcome = timed(whole_outcome())
    server, admit, first, second, stream = spans(outcome)
    assert (server.name, server.kind) == ("POST /v1/chat/completions", "server")
    assert server.parent_id == 0xB7AD6B7169203331
    assert (admit.name, admit.parent_id) == ("admit", server.span_id)
    assert (first.name, first.kind, first.error) == ("chat big", "client", "timeout")
    assert (second.name, second.kind, second.error) == ("chat gpt-4o", "client", None)
    assert (stream.name, stream.parent_id) == ("stream", second.span_id)
    assert {span.trace_id for span in (server, admit, first, second, stream)} == {int(TRACE_ID, 16)}
    assert server.end - server.start == pytest.approx(3e9, abs=1e3)
    assert second.start - first.start == pytest.approx(1e9, abs=1e3)
    assert stream.start - second.start == pytest.approx(0.5e9, abs=1e3)
    assert stream.end == second.end
    assert abs(server.end - time.time_ns()) < 5e9


def test_every_attribute_is_declared_and_every_declared_one_is_made() -> None:
    kinds = {"server": "server", "client": "attempt", "internal": "step"}
    keyed = whole_outcome()
    assert keyed.caller is not None
    keyed.caller = msgspec.structs.replace(keyed.caller, key_id="key-1")
    failed = timed(outcome_of(trace=read_parent(PARENT, None), error="upstream", status=502))
    made = {
        (kinds[span.kind], name)
        for outcome in (timed(keyed), failed)
        for span in spans(outcome)
        for name in span.attributes
    }
    assert made == {(attribute.span, attribute.name) for attribute in ATTRIBUTES}


def test_what_the_caller_did_wrong_is_no_error_of_the_servers_span() -> None:
    refused = outcome_of(
        trace=read_parent(PARENT, None), error="not_found", status=404, attempts=()
    )
    server = spans(refused)[0]
    assert server.error is None
    assert server.attributes["error.type"] == "not_found"
    failed = outcome_of(trace=read_parent(PARENT, None), error="upstream", status=502)
    assert [span.error for span in spans(failed)] == ["upstream", "upstream"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"temperature":"hot"}', b"\xff", b'{"n":1}'])
def test_a_body_that_says_nothing_readable_adds_nothing(body: bytes) -> None:
    request = msgspec.structs.replace(REQUEST, body=body)
    attempt = spans(outcome_of(trace=read_parent(PARENT, None), request=request))[1]
    assert not any(name.startswith("gen_ai.request.t") for name in attempt.attributes)
    assert "gen_ai.request.choice.count" not in attempt.attributes


class Losses:
    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def __call__(self, reason: Loss, count: int) -> None:
        self.counts[reason] = self.counts.get(reason, 0) + count


def test_a_courier_delivers_in_order_and_in_batches() -> None:
    delivered: list[list[int]] = []
    losses = Losses()
    courier = Courier("t", delivered.append, most=1000, batch=10, every=60, lost=losses)
    courier.start()
    for number in range(95):
        courier.put(number)
    courier.close(5)
    assert [n for batch in delivered for n in batch] == list(range(95))
    assert max(len(batch) for batch in delivered) == 10
    assert losses.counts == {}


def test_a_courier_drops_and_counts_what_does_not_fit_what_fails_and_what_is_left() -> None:
    losses = Losses()
    stuck = threading.Event()

    def deliver(items: list[int]) -> None:
        if items == [1]:
            raise OSError("no space left")
        stuck.wait()

    courier = Courier("t", deliver, most=3, batch=1, every=0.01, lost=losses)
    courier.start()
    courier.put(1)
    while courier.trouble is None:
        time.sleep(0.001)
    assert courier.trouble == "OSError: no space left"
    courier.put(2)
    while courier.waiting:
        time.sleep(0.001)
    for number in range(5):
        courier.put(number)
    started = time.monotonic()
    courier.close(0.05)
    assert time.monotonic() - started < 1
    assert losses.counts == {"failed": 1, "full": 2, "closing": 3}
    stuck.set()


def test_targets_keep_the_conventions_names_for_providers() -> None:
    outcome = outcome_of(provider="xai", trace=read_parent(PARENT, None))
    outcome.attempts = [Attempt(target=Target(provider="xai", model="grok"), started=0.0)]
    assert spans(outcome)[1].attributes["gen_ai.provider.name"] == "x_ai"
