"""OpenTelemetry's own exporters, given the protocol's messages ready made.

Each is the SDK's exporter with the step left out that would encode SDK spans. What they use of it is not
its public face, so its version is pinned and tests/integration/test_traces.py sends through both.
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.request import getproxies

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import SpanExportResult

if TYPE_CHECKING:
    from .otlp import Sender


def http_sender(endpoint: str, headers: Mapping[str, str]) -> "Sender":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    class HttpSender(OTLPSpanExporter):
        def send(self, request: ExportTraceServiceRequest) -> bool:
            return bool(self._client.export(request.SerializeToString()).success)

    if not _needs_requests(endpoint):
        from opentelemetry.exporter.http.transport._urllib3 import Urllib3HTTPTransport

        return HttpSender(
            endpoint=endpoint, headers=dict(headers), _transport=Urllib3HTTPTransport()
        )
    return HttpSender(endpoint=endpoint, headers=dict(headers))


def _needs_requests(endpoint: str) -> bool:
    """Whether the way to the collector takes what the SDK does with `requests` alone: certificates of one's
    own, proxies, a provider of credentials, a name and password in the address. The SDK's transport on
    urllib3 is 4 MiB smaller."""
    credentials = any(
        name.startswith("OTEL_PYTHON_EXPORTER_OTLP_HTTP_") and name.endswith("CREDENTIAL_PROVIDER")
        for name in os.environ
    )
    plain = endpoint.startswith("http://") and "@" not in endpoint
    return credentials or not plain or bool(getproxies())


def grpc_sender(endpoint: str, headers: Mapping[str, str]) -> "Sender":
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    class GrpcSender(OTLPSpanExporter):
        def send(self, request: ExportTraceServiceRequest) -> bool:
            given: Any = request
            return self._export(given) is SpanExportResult.SUCCESS

        def _translate_data(self, data: Any) -> ExportTraceServiceRequest:
            return data

        def _count_data(self, data: Any) -> int:
            return 0

    return GrpcSender(
        endpoint=endpoint, insecure=endpoint.startswith("http://"), headers=dict(headers)
    )
