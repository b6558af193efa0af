"""Spans as the protocol's own messages (opentelemetry.proto), cheaply.

Building each span through the SDK's objects and encoder takes 45 us; most of its attributes are the same
in thousands of calls. Those are encoded once and merged in as bytes: a message that is parsed onto another
adds to its repeated fields (protobuf.dev/programming-guides/encoding, "Last One Wins").
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message
from opentelemetry.proto.trace.v1.trace_pb2 import SpanFlags, Status

from .spans import Span, Value

_KINDS = {
    "server": Message.SPAN_KIND_SERVER,
    "client": Message.SPAN_KIND_CLIENT,
    "internal": Message.SPAN_KIND_INTERNAL,
}
_LOCAL = SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_REMOTE = _LOCAL | SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
_SAMPLED = 1
_MOST_KEPT = 8192
_LEAST, _MOST = -(2**63), 2**63 - 1
_LONGEST = 64

_OF_ONE_CALL = frozenset(
    {
        "gateway.request_id",
        "gateway.call_id",
        "gateway.upstream_request_id",
        "gateway.cost_usd",
        "gateway.overhead_ms",
        "gateway.notes",
        "gen_ai.response.time_to_first_chunk",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
    }
)
"""Attributes whose values hardly ever come twice: not worth keeping."""


class Batches:
    """Requests to a collector. The resource and the scope are those of the process."""

    def __init__(
        self, resource: Mapping[str, Value], scope: str, version: str, schema: str
    ) -> None:
        self._resource = [_pair(name, value) for name, value in resource.items()]
        self._scope = {"name": scope, "version": version}
        self._schema = schema

    def request(self, calls: Iterable[Sequence[Span]]) -> tuple[ExportTraceServiceRequest, int]:
        """All calls' spans, and how many calls there are that could not be told."""
        request = ExportTraceServiceRequest()
        of_resource = request.resource_spans.add(
            resource={"attributes": self._resource}, schema_url=self._schema
        )
        of_scope = of_resource.scope_spans.add(scope=self._scope, schema_url=self._schema)
        spans, bad = of_scope.spans, 0
        for call in calls:
            before = len(spans)
            try:
                for span in call:
                    _add(spans.add, span)
            except (ValueError, TypeError):
                # What no message can hold must not take other calls' spans with it.
                del spans[before:]
                bad += 1
        return request, bad


def _add(add: Callable[..., Message], span: Span) -> None:
    parent = span.parent_id
    message = add(
        trace_id=span.trace_id.to_bytes(16, "big"),
        span_id=span.span_id.to_bytes(8, "big"),
        parent_span_id=b"" if parent is None else parent.to_bytes(8, "big"),
        trace_state=span.state or "",
        name=span.name,
        kind=_KINDS[span.kind],
        start_time_unix_nano=span.start,
        end_time_unix_nano=span.end,
        flags=_SAMPLED | (_REMOTE if span.kind == "server" and parent is not None else _LOCAL),
    )
    if span.error is not None:
        message.status.code = Status.STATUS_CODE_ERROR
        message.status.message = span.error
    kept: list[bytes] = []
    for name, value in span.attributes.items():
        if name in _OF_ONE_CALL:
            message.attributes.add(**_pair(name, value))
        else:
            kept.append(_encoded(name, tuple(value) if isinstance(value, list) else value))
    message.MergeFromString(b"".join(kept))


@lru_cache(_MOST_KEPT, typed=True)
def _encoded(name: str, value: str | int | float | bool | tuple[str, ...]) -> bytes:
    """A span that has nothing but this attribute."""
    message = Message()
    message.attributes.add(**_pair(name, value))
    return message.SerializeToString()


def _pair(name: str, value: Value | Sequence[str]) -> dict[str, Any]:
    """A KeyValue, as the message's constructor takes it."""
    match value:
        case bool():
            return {"key": name, "value": {"bool_value": value}}
        case str():
            return {"key": name, "value": {"string_value": value}}
        case int():
            if not _LEAST <= value <= _MOST:
                return {"key": name, "value": {"string_value": str(value)[:_LONGEST]}}
            return {"key": name, "value": {"int_value": value}}
        case float():
            return {"key": name, "value": {"double_value": value}}
        case _:
            values = [{"string_value": each} for each in value]
            return {"key": name, "value": {"array_value": {"values": values}}}
