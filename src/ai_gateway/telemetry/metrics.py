"""The gateway's Prometheus metrics, and the names under which they are documented.

Children are kept per label set, so that a call costs no label look-up by name. Label values that
callers could invent are bounded: past `_MOST_MODELS` models a new one counts as `other`.
"""

from collections.abc import Callable

from prometheus_client import (
    GC_COLLECTOR,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
)
from prometheus_client.exposition import choose_encoder

from ai_gateway.model.call import Outcome

_HTTP_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)  # fmt: skip
_LLM_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600)
_OVERHEAD_BUCKETS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25)
_MOST_MODELS = 1000


class _HttpSeries:
    __slots__ = ("count", "seconds")

    def __init__(self, count: Callable[[], None], seconds: Callable[[float], None]) -> None:
        self.count = count
        self.seconds = seconds


class _ModelSeries:
    __slots__ = ("first_token", "input", "labels", "output", "seconds", "statuses")

    def __init__(
        self,
        labels: tuple[str, str],
        seconds: Callable[[float], None],
        first_token: Callable[[float], None],
        input_tokens: Callable[[float], None],
        output_tokens: Callable[[float], None],
    ) -> None:
        self.labels = labels
        self.seconds = seconds
        self.first_token = first_token
        self.input = input_tokens
        self.output = output_tokens
        self.statuses: dict[str, Callable[[], None]] = {}


class Metrics:
    """One per process. `observe_http` and `observe_call` are the hot ones."""

    def __init__(self, version: str) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(GC_COLLECTOR)
        Gauge(
            "gateway_build", "The running version; always 1.", ["version"], registry=registry
        ).labels(version).set(1)
        self._http_requests = Counter(
            "http_requests",
            "HTTP requests answered.",
            ["method", "endpoint", "status"],
            registry=registry,
        )
        self._http_seconds = Histogram(
            "http_request_duration_seconds",
            "From the head of a request to the end of its answer.",
            ["method", "endpoint"],
            buckets=_HTTP_BUCKETS,
            registry=registry,
        )
        self._llm_requests = Counter(
            "llm_requests",
            "Calls to a provider; status is `success`, `cancelled`, or the kind of error.",
            ["provider", "model", "status"],
            registry=registry,
        )
        self._llm_seconds = Histogram(
            "llm_request_duration_seconds",
            "Time a provider took for a whole answer.",
            ["provider", "model"],
            buckets=_LLM_BUCKETS,
            registry=registry,
        )
        self._llm_first_token = Histogram(
            "llm_time_to_first_token_seconds",
            "Time until a stream's first piece of answer.",
            ["provider", "model"],
            buckets=_LLM_BUCKETS,
            registry=registry,
        )
        self._llm_tokens = Counter(
            "llm_tokens_used",
            "Tokens by type: input (cache reads and writes included), output (reasoning included).",
            ["provider", "model", "type"],
            registry=registry,
        )
        overhead = Histogram(
            "gateway_overhead_seconds",
            "The gateway's own part of a call: all the time not spent waiting for a provider.",
            buckets=_OVERHEAD_BUCKETS,
            registry=registry,
        )
        self._overhead = overhead.observe
        self.in_flight = Gauge("gateway_in_flight", "Calls being worked on.", registry=registry)
        self.log_dropped = Counter(
            "gateway_log_lines_dropped",
            "Log lines given up because standard output did not take them in time.",
            registry=registry,
        )
        self._http: dict[tuple[str, str, int], _HttpSeries] = {}
        self._models: dict[tuple[str, str], _ModelSeries] = {}

    def observe_http(self, method: str, endpoint: str, status: int, seconds: float) -> None:
        """`endpoint` is a documented route or `other`; never a path a caller made up."""
        series = self._http.get((method, endpoint, status))
        if series is None:
            series = self._http[(method, endpoint, status)] = _HttpSeries(
                self._http_requests.labels(method, endpoint, str(status)).inc,
                self._http_seconds.labels(method, endpoint).observe,
            )
        series.count()
        series.seconds(seconds)

    def observe_call(self, outcome: Outcome) -> None:
        target = outcome.target
        if target is None or outcome.attempts == 0:
            return
        series = self._models.get((target.provider, target.model))
        if series is None:
            series = self._model_series(target.provider, target.model)
        status = outcome.error or "success"
        count = series.statuses.get(status)
        if count is None:
            count = self._llm_requests.labels(*series.labels, status).inc
            series.statuses[status] = count
        count()
        series.seconds(outcome.upstream_seconds)
        if outcome.first_token_seconds is not None:
            series.first_token(outcome.first_token_seconds)
        usage = outcome.usage
        if usage.input_tokens:
            series.input(usage.input_tokens)
        if usage.output_tokens:
            series.output(usage.output_tokens)
        self._overhead(max(0.0, outcome.total_seconds - outcome.upstream_seconds))

    def _model_series(self, provider: str, model: str) -> _ModelSeries:
        labels = (provider, model)
        if len(self._models) >= _MOST_MODELS:
            labels = (provider, "other")
            kept = self._models.get(labels)
            if kept is not None:
                return kept
        series = self._models[labels] = _ModelSeries(
            labels,
            self._llm_seconds.labels(*labels).observe,
            self._llm_first_token.labels(*labels).observe,
            self._llm_tokens.labels(*labels, "input").inc,
            self._llm_tokens.labels(*labels, "output").inc,
        )
        return series

    def render(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type, in the format the scraper accepts."""
        encoder, content_type = choose_encoder(accept)
        return encoder(self.registry), content_type
