"""Grafana's dashboards, a panel a line. `make documents` writes them to deploy/grafana/dashboards."""

import json
from typing import NamedTuple

_SOURCE = {"type": "prometheus", "uid": "prometheus"}
_CALLS = 'http_requests_total{endpoint=~"/v1/.*"}'


class Panel(NamedTuple):
    title: str
    unit: str
    queries: dict[str, str]
    """By legend."""
    kind: str = "timeseries"
    exemplars: bool = False


def _quantiles(metric: str, by: str = "") -> dict[str, str]:
    """p50, p95 and p99 of a histogram."""
    labels = f"le, {by}" if by else "le"
    legend = " ".join(f"{{{{{name.strip()}}}}}" for name in by.split(",")) if by else ""
    return {
        f"p{q} {legend}".strip(): f"histogram_quantile(0.{q}, sum by ({labels}) (rate({metric}_bucket[$__rate_interval])))"
        for q in (50, 95, 99)
    }


def _rate(metric: str, by: str) -> dict[str, str]:
    legend = " ".join(f"{{{{{name.strip()}}}}}" for name in by.split(","))
    return {legend: f"sum by ({by}) (rate({metric}[$__rate_interval]))"}


_ERRORS = (
    'sum(rate(http_requests_total{endpoint=~"/v1/.*",status=~"5.."}[$__rate_interval]))'
    f" / sum(rate({_CALLS}[$__rate_interval]))"
)

