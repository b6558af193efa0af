"""Records as OTLP log records (imported where configured)."""

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec
from msgspec import Struct
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from ai_gateway.courier import Courier, Loss
from ai_gateway.model.audit import AuditRecord

from .jsonl import weight_of

_MOST_WAITING = 10_000
_MOST_WEIGHT = 64 * 1024 * 1024
_CLOSING = 3.0
_encode = msgspec.json.Encoder().encode


class LogsTarget(Struct, frozen=True, kw_only=True):
    endpoint: str
    """HTTP: the whole URL (`http://host:4318/v1/logs`); gRPC: `http://host:4317`."""
    protocol: Literal["http/protobuf", "grpc"]
    headers: Mapping[str, str]
    service_name: str
    instance: str


class RecordsNotTaken(Exception):
    """A delivery that the collector did not take."""


class OtlpSink:
    name = "otlp"

    def __init__(
        self,
        target: LogsTarget,
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
        self._courier: Courier[AuditRecord] = Courier(
            "audit-otlp", self._send, most=_MOST_WAITING, batch=256, every=1.0, lost=lost,
            weigh=weight_of, most_weight=_MOST_WEIGHT,
        )  # fmt: skip

    @property
    def trouble(self) -> str | None:
        return self._courier.trouble

    @property
    def waiting(self) -> int:
        return self._courier.waiting

    def start(self) -> None: ...

    def put(self, record: AuditRecord) -> None:
        self._courier.put(record)

    def close(self, seconds: float) -> None:
        self._courier.close(min(seconds, _CLOSING))
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


def _exporter(target: LogsTarget) -> LogRecordExporter:
    if target.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as Grpc

        return Grpc(
            endpoint=target.endpoint,
            insecure=target.endpoint.startswith("http://"),
            headers=dict(target.headers),
        )
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as Http

    return Http(endpoint=target.endpoint, headers=dict(target.headers))
