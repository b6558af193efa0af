"""The gateway's metrics: the declared families, and what a settled call adds to them.

Label values that callers could invent are bounded: past `MOST_MODELS` pairs of provider and model a
new one counts as `other`, and likewise users and tenants.
"""

import platform
from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import pairwise

from msgspec import msgpack

from ai_gateway.model.call import Attempt, CacheOutcome, Caller, Outcome

from .declared import BY_NAME, METRICS, MOST_MODELS, MOST_TENANTS, OTHER, Metric
from .exposition import Exposition
from .process import PROCESS_READINGS
from .series import Family, ReadFamily, Reading, Snapshot, Spread, Tally, merged

_encode = msgpack.Encoder().encode
_decode = msgpack.Decoder(Snapshot).decode


class _ModelSeries:
    """What is kept of one provider's model."""

    __slots__ = (
        "cost",
        "ended",
        "first_token",
        "input",
        "labels",
        "output",
        "per_token",
        "seconds",
    )

    def __init__(self, labels: tuple[str, str], metrics: "Metrics") -> None:
        self.labels = labels
        self.seconds = metrics.histogram("llm_request_duration_seconds").of(*labels)
        self.input = metrics.counter("llm_tokens_used_total").of(*labels, "input")
        self.output = metrics.counter("llm_tokens_used_total").of(*labels, "output")
        self.cost = metrics.counter("llm_cost_usd_total").of(*labels)
        self.first_token: Spread | None = None
        self.per_token: Spread | None = None
        self.ended: dict[str, tuple[Tally, Tally]] = {}
        """By how: calls, and attempts that were their call's only one."""


class _TenantSeries:
    __slots__ = ("cancelled", "cost", "failed", "input", "output", "refused", "success")

    def __init__(self, tenant: str, metrics: "Metrics") -> None:
        requests = metrics.counter("gateway_tenant_requests_total")
        self.success = requests.of(tenant, "success")
        self.refused = requests.of(tenant, "refused")
        self.failed = requests.of(tenant, "failed")
        self.cancelled = requests.of(tenant, "cancelled")
        self.input = metrics.counter("gateway_tenant_tokens_total").of(tenant, "input")
        self.output = metrics.counter("gateway_tenant_tokens_total").of(tenant, "output")
        self.cost = metrics.counter("gateway_tenant_cost_usd_total").of(tenant)


