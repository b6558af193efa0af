"""The gateway's Prometheus metrics, under the names by which they are documented.

Label values that callers could invent are bounded: past `_MOST_MODELS` models a new one counts as
`other`.
"""

from prometheus_client import GC_COLLECTOR, CollectorRegistry, Counter, Gauge, ProcessCollector
from prometheus_client.exposition import choose_encoder

from ai_gateway.model.call import Outcome

from .series import Spread, SpreadFamily, Tally, TallyFamily

_HTTP_BUCKETS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
    60,
    300,
)
_LLM_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600)
_OVERHEAD_BUCKETS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25)
_MOST_MODELS = 200


class _ModelSeries:
    """What is kept of one provider's model."""

    __slots__ = ("first_token", "input", "labels", "output", "seconds", "statuses")

    def __init__(
        self,
        labels: tuple[str, str],
        seconds: Spread,
        input_tokens: Tally,
        output_tokens: Tally,
    ) -> None:
        self.labels = labels
        self.seconds = seconds
        self.first_token: Spread | None = None
        self.input = input_tokens
        self.output = output_tokens
        self.statuses: dict[str, Tally] = {}


class Metrics:
    """One per process. `observe_http` and `observe_call` are the hot ones."""

    def __init__(self, version: str) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(GC_COLLECTOR)
        build = Gauge(
            "gateway_build", "The running version; always 1.", ["version"], registry=registry
        )
        build.labels(version).set(1)
        self._http_requests = TallyFamily(
            "http_requests", "HTTP requests answered.", ["method", "endpoint", "status"]
        )
        self._http_seconds = SpreadFamily(
            "http_request_duration_seconds",
            "From the head of a request to the end of its answer.",
            ["method", "endpoint"],
            _HTTP_BUCKETS,
        )
        self._llm_requests = TallyFamily(
            "llm_requests",
            "Calls to a provider; status is `success`, `cancelled`, or the kind of error.",
            ["provider", "model", "status"],
        )
        self._llm_seconds = SpreadFamily(
            "llm_request_duration_seconds",
            "Time a provider took for a whole answer.",
            ["provider", "model"],
            _LLM_BUCKETS,
        )
        self._llm_first_token = SpreadFamily(
            "llm_time_to_first_token_seconds",
            "Time until a stream's first piece of answer.",
            ["provider", "model"],
            _LLM_BUCKETS,
        )
        self._llm_tokens = TallyFamily(
            "llm_tokens_used",
            "Tokens by type: input (cache reads and writes included), output (reasoning included).",
            ["provider", "model", "type"],
        )
        overhead = SpreadFamily(
            "gateway_overhead_seconds",
            "The gateway's own part of a call: all the time not spent waiting for a provider.",
            [],
            _OVERHEAD_BUCKETS,
        )
        self._guardrails = TallyFamily(
            "gateway_guardrail_findings",
            "Calls in which a guardrail found something (action `block`, `redact` or `flag`), or "
            "could not be asked (`failed`).",
            ["guardrail", "direction", "action"],
        )
        for family in (
            self._guardrails,
            self._http_requests,
            self._http_seconds,
            self._llm_requests,
            self._llm_seconds,
            self._llm_first_token,
            self._llm_tokens,
            overhead,
        ):
            registry.register(family)
        self._overhead = overhead.of()
        self.in_flight = 0
        Gauge("gateway_in_flight", "Calls being worked on.", registry=registry).set_function(
            lambda: self.in_flight
        )
        self.log_dropped = Counter(
            "gateway_log_lines_dropped",
            "Log lines given up because standard output did not take them in time.",
            registry=registry,
        )
        self._http: dict[tuple[str, str, int], tuple[Tally, Spread]] = {}
        self._models: dict[tuple[str, str], _ModelSeries] = {}

    def observe_http(self, method: str, endpoint: str, status: int, seconds: float) -> None:
        """`endpoint` is a documented route or `other`; never a path a caller made up."""
        series = self._http.get((method, endpoint, status))
        if series is None:
            series = self._http[(method, endpoint, status)] = (
                self._http_requests.of(method, endpoint, str(status)),
                self._http_seconds.of(method, endpoint),
            )
        series[0].value += 1
        series[1].observe(seconds)

    def count_guardrail(self, guardrail: str, direction: str, action: str) -> None:
        self._guardrails.of(guardrail, direction, action).value += 1

    def observe_call(self, outcome: Outcome) -> None:
        target = outcome.target
        if target is None or not outcome.attempts:
            return
        series = self._models.get((target.provider, target.model))
        if series is None:
            series = self._model_series(target.provider, target.model)
        status = outcome.error or "success"
        count = series.statuses.get(status)
        if count is None:
            count = series.statuses[status] = self._llm_requests.of(*series.labels, status)
        count.value += 1
        series.seconds.observe(outcome.upstream_seconds)
        if outcome.first_token_seconds is not None:
            if series.first_token is None:
                series.first_token = self._llm_first_token.of(*series.labels)
            series.first_token.observe(outcome.first_token_seconds)
        series.input.value += outcome.usage.input_tokens
        series.output.value += outcome.usage.output_tokens
        self._overhead.observe(max(0.0, outcome.total_seconds - outcome.upstream_seconds))

    def _model_series(self, provider: str, model: str) -> _ModelSeries:
        labels = (provider, model)
        if len(self._models) >= _MOST_MODELS:
            labels = (provider, "other")
            kept = self._models.get(labels)
            if kept is not None:
                return kept
        series = self._models[labels] = _ModelSeries(
            labels,
            self._llm_seconds.of(*labels),
            self._llm_tokens.of(*labels, "input"),
            self._llm_tokens.of(*labels, "output"),
        )
        return series

    def render(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type, in the format the scraper accepts."""
        encoder, content_type = choose_encoder(accept)
        return encoder(self.registry), content_type