DASHBOARDS: dict[str, tuple[str, tuple[Panel, ...]]] = {
    "overview": ("AI Gateway: overview", (
        Panel("Calls a second", "reqps", {"calls": f"sum(rate({_CALLS}[$__rate_interval]))"}, "stat"),
        Panel("Answered 5xx", "percentunit", {"errors": _ERRORS}, "stat"),
        Panel("In flight", "short", {"calls": "sum(gateway_in_flight)"}, "stat"),
        Panel("Spent in the last day", "currencyUSD", {"cost": "sum(increase(llm_cost_usd_total[1d]))"}, "stat"),
        Panel("Calls by endpoint", "reqps", _rate(_CALLS, "endpoint")),
        Panel("Calls by status", "reqps", _rate(_CALLS, "status")),
        Panel("The gateway's own time", "s", _quantiles("gateway_overhead_seconds"), exemplars=True),
        Panel("Time of whole calls", "s", _quantiles("http_request_duration_seconds")),
        Panel("Event loop lag", "s", _quantiles("gateway_event_loop_lag_seconds")),
        Panel("CPU", "percentunit", {"{{instance}}": "rate(process_cpu_seconds_total[$__rate_interval])"}),
        Panel("Memory", "bytes", {"{{instance}}": "process_resident_memory_bytes"}),
        Panel("Lost or dropped", "short", {
            "ledger": "sum(increase(gateway_ledger_lost_total[5m]))",
            "audit": "sum(increase(gateway_audit_dropped_total[5m]))",
            "traces": "sum(increase(gateway_traces_dropped_total[5m]))",
            "log lines": "sum(increase(gateway_log_lines_dropped_total[5m]))",
            "internal errors": "sum(increase(gateway_internal_errors_total[5m]))",
        }),
        Panel("Waiting beside the path", "short", {"{{queue}}": "sum by (queue) (gateway_background_queue)"}),
        Panel("Ledger: oldest record not in the database yet", "s", {"{{instance}}": "gateway_ledger_lag_seconds"}),
        Panel("Ledger: spool", "bytes", {"{{instance}}": "gateway_ledger_spool_bytes"}),
        Panel("Connections to providers", "short", {"{{state}}": "sum by (state) (gateway_upstream_connections)"}),
    )),
    "cost": ("AI Gateway: cost", (
        Panel("Spent in the last day", "currencyUSD", {"cost": "sum(increase(llm_cost_usd_total[1d]))"}, "stat"),
        Panel("Saved by the cache in the last day", "currencyUSD",
              {"saved": "sum(increase(cache_saved_usd_total[1d]))"}, "stat"),
        Panel("US dollars an hour, by model", "currencyUSD",
              {"{{provider}} {{model}}": "sum by (provider, model) (rate(llm_cost_usd_total[$__rate_interval])) * 3600"}),
        Panel("US dollars an hour, by tenant", "currencyUSD",
              {"{{tenant}}": "sum by (tenant) (rate(gateway_tenant_cost_usd_total[$__rate_interval])) * 3600"}),
        Panel("Tokens a second", "short", _rate("llm_tokens_used_total", "model, type")),
        Panel("Tokens by tenant", "short", _rate("gateway_tenant_tokens_total", "tenant, type")),
        Panel("Calls without a known price", "reqps", _rate("llm_unpriced_requests_total", "provider, model")),
        Panel("Soft budgets passed", "short",
              {"per {{per}}, {{period}}": "sum by (per, period) (increase(gateway_budget_warnings_total[1h]))"}),
    )),
    "providers": ("AI Gateway: providers", (
        Panel("Attempts by outcome", "reqps", _rate("llm_attempts_total", "provider, status")),
        Panel("Calls by model and outcome", "reqps", _rate("llm_requests_total", "model, status")),
        Panel("Breakers (1 half-open, 2 open)", "short",
              {"{{provider}} {{model}}": "max by (provider, model) (gateway_breaker_state)"}),
        Panel("Breakers' changes", "short",
              {"{{provider}} {{model}} {{state}}": "sum by (provider, model, state) (increase(gateway_breaker_changes_total[5m]))"}),
        Panel("Time of answers", "s", _quantiles("llm_request_duration_seconds", "provider, model"), exemplars=True),
        Panel("Time to first token", "s", _quantiles("llm_time_to_first_token_seconds", "provider, model"), exemplars=True),
        Panel("Time per output token", "s", _quantiles("llm_time_per_output_token_seconds", "provider, model")),
        Panel("Retries", "reqps", _rate("llm_retries_total", "provider")),
        Panel("Retries refused by the retry budget", "reqps",
              {"refused": "sum(rate(gateway_retries_refused_total[$__rate_interval]))"}),
        Panel("Fall-backs", "reqps", _rate("llm_fallbacks_total", "provider, to_provider")),
    )),
    "cache": ("AI Gateway: cache", (
        Panel("Hit ratio", "percentunit", {"hits": "gateway:cache_hit_ratio:5m"}, "stat"),
        Panel("Saved in the last day", "currencyUSD", {"saved": "sum(increase(cache_saved_usd_total[1d]))"}, "stat"),
        Panel("Outcomes", "reqps", _rate("cache_requests_total", "outcome")),
        Panel("Looks by meaning", "reqps", _rate("cache_semantic_lookups_total", "outcome")),
        Panel("Hits and misses", "reqps", {
            "hits": "sum(rate(cache_hits_total[$__rate_interval]))",
            "misses": "sum(rate(cache_misses_total[$__rate_interval]))",
        }),
        Panel("Stored answers", "short", {
            "answers": "sum(cache_entries)",
            "questions found by meaning": "sum(cache_semantic_entries)",
        }),
        Panel("Memory", "bytes", {
            "answers {{instance}}": "cache_bytes",
            "vectors {{instance}}": "cache_semantic_bytes",
        }),
        Panel("Pushed out for want of memory", "reqps", {"answers": "sum(rate(cache_evictions_total[$__rate_interval]))"}),
    )),
    "limits": ("AI Gateway: limits", (
        Panel("Refused by limits", "reqps",
              {"{{user_id}}": "topk(10, sum by (user_id) (rate(rate_limit_exceeded_total[$__rate_interval])))"}),
        Panel("Calls by tenant and outcome", "reqps", _rate("gateway_tenant_requests_total", "tenant, outcome")),
        Panel("Queue", "short", {"waiting": "sum(gateway_queue_depth)"}),
        Panel("Time in the queue", "s", _quantiles("gateway_queue_seconds")),
        Panel("Turned away", "reqps", _rate("gateway_shed_total", "reason")),
        Panel("Redis lost (1: this process counts for itself)", "short", {"{{instance}}": "gateway_state_degraded"}),
        Panel("Guardrails", "reqps", _rate("gateway_guardrail_findings_total", "guardrail, action")),
    )),
    "slo": ("AI Gateway: service levels", (
        Panel("Error budget left, 30 days at 99.9 %", "percentunit", {
            "left": '1 - (sum(increase(http_requests_total{endpoint=~"/v1/.*",status=~"5.."}[30d]))'
                    f" / sum(increase({_CALLS}[30d]))) / 0.001",
        }, "stat"),
        Panel("Burn rate", "short", {
            "5 minutes": "gateway:error_ratio:5m / 0.001",
            "1 hour": "gateway:error_ratio:1h / 0.001",
            "6 hours": "gateway:error_ratio:6h / 0.001",
        }),
        Panel("Gateway's own time, p99 (goal: below 5 ms)", "s", {"p99": "gateway:overhead_seconds:p99_5m"}),
        Panel("Time to first token, p95", "s", {"{{provider}} {{model}}": "gateway:first_token_seconds:p95_5m"}),
        Panel("Calls", "reqps", {"calls": "gateway:requests:rate5m"}),
    )),
}  # fmt: skip


def dashboard(name: str) -> str:
    title, panels = DASHBOARDS[name]
    shown: list[dict[str, object]] = []
    column, row, tallest = 0, 0, 0
    for number, panel in enumerate(panels, 1):
        width, height = (6, 4) if panel.kind == "stat" else (12, 8)
        if column + width > 24:
            column, row, tallest = 0, row + tallest, 0
        place = {"x": column, "y": row, "w": width, "h": height}
        column, tallest = column + width, max(tallest, height)
        shown.append(_panel(number, panel, place))
    whole = {
        "uid": f"ai-gateway-{name}",
        "title": title,
        "tags": ["ai-gateway"],
        "timezone": "browser",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "editable": True,
        "links": [
            {
                "type": "dashboards",
                "tags": ["ai-gateway"],
                "title": "AI Gateway",
                "asDropdown": True,
            }
        ],
        "templating": {"list": []},
        "panels": shown,
    }
    return json.dumps(whole, indent=2) + "\n"


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, object]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}}
        if panel.kind == "timeseries"
        else {"reduceOptions": {"calcs": ["lastNotNull"]}},
        "targets": [
            {
                "refId": chr(ord("A") + at),
                "datasource": _SOURCE,
                "expr": query,
                "legendFormat": legend,
                "exemplar": panel.exemplars,
            }
            for at, (legend, query) in enumerate(panel.queries.items())
        ],
    }
