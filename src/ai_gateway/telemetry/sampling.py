"""Which traces are kept: decided at the beginning by parent or ratio, and again at the end."""

from typing import Literal

from ai_gateway.model.call import Outcome
from ai_gateway.model.trace import Trace

SamplerName = Literal[
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
]

_ALL = 1 << 64


class Sampling:
    """The samplers that OTEL_TRACES_SAMPLER names, and the rule for what must not be missed."""

    __slots__ = ("_kept", "_parent_decides", "_slow_seconds")

    def __init__(
        self,
        *,
        sampler: SamplerName = "parentbased_always_on",
        ratio: float = 1.0,
        slow_seconds: float = 10.0,
    ) -> None:
        """`ratio`, for the ratio samplers: the part of traces that is kept, by trace id, alike in every
        process. A call that takes `slow_seconds` or longer is kept whatever was decided at its beginning."""
        self._slow_seconds = slow_seconds
        root = sampler.removeprefix("parentbased_")
        self._parent_decides = root != sampler
        shares = {"always_on": 1.0, "always_off": 0.0, "traceidratio": ratio}
        self._kept = round(shares[root] * _ALL)
        """Trace ids whose lower 64 bits are below it, as in OpenTelemetry's own ratio sampler."""

    def at_beginning(self, trace: Trace) -> bool:
        if self._parent_decides and trace.parent_id is not None:
            return trace.parent_sampled
        return trace.trace_id % _ALL < self._kept

    def at_end(self, outcome: Outcome) -> bool:
        """Failures that are not the caller's own doing, attempts that failed, and slow calls."""
        if outcome.total_seconds >= self._slow_seconds:
            return True
        if outcome.error is not None and outcome.status >= 500:
            return True
        return len(outcome.attempts) > 1
