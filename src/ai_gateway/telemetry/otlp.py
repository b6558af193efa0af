"""Spans to a collector over OTLP, by OpenTelemetry's SDK and exporters (imported where configured).

The SDK's batch processor drops without counting when its queue is full, so the courier of the gateway's
own stands in its place; encoding, transport, retries and time-outs are the SDK's.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Literal

from msgspec import Struct
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace.status import Status, StatusCode

from ai_gateway.courier import Courier, Loss
from ai_gateway.model.call import Outcome

from .spans import Span, spans_of

Protocol = Literal["http/protobuf", "grpc"]

_MOST_WAITING = 4096
_BATCH = 256
_EVERY = 1.0
_SCHEMA = "https://opentelemetry.io/schemas/1.41.0"
_KINDS = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT, "internal": SpanKind.INTERNAL}
_UNSET = Status(StatusCode.UNSET)


class OtlpTarget(Struct, frozen=True, kw_only=True):
    """Where telemetry goes."""

    endpoint: str
    """HTTP: the whole URL (`http://host:4318/v1/traces`); gRPC: `http://host:4317`."""
    protocol: Protocol
    headers: Mapping[str, str]
    """Often credentials."""
    service_name: str
    instance: str


class ExportFailed(Exception):
    """A delivery that the collector did not take."""


class OtlpSpans:
    """The SpanExporter of `tracing`: makes spans on the loop, sends them from its courier's thread."""

    def __init__(
        self,
        target: OtlpTarget,
        version: str,
        *,
        exported: Callable[[int], None],
        lost: Callable[[Loss, int], None],
        closing_seconds: float = 3.0,
    ) -> None:
        # The SDK would tell standard error of each failure; the gateway's metric and log do.
        logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
        logging.getLogger("opentelemetry").propagate = False
        self._exporter = make_exporter(target)
        self._resource = make_resource(target, version)
        self._scope = InstrumentationScope("ai_gateway", version, _SCHEMA)
        self._exported = exported
        self._lost = lost
        self._closing_seconds = closing_seconds
        self._courier: Courier[list[Span]] = Courier(
            "traces", self._send, most=_MOST_WAITING, batch=_BATCH, every=_EVERY, lost=lost
        )

    @property
    def trouble(self) -> str | None:
        return self._courier.trouble

    @property
    def waiting(self) -> int:
        return self._courier.waiting

    def start(self) -> None:
        self._courier.start()

    def export(self, outcome: Outcome) -> None:
        if outcome.trace is not None:
            self._courier.put(spans_of(outcome, outcome.trace))

    def close(self) -> None:
        self._courier.close(self._closing_seconds)
        self._exporter.shutdown()

    def _send(self, calls: list[list[Span]]) -> None:
        spans = [self._readable(span) for call in calls for span in call]
        if self._exporter.export(spans) is not SpanExportResult.SUCCESS:
            raise ExportFailed("the collector did not take the spans")
        self._exported(len(calls))

    def _readable(self, span: Span) -> ReadableSpan:
        state = TraceState.from_header([span.state]) if span.state else None
        parent = None
        if span.parent_id is not None:
            parent = SpanContext(
                span.trace_id,
                span.parent_id,
                is_remote=span.kind == "server",
                trace_flags=TraceFlags(TraceFlags.SAMPLED),
                trace_state=state,
            )
        return ReadableSpan(
            name=span.name,
            context=SpanContext(
                span.trace_id,
                span.span_id,
                is_remote=False,
                trace_flags=TraceFlags(TraceFlags.SAMPLED),
                trace_state=state,
            ),
            parent=parent,
            resource=self._resource,
            attributes=span.attributes,
            kind=_KINDS[span.kind],
            status=_UNSET if span.error is None else Status(StatusCode.ERROR, span.error),
            start_time=span.start,
            end_time=span.end,
            instrumentation_scope=self._scope,
        )


def make_exporter(target: OtlpTarget) -> SpanExporter:
    if target.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc

        return Grpc(
            endpoint=target.endpoint,
            insecure=target.endpoint.startswith("http://"),
            headers=dict(target.headers),
        )
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http

    return Http(endpoint=target.endpoint, headers=dict(target.headers))


def make_resource(target: OtlpTarget, version: str) -> Resource:
    """OTEL_RESOURCE_ATTRIBUTES are in it, as the SDK reads them."""
    return Resource.create(
        {
            "service.name": target.service_name,
            "service.version": version,
            "service.instance.id": target.instance,
        },
        schema_url=_SCHEMA,
    )
