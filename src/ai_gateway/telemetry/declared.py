"""Every metric, declared once: the families, /metrics, the documents and their checks derive from this.

To add one: a row here, then `make documents`; ask `Metrics` for its family by name.
"""

from typing import Literal

from msgspec import Struct

Kind = Literal["counter", "gauge", "histogram"]


class Metric(Struct, frozen=True, kw_only=True):
    name: str
    """As Prometheus reads it: a counter's ends in `_total`."""
    kind: Kind
    labels: tuple[str, ...] = ()
    help: str
    buckets: tuple[float, ...] = ()
    """A histogram's upper bounds, without infinity."""
    most: int = 1000
    """Series at most. Past them, labels whose values callers can invent (`INVENTED`) read `other`."""
    workers: Literal["sum", "max", "min"] = "sum"
    """How a gauge's values of several workers become one."""


INVENTED = frozenset({"model", "user_id", "tenant", "route", "key_id"})
OTHER = "other"
LONGEST_VALUE = 64
"""Characters of a label's value; the rest is cut off."""

# A provider's models share this bound over all their families, so that none shows half of one.
MOST_MODELS = 100
MOST_USERS = 1000
MOST_TENANTS = 200

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_ANSWER_SECONDS = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 600)
_FIRST_TOKEN_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 60)
_TOKEN_SECONDS = (0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 1)
_OVERHEAD_SECONDS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25)
_QUEUE_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)
_LAG_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)

