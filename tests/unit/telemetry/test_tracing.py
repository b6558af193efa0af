"""Traces without a collector: context, sampling, endpoints, spans, the courier."""

import threading
import time
from collections.abc import Sequence
from decimal import Decimal

import msgspec
import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind, TraceState
from opentelemetry.trace.status import Status, StatusCode

from ai_gateway.courier import Courier, Loss
from ai_gateway.model.call import Attempt, Outcome, Target
from ai_gateway.model.trace import Trace, read_parent, trace_headers
from ai_gateway.model.usage import Usage
from ai_gateway.settings.otlp import read_headers, traces_endpoint
from ai_gateway.telemetry.asked import asked_attributes
from ai_gateway.telemetry.encoding import Batches
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

    @property
    def waiting(self) -> int:
        return len(self.outcomes)

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
    b'"seed":7,"n":2,"response_format":{"type":"json_schema"},"reasoning_effort":"low",'
    b'"service_tier":"flex","encoding_format":"float","dimensions":3}'
)


def whole_outcome() -> Outcome:
    """Everything that a span can show."""
    return outcome_of(
        request=msgspec.structs.replace(
            REQUEST,
            received=time.perf_counter() - 3.0,
            body=BODY,
            headers={b"host": b"gateway.example:8080", b"user-agent": b"OpenAI/Python 2"},
        ),
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
    return spans_of(outcome, outcome.trace, lambda provider: (f"api.{provider}.example", 443))


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


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        ("openai_responses",
         b'{"max_output_tokens":9,"temperature":0.5,"text":{"format":{"type":"json_schema"}},'
         b'"reasoning":{"effort":"low"}}'),
        ("gemini",
         b'{"generationConfig":{"maxOutputTokens":9,"temperature":0.5,'
         b'"responseMimeType":"application/json","candidateCount":2}}'),
        ("anthropic_messages", b'{"max_tokens":9,"temperature":0.5,"top_k":3}'),
    ],
)  # fmt: skip
def test_what_was_asked_is_read_in_every_dialect(dialect: str, body: bytes) -> None:
    request = msgspec.structs.replace(REQUEST, dialect=dialect, body=body)
    found = asked_attributes(request, stream=False)
    assert found["gen_ai.request.max_tokens"] == 9
    assert found["gen_ai.request.temperature"] == 0.5
    if b"json" in body:
        assert found["gen_ai.output.type"] == "json"
    assert found.get("gen_ai.request.choice.count") == (2 if dialect == "gemini" else None)
    assert found.get("gen_ai.request.reasoning.level") == ("low" if b"effort" in body else None)


def test_a_span_says_where_the_provider_listens_and_how_often_it_was_asked_before() -> None:
    _, _, first, second, _ = spans(timed(whole_outcome()))
    assert first.attributes["server.address"] == "api.mistral.example"
    assert second.attributes["server.port"] == 443
    assert "http.request.resend_count" not in first.attributes
    assert second.attributes["http.request.resend_count"] == 1


def test_spans_are_the_protocols_own_messages() -> None:
    """As the SDK's encoder makes them of the same spans."""
    outcome = timed(whole_outcome())
    batches = Batches({"service.name": "mine"}, "ai_gateway", "1", "https://schema")
    made = spans(outcome)
    for _ in range(2):
        request = ExportTraceServiceRequest.FromString(
            batches.request([made])[0].SerializeToString()
        )
    (of_resource,) = request.resource_spans
    (of_scope,) = of_resource.scope_spans
    assert of_resource.resource.attributes[0].value.string_value == "mine"
    assert (of_scope.scope.name, of_scope.schema_url) == ("ai_gateway", "https://schema")
    expected = encode_spans([sdk_span(span) for span in made])
    (theirs,) = expected.resource_spans[0].scope_spans
    assert len(of_scope.spans) == len(theirs.spans) == 5
    for ours, other in zip(of_scope.spans, theirs.spans, strict=True):
        assert {a.key: a.value for a in ours.attributes} == {
            a.key: a.value for a in other.attributes
        }
        assert (ours.status.code, ours.status.message) == (other.status.code, other.status.message)
        for message in (ours, other):
            del message.attributes[:]
            message.ClearField("status")
        ours.flags &= ~1
        assert ours == other


def sdk_span(span: Span) -> ReadableSpan:
    kinds = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT, "internal": SpanKind.INTERNAL}

    def context(span_id: int, *, remote: bool) -> SpanContext:
        state = None if span.state is None else TraceState.from_header([span.state])
        return SpanContext(span.trace_id, span_id, remote, trace_state=state)

    remote = span.kind == "server"
    return ReadableSpan(
        name=span.name,
        context=context(span.span_id, remote=False),
        parent=None if span.parent_id is None else context(span.parent_id, remote=remote),
        attributes=span.attributes,
        kind=kinds[span.kind],
        status=Status(StatusCode.UNSET if span.error is None else StatusCode.ERROR, span.error),
        start_time=span.start,
        end_time=span.end,
    )


def test_values_that_are_equal_but_of_another_type_stay_apart() -> None:
    batches = Batches({}, "s", "1", "")
    made = spans(outcome_of(trace=read_parent(PARENT, None)))[:1]
    kinds: list[str | None] = []
    for value in (1, True, 1.0, "1", ["1"]):
        made[0].attributes = {"x": value}
        (span,) = batches.request([made])[0].resource_spans[0].scope_spans[0].spans
        kinds.append(span.attributes[0].value.WhichOneof("value"))
    assert kinds == ["int_value", "bool_value", "double_value", "string_value", "array_value"]


def test_numbers_that_fit_no_message_and_text_that_is_none_cost_no_other_call_its_spans() -> None:
    """Callers choose some of what is told."""
    large = msgspec.structs.replace(REQUEST, body=b'{"seed":1180591620717411303424}')
    strange = outcome_of(trace=read_parent(PARENT, None), requested_model="\ud800")
    calls = [
        spans(outcome_of(trace=read_parent(PARENT, None), request=large)),
        spans(strange),
        spans(outcome_of(trace=read_parent(PARENT, None))),
    ]
    request, bad = Batches({}, "s", "1", "").request(calls)
    told = request.resource_spans[0].scope_spans[0].spans
    assert (len(told), bad) == (4, 1)
    seed = next(a.value for a in told[1].attributes if a.key == "gen_ai.request.seed")
    assert seed.string_value == str(2**70)


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
