"""A call's trace, from the caller's traceparent to the exporter.

Spans are made when a call is settled, from the times that its Outcome holds, and only for traces that
are kept: a call that is not sampled costs an id and a comparison. Without an endpoint to export to, the
caller's trace id still reaches the log.
"""

from collections.abc import Mapping
from typing import Protocol

from ai_gateway.model.call import Outcome
from ai_gateway.model.trace import Trace, new_span_id, new_trace_id, read_parent

from .sampling import Sampling


class SpanExporter(Protocol):
    """Takes a settled call's spans off the path; drops and counts what it cannot take."""

    @property
    def waiting(self) -> int: ...

    def export(self, outcome: Outcome) -> None: ...

    def start(self) -> None: ...

    def close(self) -> None: ...


class Tracing:
    def __init__(
        self,
        sampling: Sampling,
        exporter: SpanExporter | None,
        told: frozenset[str] = frozenset(),
    ) -> None:
        """`told`: the providers that are sent the trace."""
        self._sampling = sampling
        self._exporter = exporter
        self._told = told

    @property
    def waiting(self) -> int:
        """Calls whose spans are not sent yet."""
        return 0 if self._exporter is None else self._exporter.waiting

    def begin(self, headers: Mapping[bytes, bytes]) -> Trace | None:
        """None where nobody traces this call."""
        given = headers.get(b"traceparent")
        if given is None and self._exporter is None:
            return None
        trace = None if given is None else read_parent(given, headers.get(b"tracestate"))
        if trace is None:
            if self._exporter is None:
                return None
            trace = Trace(trace_id=new_trace_id(), span_id=new_span_id())
        trace.told = self._told
        trace.sampled = self._sampling.at_beginning(trace)
        return trace

    def finish(self, outcome: Outcome) -> str | None:
        """Exports the call's spans if its trace is kept; gives the trace's id if so."""
        trace = outcome.trace
        if trace is None or self._exporter is None:
            return None
        if not trace.sampled and not self._sampling.at_end(outcome):
            return None
        self._exporter.export(outcome)
        return f"{trace.trace_id:032x}"

    def start(self) -> None:
        if self._exporter is not None:
            self._exporter.start()

    def close(self) -> None:
        if self._exporter is not None:
            self._exporter.close()


NOT_TRACED = Tracing(Sampling(sampler="always_off"), None)
