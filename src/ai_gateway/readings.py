"""Gauges that are read where their values live, at a scrape; nothing is counted for them on the path."""

from ai_gateway.audit.build import OpenAudit
from ai_gateway.caching.cache import Cache, NoCache
from ai_gateway.ledger.backlog import Backlog
from ai_gateway.telemetry.log import Log
from ai_gateway.telemetry.metrics import Metrics
from ai_gateway.telemetry.series import Labels
from ai_gateway.telemetry.tracing import Tracing
from ai_gateway.telemetry.webhooks import Webhooks
from ai_gateway.upstream.client import UpstreamClient


def read_backlog(metrics: Metrics, backlog: Backlog) -> None:
    metrics.read("gateway_ledger_spool_bytes", backlog.size)
    metrics.read("gateway_ledger_held_records", backlog.held)
    metrics.read("gateway_ledger_lag_seconds", backlog.lag)


def read_connections(metrics: Metrics, client: UpstreamClient) -> None:
    pool = client.pool
    metrics.read(
        "gateway_upstream_connections",
        lambda: {("busy",): float(pool.busy), ("idle",): float(pool.idle)},
    )


def read_cache(metrics: Metrics, cache: Cache | NoCache) -> None:
    if isinstance(cache, NoCache):
        return
    memory = cache.memory
    metrics.read("cache_entries", lambda: float(len(memory)))
    metrics.read("cache_bytes", lambda: float(memory.bytes))
    metrics.read("cache_evictions_total", lambda: float(memory.evicted))
    semantic = cache.semantic
    if semantic is not None:
        metrics.read("cache_semantic_entries", lambda: float(len(semantic.index)))
        metrics.read("cache_semantic_bytes", lambda: float(semantic.index.size))


def read_queues(
    metrics: Metrics, log: Log, tracing: Tracing, audit: OpenAudit, webhooks: Webhooks | None
) -> None:
    def waiting() -> dict[Labels, float]:
        found = {"log": log.waiting, "traces": tracing.waiting, **audit.auditor.waiting}
        found["acts"] = audit.acts.waiting
        if webhooks is not None:
            found["webhooks"] = webhooks.waiting
        return {(name,): float(count) for name, count in found.items()}

    metrics.read("gateway_background_queue", waiting)
