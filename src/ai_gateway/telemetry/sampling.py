"""Which traces are kept: decided at the beginning by parent or ratio, and again at the end."""

from typing import Literal

from msgspec import Struct

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


class Sampling(Struct, frozen=True, kw_only=True):
    """The samplers that OTEL_TRACES_SAMPLER names, and the rule for what must not be missed."""

    sampler: SamplerName = "parentbased_always_on"
    ratio: float = 1.0
    """For the ratio samplers: the part of traces that is kept, by trace id, alike in every process."""
    slow_seconds: float = 10.0
    """A call that takes at least as long is kept whatever was decided at its beginning."""

    def at_beginning(self, trace: Trace) -> bool:
        kind = self.sampler
        if kind.startswith("parentbased_"):
            if trace.parent_id is not None:
                return trace.parent_sampled
            kind = kind.removeprefix("parentbased_")
        if kind == "always_on":
            return True
        # The lower 64 bits, as OpenTelemetry's own ratio sampler.
        return kind == "traceidratio" and trace.trace_id % _ALL < round(self.ratio * _ALL)

    def at_end(self, outcome: Outcome) -> bool:
        """Failures that are not the caller's own doing, attempts that failed, and slow calls."""
        if outcome.total_seconds >= self.slow_seconds:
            return True
        if outcome.error is not None and outcome.status >= 500:
            return True
        return len(outcome.attempts) > 1