class Metrics:
    """One per process. `observe_http` and `observe_call` are the hot ones."""

    def __init__(self, version: str, declared: Sequence[Metric] = METRICS) -> None:
        self._declared = declared
        self._tallies: dict[str, Family[Tally]] = {}
        self._spreads: dict[str, Family[Spread]] = {}
        self._read: dict[str, ReadFamily] = {}
        for metric in declared:
            if metric.kind == "histogram":
                self._spreads[metric.name] = _spread_family(metric)
            else:
                self._tallies[metric.name] = Family(metric, Tally)
        for name, reading in PROCESS_READINGS.items():
            self.read(name, reading)
        self._exposition = Exposition(declared)
        self.gauge("gateway_build_info").of(version, platform.python_version()).set(1)
        self.others: Callable[[], Sequence[bytes]] = lambda: ()
        """The encoded snapshots of the other workers, where there are several."""
        self.in_flight = 0
        self.read("gateway_in_flight", lambda: float(self.in_flight))
        self.log_dropped = self.counter("gateway_log_lines_dropped_total").of()
        self.log_sampled_out = self.counter("gateway_log_lines_sampled_out_total").of()
        self.internal_errors = self.counter("gateway_internal_errors_total").of()
        self._overhead = self.histogram("gateway_overhead_seconds").of()
        self._http_requests = self.counter("http_requests_total")
        self._http_seconds = self.histogram("http_request_duration_seconds")
        self._llm_requests = self.counter("llm_requests_total")
        self._llm_attempts = self.counter("llm_attempts_total")
        self._cache_requests = self.counter("cache_requests_total")
        self._limited = self.counter("rate_limit_exceeded_total")
        self._hits = self.counter("cache_hits_total").of()
        self._misses = self.counter("cache_misses_total").of()
        self._saved = self.counter("cache_saved_usd_total").of()
        self._http: dict[tuple[str, str, int], tuple[Tally, Spread]] = {}
        self._models: dict[tuple[str, str], _ModelSeries] = {}
        self._tenants: dict[str, _TenantSeries] = {}

    @property
    def calls(self) -> int:
        """How many have been settled."""
        return sum(self._overhead.counts)

    # Families by their declared name, for whoever counts something of its own.

    def counter(self, name: str) -> Family[Tally]:
        return self._tallies[name]

    def gauge(self, name: str) -> Family[Tally]:
        return self._tallies[name]

    def histogram(self, name: str) -> Family[Spread]:
        return self._spreads[name]

    def read(self, name: str, reading: Reading) -> None:
        """The metric's values are whatever `reading` gives at a scrape: a number, or one by labels."""
        self._read[name] = ReadFamily(BY_NAME[name], reading)

    def model_labels(self, provider: str, model: str) -> tuple[str, str]:
        """The pair as labels, under the bound that all families by provider and model share."""
        series = self._models.get((provider, model)) or self._model_series(provider, model)
        return series.labels

    # The hot ones

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
        self.counter("gateway_guardrail_findings_total").of(guardrail, direction, action).value += 1

    def observe_call(self, outcome: Outcome, trace_id: str | None = None) -> None:
        """`trace_id`: of the trace that is kept of it, for exemplars."""
        overhead = outcome.total_seconds - outcome.upstream_seconds
        self._overhead.observe(overhead if overhead > 0.0 else 0.0, trace_id)
        cost = None if outcome.cost is None else float(outcome.cost)
        if outcome.cache is not None:
            self._observe_cache(outcome.cache, outcome.saved)
        if outcome.caller is not None:
            self._observe_caller(outcome, outcome.caller, cost)
        target, attempts = outcome.target, outcome.attempts
        if target is None or not attempts:
            return
        series = self._models.get((target.provider, target.model))
        if series is None:
            series = self._model_series(target.provider, target.model)
        status = outcome.error or "success"
        ended = series.ended.get(status)
        if ended is None:
            ended = series.ended[status] = (
                self._llm_requests.of(*series.labels, status),
                self._llm_attempts.of(target.provider, status),
            )
        calls, only_attempts = ended
        calls.value += 1
        if len(attempts) == 1:
            only_attempts.value += 1
        else:
            self._observe_attempts(attempts, status)
        series.seconds.observe(outcome.upstream_seconds, trace_id)
        if outcome.first_token_seconds is not None:
            self._observe_stream(series, outcome, outcome.first_token_seconds, trace_id)
        usage = outcome.usage
        series.input.value += usage.input_tokens
        series.output.value += usage.output_tokens
        if cost is not None:
            series.cost.value += cost
        elif outcome.error is None:
            self.counter("llm_unpriced_requests_total").of(*series.labels).value += 1

    def _observe_stream(
        self, series: _ModelSeries, outcome: Outcome, first_token: float, trace_id: str | None
    ) -> None:
        if series.first_token is None:
            family = self.histogram("llm_time_to_first_token_seconds")
            series.first_token = family.of(*series.labels)
        series.first_token.observe(first_token, trace_id)
        after = outcome.usage.output_tokens - 1
        if after > 0 and outcome.error is None:
            if series.per_token is None:
                family = self.histogram("llm_time_per_output_token_seconds")
                series.per_token = family.of(*series.labels)
            taken = max(0.0, outcome.upstream_seconds - first_token)
            series.per_token.observe(taken / after, trace_id)

    def _observe_attempts(self, attempts: Sequence[Attempt], status: str) -> None:
        """`status`: of the call, and so of the last one: of that the outcome knows more than it does."""
        self._llm_attempts.of(attempts[-1].target.provider, status).value += 1
        for attempt, after in pairwise(attempts):
            target, provider = attempt.target, after.target.provider
            self._llm_attempts.of(target.provider, attempt.error or "success").value += 1
            if target == after.target:
                self.counter("llm_retries_total").of(provider).value += 1
            else:
                self.counter("llm_fallbacks_total").of(target.provider, provider).value += 1

    def _observe_cache(self, cache: CacheOutcome, saved: Decimal | None) -> None:
        self._cache_requests.of(cache).value += 1
        if cache == "miss":
            self._misses.value += 1
        elif cache != "bypass":
            self._hits.value += 1
        if saved is not None:
            self._saved.value += float(saved)

    def _observe_caller(self, outcome: Outcome, caller: Caller, cost: float | None) -> None:
        series = self._tenants.get(caller.tenant) or self._tenant_series(caller.tenant)
        error = outcome.error
        if error is None:
            series.success.value += 1
        elif error == "cancelled":
            series.cancelled.value += 1
        else:
            refused = 400 <= outcome.status < 500
            (series.refused if refused else series.failed).value += 1
            if error in ("rate_limited", "quota_exhausted") and not outcome.attempts:
                self._limited.of(caller.user).value += 1
        usage = outcome.usage
        series.input.value += usage.input_tokens
        series.output.value += usage.output_tokens
        if cost is not None:
            series.cost.value += cost

    def _tenant_series(self, tenant: str) -> _TenantSeries:
        name = tenant if len(self._tenants) < MOST_TENANTS else OTHER
        series = self._tenants.get(name)
        if series is None:
            series = self._tenants[name] = _TenantSeries(name, self)
        return series

    def _model_series(self, provider: str, model: str) -> _ModelSeries:
        labels = (provider, model)
        if len(self._models) >= MOST_MODELS:
            labels = (provider, OTHER)
            kept = self._models.get(labels)
            if kept is not None:
                return kept
        series = self._models[labels] = _ModelSeries(labels, self)
        return series

    # What is shown

    def snapshot(self) -> Snapshot:
        """What this process has counted. `encode_snapshot` carries it to another worker."""
        found: Snapshot = {}
        for metric in self._declared:
            family = (
                self._read.get(metric.name)
                or self._spreads.get(metric.name)
                or self._tallies[metric.name]
            )
            found[metric.name] = family.points()
        return found

    def render(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type, in the format the scraper accepts; of all workers."""
        snapshots = [self.snapshot(), *(_decode(other) for other in self.others())]
        return self._exposition.render(merged(self._declared, snapshots), accept)

    def encode_snapshot(self) -> bytes:
        return _encode(self.snapshot())


def _spread_family(metric: Metric) -> Family[Spread]:
    return Family(metric, lambda: Spread(metric.buckets))
