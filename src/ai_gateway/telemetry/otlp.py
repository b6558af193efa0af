"""Spans to a collector over OTLP, by OpenTelemetry's exporters (imported where configured).

The SDK's batch processor drops without counting when its queue is full, and its encoder is dear: so
a courier of the gateway's own stands in place of the one, and `encoding` in place of the other. Transport,
credentials, compression, retries and time-outs are the SDK's, and so are its OTEL_EXPORTER_OTLP variables.
"""

import logging
from collections.abc import Callable
from typing import Protocol

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource

from ai_gateway.courier import Courier, Loss
from ai_gateway.model.call import Outcome
from ai_gateway.model.otlp import OtlpTarget

from .encoding import Batches
from .spans import Server, Value, spans_of

_MOST_WAITING = 4096
_MOST_WEIGHT = 64 * 1024 * 1024
_BATCH = 256
_EVERY = 1.0
_SCHEMA = "https://opentelemetry.io/schemas/1.41.0"


class ExportFailed(Exception):
    """A delivery that the collector did not take."""


class Sender(Protocol):
    def send(self, request: ExportTraceServiceRequest) -> bool:
        """Blocks; False where the collector did not take it, retries included."""
        ...

    def shutdown(self) -> None: ...


class OtlpSpans:
    """The SpanExporter of `tracing`: spans are made, encoded and sent on its courier's thread."""

    def __init__(
        self,
        target: OtlpTarget,
        version: str,
        *,
        exported: Callable[[int], None],
        lost: Callable[[Loss, int], None],
        server_of: Callable[[str], Server | None] = lambda provider: None,
        closing_seconds: float = 3.0,
    ) -> None:
        """`server_of` tells where a provider listens."""
        # The SDK would tell standard error of each failure; the gateway's metric and log do.
        logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
        logging.getLogger("opentelemetry").propagate = False
        self._sender = make_sender(target)
        self._batches = Batches(resource_of(target, version), "ai_gateway", version, _SCHEMA)
        self._exported = exported
        self._lost = lost
        self._server_of = server_of
        self._closing_seconds = closing_seconds
        self._courier: Courier[Outcome] = Courier(
            "traces", self._send, most=_MOST_WAITING, batch=_BATCH, every=_EVERY, lost=lost,
            weigh=_weight, most_weight=_MOST_WEIGHT,
        )  # fmt: skip

    @property
    def trouble(self) -> str | None:
        return self._courier.trouble

    @property
    def waiting(self) -> int:
        return self._courier.waiting

    def start(self) -> None:
        self._courier.start()

    def export(self, outcome: Outcome) -> None:
        self._courier.put(outcome)

    def close(self) -> None:
        self._courier.close(self._closing_seconds)
        self._sender.shutdown()

    def _send(self, outcomes: list[Outcome]) -> None:
        calls = [spans_of(o, o.trace, self._server_of) for o in outcomes if o.trace is not None]
        request, bad = self._batches.request(calls)
        if not self._sender.send(request):
            raise ExportFailed("the collector did not take the spans")
        self._exported(len(outcomes) - bad)
        if bad:
            self._lost("failed", bad)


def _weight(outcome: Outcome) -> int:
    """What a waiting call keeps in memory."""
    return 2048 + len(outcome.request.body)


def make_sender(target: OtlpTarget) -> Sender:
    if target.protocol == "grpc":
        from .senders import grpc_sender

        return grpc_sender(target.endpoint, target.headers)
    from .senders import http_sender

    return http_sender(target.endpoint, target.headers)


def resource_of(target: OtlpTarget, version: str) -> dict[str, Value]:
    """OTEL_RESOURCE_ATTRIBUTES are in it, as the SDK reads them."""
    resource = Resource.create(
        {
            "service.name": target.service_name,
            "service.version": version,
            "service.instance.id": target.instance,
        },
    )
    return {
        name: value if isinstance(value, str | bool | int | float) else str(value)
        for name, value in resource.attributes.items()
    }
