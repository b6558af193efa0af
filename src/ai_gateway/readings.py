"""Gauges that are read where their values live, at a scrape; nothing is counted for them on the path."""

from msgspec import Struct

from ai_gateway.audit.build import OpenAudit
from ai_gateway.caching.cache import Cache
from ai_gateway.caching.no_cache import NoCache
from ai_gateway.ledger.backlog import Backlog
from ai_gateway.ledger.build import OpenLedger
from ai_gateway.telemetry.log import Log
from ai_gateway.telemetry.metrics import Metrics
from ai_gateway.telemetry.series import Labels
from ai_gateway.telemetry.tracing import Tracing
from ai_gateway.telemetry.webhooks import Webhooks
from ai_gateway.upstream.client import UpstreamClient


class Sources(Struct, frozen=True):
    """Where the values live."""

    client: UpstreamClient
    cache: Cache | NoCache
    log: Log
    tracing: Tracing
    audit: OpenAudit
    account: OpenLedger | None
    webhooks: Webhooks | None


def read_at_scrapes(metrics: Metrics, sources: Sources) -> None:
    if sources.account is not None:
        _read_backlog(metrics, sources.account.backlog)
    if isinstance(sources.cache, Cache):
        _read_cache(metrics, sources.cache)
    pool = sources.client.pool
    metrics.read(
        "gateway_upstream_connections",
        lambda: {("busy",): float(pool.busy), ("idle",): float(pool.idle)},
    )
    metrics.read("gateway_background_queue", lambda: _waiting(sources))


def _read_backlog(metrics: Metrics, backlog: Backlog) -> None:
    metrics.read("gateway_ledger_spool_bytes", backlog.size)
    metrics.read("gateway_ledger_held_records", backlog.held)
    metrics.read("gateway_ledger_lag_seconds", backlog.lag)


def _read_cache(metrics: Metrics, cache: Cache) -> None:
    memory = cache.memory
    metrics.read("cache_entries", lambda: float(len(memory)))
    metrics.read("cache_bytes", lambda: float(memory.bytes))
    metrics.read("cache_evictions_total", lambda: float(memory.evicted))
    semantic = cache.semantic
    if semantic is not None:
        metrics.read("cache_semantic_entries", lambda: float(len(semantic.index)))
        metrics.read("cache_semantic_bytes", lambda: float(semantic.index.size))


def _waiting(sources: Sources) -> dict[Labels, float]:
    """By queue."""
    found = {
        "log": sources.log.waiting,
        "traces": sources.tracing.waiting,
        "acts": sources.audit.acts.waiting,
        **sources.audit.auditor.waiting,
    }
    if sources.webhooks is not None:
        found["webhooks"] = sources.webhooks.waiting
    return {(name,): float(count) for name, count in found.items()}
