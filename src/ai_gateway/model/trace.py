"""The place of a call in a distributed trace, as W3C Trace Context knows it (w3.org/TR/trace-context)."""

import re
from random import getrandbits

from msgspec import Struct

_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_LONGEST_STATE = 512


class Trace(Struct, kw_only=True):
    trace_id: int
    span_id: int
    """Of the span that is the whole call."""
    parent_id: int | None = None
    """The caller's span; None where the trace begins here."""
    parent_sampled: bool = False
    sampled: bool = False
    """The decision at the beginning. A call that fails or is slow may be kept all the same."""
    state: str | None = None
    """The caller's `tracestate`, handed on as it came."""
    told: frozenset[str] = frozenset()
    """Providers that are sent the trace."""


def new_trace_id() -> int:
    return getrandbits(128) or 1


def new_span_id() -> int:
    return getrandbits(64) or 1


def read_parent(traceparent: bytes, tracestate: bytes | None) -> Trace | None:
    """The caller's trace with a new span in it; None where the header is none."""
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return None
    version, trace, span, flags, more = found.groups()
    trace_id, parent_id = int(trace, 16), int(span, 16)
    if version == b"ff" or (version == b"00" and more) or not trace_id or not parent_id:
        return None
    state = None
    if tracestate is not None and len(tracestate) <= _LONGEST_STATE and tracestate.isascii():
        state = tracestate.decode("ascii")
    return Trace(
        trace_id=trace_id,
        span_id=new_span_id(),
        parent_id=parent_id,
        parent_sampled=bool(int(flags, 16) & 1),
        state=state,
    )


def trace_headers(trace: Trace, span_id: int) -> tuple[tuple[bytes, bytes], ...]:
    """What a provider is sent, so that its spans join the trace under `span_id`."""
    parent = (b"traceparent", b"00-%032x-%016x-%02x" % (trace.trace_id, span_id, trace.sampled))
    if trace.state is None:
        return (parent,)
    return (parent, (b"tracestate", trace.state.encode("ascii")))
