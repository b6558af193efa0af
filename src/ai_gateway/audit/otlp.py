"""Records as OTLP log records (imported where configured)."""

from collections.abc import Callable

import msgspec
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from ai_gateway.courier import Loss
from ai_gateway.model.audit import AuditRecord
from ai_gateway.model.otlp import OtlpTarget

from .sink import CourierSink

_CLOSING = 3.0
_encode = msgspec.json.Encoder().encode


class RecordsNotTaken(Exception):
    """A delivery that the collector did not take."""


class OtlpSink(CourierSink):
    name = "otlp"

    def __init__(
        self,
        target: OtlpTarget,
        version: str,
        *,
        written: Callable[[int], None],
        lost: Callable[[Loss, int], None],
    ) -> None:
        self._exporter = _exporter(target)
        self._written = written
        self._resource = Resource.create(
            {
                "service.name": target.service_name,
                "service.version": version,
                "service.instance.id": target.instance,
            }
        )
        self._scope = InstrumentationScope("ai_gateway.audit", version)
        super().__init__(self._send, batch=256, every=1.0, lost=lost)

    def close(self, seconds: float) -> None:
        super().close(min(seconds, _CLOSING))
        self._exporter.shutdown()

    def _send(self, records: list[AuditRecord]) -> None:
        batch = [self._readable(record) for record in records]
        if self._exporter.export(batch) is not LogRecordExportResult.SUCCESS:
            raise RecordsNotTaken("the collector did not take the records")
        self._written(len(records))

    def _readable(self, record: AuditRecord) -> ReadableLogRecord:
        log = LogRecord(
            timestamp=record.at * 1_000_000,
            observed_timestamp=record.at * 1_000_000,
            severity_number=SeverityNumber.INFO,
            severity_text="INFO",
            # The record to the letter; its main fields beside it, for who only filters.
            body=_encode(record).decode(),
            attributes={
                "gateway.call_id": record.id,
                "gateway.request_id": record.request_id,
                "gateway.tenant": record.tenant,
                "user.id": record.user,
                "http.response.status_code": record.status,
            },
            event_name="gateway.audit",
        )
        log.trace_id = int(record.trace_id, 16) if record.trace_id else 0
        return ReadableLogRecord(log, self._resource, self._scope)


def _exporter(target: OtlpTarget) -> LogRecordExporter:
    if target.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as Grpc

        return Grpc(
            endpoint=target.endpoint,
            insecure=target.endpoint.startswith("http://"),
            headers=dict(target.headers),
        )
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as Http

    return Http(endpoint=target.endpoint, headers=dict(target.headers))