METRICS: tuple[Metric, ...] = (
    # HTTP
    Metric(name="http_requests_total", kind="counter", labels=("method", "endpoint", "status"),
           help="HTTP requests answered, by documented route; any other path is `other`."),
    Metric(name="http_request_duration_seconds", kind="histogram", labels=("method", "endpoint"),
           buckets=_SECONDS, help="From the head of a request to the end of its answer."),
    # Providers
    Metric(name="llm_requests_total", kind="counter", labels=("provider", "model", "status"),
           most=3000, help="Calls that reached a provider, by the one asked last; status is "
           "`success`, `cancelled`, or the kind of error."),
    Metric(name="llm_request_duration_seconds", kind="histogram", labels=("provider", "model"),
           buckets=_ANSWER_SECONDS, help="Time spent waiting for providers, all attempts of a call."),
    Metric(name="llm_time_to_first_token_seconds", kind="histogram", labels=("provider", "model"),
           buckets=_FIRST_TOKEN_SECONDS, help="Streams: from asking to the first piece of answer."),
    Metric(name="llm_time_per_output_token_seconds", kind="histogram", labels=("provider", "model"),
           buckets=_TOKEN_SECONDS,
           help="Streams: from the first piece of answer to the end, per output token after the first."),
    Metric(name="gateway_responses_not_kept_total", kind="counter",
           help="Notes of stored responses given up because the database did not take them."),
    Metric(name="llm_tokens_used_total", kind="counter", labels=("provider", "model", "type"),
           help="Tokens by type: input (cache reads and writes included), output (reasoning included)."),
    Metric(name="llm_cost_usd_total", kind="counter", labels=("provider", "model"),
           help="US dollars spent, at the catalogue's prices."),
    Metric(name="llm_unpriced_requests_total", kind="counter", labels=("provider", "model"),
           help="Answered calls whose usage or price is not known, so that no cost was counted."),
    Metric(name="llm_attempts_total", kind="counter", labels=("provider", "status"),
           help="Askings of a provider, retries and fall-backs included; status as in llm_requests_total."),
    Metric(name="llm_retries_total", kind="counter", labels=("provider",),
           help="Attempts after another at the same provider and model."),
    Metric(name="llm_fallbacks_total", kind="counter", labels=("provider", "to_provider"),
           help="Attempts after another at a different provider or model."),
    # Tenants
    Metric(name="gateway_tenant_requests_total", kind="counter", labels=("tenant", "outcome"),
           help="Calls by tenant; outcome is success, refused (4xx), failed (5xx) or cancelled."),
    Metric(name="gateway_tenant_tokens_total", kind="counter", labels=("tenant", "type"),
           help="Tokens used by tenant; type is input or output."),
    Metric(name="gateway_tenant_cost_usd_total", kind="counter", labels=("tenant",),
           help="US dollars spent by tenant."),
    # Limits and caches
    Metric(name="rate_limit_exceeded_total", kind="counter", labels=("user_id",), most=MOST_USERS,
           help="Calls refused by a rate limit or quota of the gateway's own."),
    Metric(name="gateway_budget_warnings_total", kind="counter", labels=("per", "unit", "period"),
           help="Soft budgets seen to be passed, each once in a process and period."),
    Metric(name="gateway_state_degraded", kind="gauge",
           help="1 while Redis is lost and this process counts for itself; of several workers, how many."),
    Metric(name="gateway_state_losses_total", kind="counter", help="Times that Redis was lost."),
    Metric(name="cache_hits_total", kind="counter", help="Calls answered without asking a provider: "
           "exact, semantic and joined."),
    Metric(name="cache_misses_total", kind="counter", help="Calls that looked for a kept answer in vain."),
    Metric(name="cache_requests_total", kind="counter", labels=("outcome",),
           help="Calls that could have used the cache: hit, semantic, joined, miss, bypass."),
    Metric(name="cache_saved_usd_total", kind="counter",
           help="US dollars that answers from the cache would have cost."),
    Metric(name="cache_semantic_lookups_total", kind="counter", labels=("outcome",),
           help="Looks for an answer by meaning: hit, far, vetoed (near, but the guard spoke against it), late "
           "(no embedding in time), unembedded, gone; and of the verifier: verified_same, verified_different, "
           "unverified, let_go; bad_hit: reported as wrong."),
    Metric(name="cache_entries", kind="gauge", help="Answers stored in the process's memory."),
    Metric(name="cache_bytes", kind="gauge", help="What they take, of CACHE_MEMORY_BYTES."),
    Metric(name="cache_evictions_total", kind="counter",
           help="Stored answers that had to go before their time, for want of memory."),
    Metric(name="cache_semantic_entries", kind="gauge",
           help="Questions that can be found by meaning, in the process's index."),
    Metric(name="cache_semantic_bytes", kind="gauge",
           help="What their vectors and the index over them take."),
    # Guardrails
    Metric(name="gateway_guardrail_findings_total", kind="counter",
           labels=("guardrail", "direction", "action"),
           help="Calls in which a guardrail found something (action `block`, `redact` or `flag`), or "
           "could not be asked (`failed`)."),
    # Targets
    Metric(name="gateway_breaker_state", kind="gauge", labels=("provider", "model"), workers="max",
           most=200, help="Circuit breakers that are not closed: 1 half-open, 2 open."),
    Metric(name="gateway_breaker_changes_total", kind="counter",
           labels=("provider", "model", "state", "cause"),
           help="Changes of circuit breakers, by the state they came to and why they left closed."),
    Metric(name="gateway_probes_total", kind="counter", labels=("provider", "model", "outcome"),
           help="Calls of the gateway's own to see how a provider's model is doing: good, bad, unknown (it "
           "told nothing)."),
    Metric(name="gateway_concurrency_limit", kind="gauge", labels=("provider", "model"), most=200,
           help="Calls at once that a provider's model is given, where `upstreams` limits them; of several "
           "workers, the sum."),
    Metric(name="gateway_concurrency_full_total", kind="counter", labels=("provider", "model"), most=200,
           help="How often a call found a provider's model at that limit, and went elsewhere, or waited."),
    Metric(name="gateway_retries_refused_total", kind="counter",
           help="Retries that were not made because too many calls were being tried again."),
    Metric(name="gateway_experiments_stopped_total", kind="counter", labels=("route",),
           help="Experiments that their guard stopped."),
    Metric(name="gateway_shadows_dropped_total", kind="counter",
           help="Copies of calls that were not sent because too many were under way."),
    # Load
    Metric(name="gateway_queue_depth", kind="gauge",
           help="Calls that wait because MAX_IN_FLIGHT are in hand."),
    Metric(name="gateway_tasks", kind="gauge",
           help="Tasks of the event loop: calls, streams and what runs behind them."),
    Metric(name="gateway_queue_seconds", kind="histogram", buckets=_QUEUE_SECONDS,
           help="How long calls waited, of those that had to."),
    Metric(name="gateway_shed_total", kind="counter", labels=("reason",),
           help="Calls answered 503 because there was no room: queue_full or queue_timeout."),
    # The gateway itself
    Metric(name="gateway_overhead_seconds", kind="histogram", buckets=_OVERHEAD_SECONDS,
           help="The gateway's own part of a call: all the time not spent waiting for a provider."),
    Metric(name="gateway_in_flight", kind="gauge", help="Calls being worked on."),
    Metric(name="gateway_upstream_connections", kind="gauge", labels=("state",),
           help="Connections to providers: busy, or idle and kept for the next call."),
    Metric(name="gateway_internal_errors_total", kind="counter",
           help="Faults of the gateway's own, each with an `internal_error` line in the log."),
    Metric(name="gateway_event_loop_lag_seconds", kind="histogram", buckets=_LAG_SECONDS,
           help="How late the event loop ran a timer, looked at twice a second."),
    Metric(name="gateway_log_lines_dropped_total", kind="counter",
           help="Log lines given up because standard output did not take them in time."),
    Metric(name="gateway_log_lines_sampled_out_total", kind="counter",
           help="Lines left out: of good calls as LOG_SAMPLE says, of unknown keys beyond 20 a second."),
    Metric(name="gateway_ledger_lost_total", kind="counter",
           help="Records of calls that the ledger lost, with neither disk nor memory left for them, or "
           "put aside because the database refused them. Anything but 0 wants a look."),
    Metric(name="gateway_ledger_spool_bytes", kind="gauge", workers="max",
           help="Records of calls in DATA_DIR/spool that have not reached the database."),
    Metric(name="gateway_ledger_held_records", kind="gauge",
           help="Records of calls that are in memory alone, because the disk did not take them."),
    Metric(name="gateway_ledger_lag_seconds", kind="gauge", workers="max",
           help="How long ago the oldest call was settled whose record has not reached the database."),
    Metric(name="gateway_database_lost_total", kind="counter",
           help="Times that the database could not be reached any more; calls go on, records wait."),
    Metric(name="gateway_background_queue", kind="gauge", labels=("queue",),
           help="What waits to be delivered beside the path: log lines, calls whose spans are to be "
           "sent (traces), settled calls (audit), audit records by sink, administrators' acts, webhooks."),
    Metric(name="gateway_traces_exported_total", kind="counter", help="Calls whose spans the collector took."),
    Metric(name="gateway_traces_dropped_total", kind="counter", labels=("reason",),
           help="Calls whose spans were given up: the queue was full, the delivery failed, or the time "
           "to close was over (closing)."),
    Metric(name="gateway_config_reloads_total", kind="counter", labels=("outcome",),
           help="Times that gateway.yaml was read anew: good, or refused and not in force."),
    Metric(name="gateway_audit_records_total", kind="counter", labels=("sink",),
           help="Audit records kept, by sink: database, jsonl, otlp."),
    Metric(name="gateway_audit_dropped_total", kind="counter", labels=("sink", "reason"),
           help="Audit records given up: the queue was full, the sink failed, or the time to close was "
           "over (closing). Sink `capture`: before they came to any; `acts`: of administrators' acts. Anything "
           "but 0 wants a look."),
    Metric(name="gateway_webhooks_total", kind="counter", labels=("outcome",),
           help="Events for WEBHOOK_URL: sent, or not (full, failed, closing)."),
    Metric(name="gateway_build_info", kind="gauge", labels=("version", "python"), workers="max",
           help="What is running; always 1."),
    # The process
    Metric(name="process_cpu_seconds_total", kind="counter", help="CPU time, user and system."),
    Metric(name="process_resident_memory_bytes", kind="gauge", help="Resident memory."),
    Metric(name="process_virtual_memory_bytes", kind="gauge", help="Virtual memory."),
    Metric(name="process_open_fds", kind="gauge", help="Open file descriptors."),
    Metric(name="process_max_fds", kind="gauge", workers="min", help="File descriptors allowed."),
    Metric(name="process_start_time_seconds", kind="gauge", workers="min",
           help="When the process started, in seconds since 1970."),
    Metric(name="python_gc_collections_total", kind="counter", labels=("generation",),
           help="Runs of the garbage collector."),
    Metric(name="python_gc_objects_collected_total", kind="counter", labels=("generation",),
           help="Objects that the garbage collector took away."),
)  # fmt: skip

BY_NAME = {metric.name: metric for metric in METRICS}
