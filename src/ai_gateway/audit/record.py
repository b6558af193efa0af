"""A settled call as an AuditRecord."""

from collections.abc import Sequence
from time import time_ns

import msgspec

from ai_gateway.model.audit import AuditRecord
from ai_gateway.model.call import Outcome
from ai_gateway.model.policy import AuditLevel

from .bodies import Bodies

_PICO = 10**12
_LONGEST_NAME = 256
_encode = msgspec.json.Encoder().encode


def record_of(outcome: Outcome, level: AuditLevel, bodies: Bodies) -> AuditRecord:
    request, caller, target = outcome.request, outcome.caller, outcome.target
    usage, trace, answer = outcome.usage, outcome.trace, outcome.answer
    kept = None
    if level == "full":
        kept = bodies.keep(request.dialect, request.body, answer, stream=outcome.stream)
    return AuditRecord(
        id=outcome.call_id,
        at=time_ns() // 1_000_000,
        level=level,
        request_id=request.id,
        trace_id=None if trace is None else f"{trace.trace_id:032x}",
        tenant="" if caller is None else caller.tenant,
        user="" if caller is None else caller.user[:_LONGEST_NAME],
        key_id=None if caller is None else caller.key_id,
        tags=_text(caller.tags if caller is not None else ()),
        operation=request.operation,
        endpoint=request.endpoint,
        dialect=request.dialect,
        requested_model=_plain(outcome.requested_model),
        route=outcome.route,
        provider=None if target is None else target.provider,
        model=None if target is None else _plain(target.model),
        stream=outcome.stream,
        status=outcome.status,
        error=outcome.error,
        cache=outcome.cache,
        attempts=len(outcome.attempts),
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cost_pico=None if outcome.cost is None else round(outcome.cost * _PICO),
        duration_us=round(outcome.total_seconds * 1e6),
        guardrails=_text(outcome.guardrails),
        request_bytes=len(request.body),
        response_bytes=0 if answer is None else answer.total,
        request=None if kept is None else kept.request,
        response=None if kept is None else kept.response,
        redacted=_text({} if kept is None else kept.redacted),
        cut=None if kept is None else kept.cut,
    )


def canonical(record: AuditRecord) -> bytes:
    """A record's fields in their order, as its hash covers them."""
    return encode_fields([getattr(record, name) for name in AuditRecord.__struct_fields__])


def encode_fields(fields: Sequence[object]) -> bytes:
    """Of a record, all of them in their order."""
    return _encode(fields)


def _text(value: object) -> str:
    return _encode(value).decode()


def _plain(name: str) -> str:
    """A name that callers chose, fit for every database's text."""
    return name[:_LONGEST_NAME].replace("\0", "�")
