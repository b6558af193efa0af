"""Parts that take more than a line to make of the settings."""

import os
import socket
from collections.abc import Callable, Mapping
from random import Random
from time import perf_counter
from zoneinfo import ZoneInfo

from ai_gateway import __version__
from ai_gateway.audit.auditor import Sink
from ai_gateway.audit.build import AuditSettings, Counts, OpenAudit
from ai_gateway.caching.build import AskItself, build_cache
from ai_gateway.caching.cache import Cache
from ai_gateway.caching.no_cache import NoCache
from ai_gateway.courier import Loss
from ai_gateway.limits.limits import BudgetWarning, Limits, Spending
from ai_gateway.limits.rules import GatewayRules
from ai_gateway.model.otlp import OtlpTarget
from ai_gateway.model.policy import RateLimit
from ai_gateway.model.redis_address import RedisLogin
from ai_gateway.perform.prober import Prober
from ai_gateway.routing.experiments import STOPS, Experiments
from ai_gateway.routing.forced import ForcedBreakers
from ai_gateway.routing.router import Router
from ai_gateway.routing.vitals import VitalsBook
from ai_gateway.routing.watch import HINTS, breaker_watch, concurrency, hint_of, states, take_hint
from ai_gateway.settings.otlp import OtlpEndpoint, read_headers
from ai_gateway.settings.tree import Settings
from ai_gateway.state.memory import MemoryState
from ai_gateway.state.store import State
from ai_gateway.storage.database import Database
from ai_gateway.telemetry.log import Log
from ai_gateway.telemetry.metrics import Metrics
from ai_gateway.telemetry.sampling import Sampling
from ai_gateway.telemetry.tracing import Tracing
from ai_gateway.telemetry.webhooks import Webhooks
from ai_gateway.upstream.client import UpstreamClient, UpstreamRequest, address
from ai_gateway.upstream.faults import UpstreamFault


def vitals_of(
    settings: Settings, metrics: Metrics, log: Log, tell: Callable[[bytes], None]
) -> VitalsBook:
    """`tell` takes a hint for the other processes."""

    def changed(provider: str, model: str, became: str, cause: str) -> None:
        labels = metrics.model_labels(provider, model)
        metrics.counter("gateway_breaker_changes_total").of(*labels, became, cause).value += 1
        level = "info" if became == "closed" else "warning"
        log.event(level, "breaker", provider=provider, model=model[:64], state=became, cause=cause)
        found = vitals.find(provider, model)
        if found is not None and became == "open" and cause not in ("hint", "admin"):
            seconds = found.breaker.retry_at - perf_counter()
            tell(hint_of(provider, model, seconds))

    vitals = VitalsBook(breaker_watch(changed), settings.upstreams)
    metrics.read("gateway_breaker_state", lambda: states(vitals))
    metrics.read("gateway_concurrency_limit", lambda: concurrency(vitals, lambda one: one.limit))
    metrics.read(
        "gateway_concurrency_full_total", lambda: concurrency(vitals, lambda one: one.full)
    )
    return vitals


def prober_of(
    settings: Settings, client: UpstreamClient, router: Router, metrics: Metrics, log: Log
) -> Prober:
    """Started, where anything is to be probed."""

    def told(provider: str, model: str, outcome: str, detail: str | None) -> None:
        labels = metrics.model_labels(provider, model)
        metrics.counter("gateway_probes_total").of(*labels, outcome).add(1)
        level = "debug" if outcome == "good" else "info"
        log.event(level, "probe", provider=provider, model=model[:64], outcome=outcome, why=detail)

    prober = Prober(client, router, random=Random(), clock=perf_counter, told=told)
    if any(upstream.probe is not None for upstream in settings.upstreams.values()):
        prober.start()
    return prober


async def share_words(state: State, vitals: VitalsBook, experiments: Experiments) -> ForcedBreakers:
    """Hears what other processes say of breakers and experiments."""
    state.subscribe(HINTS, lambda message: take_hint(vitals, message, perf_counter()))
    state.subscribe(STOPS, experiments.hear)
    forced = ForcedBreakers(vitals, state)
    await forced.open()
    return forced


def log_as_text(settings: Settings) -> bool:
    if settings.log_format == "auto":
        return settings.log_level == "debug" and os.isatty(1)
    return settings.log_format == "text"


def tracing_of(
    settings: Settings, metrics: Metrics, server_of: Callable[[str], tuple[str, int] | None]
) -> Tracing:
    """`server_of` tells where a provider listens."""
    sampling = Sampling(
        sampler=settings.traces_sampler,
        ratio=settings.traces_ratio,
        slow_seconds=settings.trace_slow_seconds,
    )
    if settings.traces is None:
        return Tracing(sampling, None, frozenset(settings.trace_propagate_to))
    # The SDK takes memory and time to import: only where there is somewhere to export to.
    from ai_gateway.telemetry.otlp import OtlpSpans

    dropped = metrics.counter("gateway_traces_dropped_total")
    drops = {reason: dropped.of(reason) for reason in ("full", "failed", "closing")}
    exporter = OtlpSpans(
        _otlp_target(settings, settings.traces),
        __version__,
        exported=metrics.counter("gateway_traces_exported_total").of().add,
        lost=lambda reason, count: drops[reason].add(count),
        server_of=server_of,
    )
    return Tracing(sampling, exporter, frozenset(settings.trace_propagate_to))


def _otlp_target(settings: Settings, endpoint: OtlpEndpoint) -> OtlpTarget:
    headers = "" if settings.otlp_headers is None else settings.otlp_headers.reveal()
    return OtlpTarget(
        endpoint=endpoint.url,
        protocol=endpoint.protocol,
        headers=read_headers(headers),
        service_name=settings.service_name,
        instance=f"{socket.gethostname()}:{os.getpid()}",
    )


def audit_of(
    settings: Settings, database: Database, key: bytes | None, metrics: Metrics, log: Log
) -> OpenAudit:
    records = metrics.counter("gateway_audit_records_total")
    dropped = metrics.counter("gateway_audit_dropped_total")

    def lost(sink: str) -> Callable[[Loss, int], None]:
        drops = {reason: dropped.of(sink, reason) for reason in ("full", "failed", "closing")}
        return lambda reason, count: drops[reason].add(count)

    counts = Counts(
        written={sink: records.of(sink).add for sink in ("database", "jsonl", "otlp")},
        lost={sink: lost(sink) for sink in ("capture", "acts", "database", "jsonl", "otlp")},
    )

    def otlp() -> Sink:
        from ai_gateway.audit.otlp import OtlpSink

        assert settings.logs is not None
        return OtlpSink(
            _otlp_target(settings, settings.logs),
            __version__,
            written=counts.written["otlp"],
            lost=counts.lost["otlp"],
        )

    return OpenAudit(
        AuditSettings(
            level=settings.audit,
            options=settings.audit_options,
            directory=settings.data_dir / "audit",
            key=key,
        ),
        database,
        counts=counts,
        on_event=log.event,
        otlp=None if settings.logs is None else otlp,
    )


def webhooks_of(settings: Settings, metrics: Metrics) -> Webhooks | None:
    if settings.webhook_url is None:
        return None
    total = metrics.counter("gateway_webhooks_total")
    counts = {outcome: total.of(outcome) for outcome in ("sent", "full", "failed", "closing")}
    secret = settings.webhook_secret
    return Webhooks(
        settings.webhook_url.reveal(),
        None if secret is None else secret.reveal(),
        service=settings.service_name,
        instance=f"{socket.gethostname()}:{os.getpid()}",
        sent=counts["sent"].add,
        lost=lambda reason, count: counts[reason].add(count),
    )


def cache_of(
    settings: Settings, state: State, metrics: Metrics, ask: Callable[[], AskItself]
) -> Cache | NoCache:
    """`ask` gives what carries calls of the gateway's own, once it is there."""
    looks = metrics.counter("cache_semantic_lookups_total")
    return build_cache(
        settings.cache,
        ttl=settings.cache_ttl * 60,
        memory_bytes=settings.cache_memory_bytes,
        shared=None if settings.redis_addr is None else state,
        ask=lambda caller, operation, endpoint, body, timeout: ask()(
            caller, operation, endpoint, body, timeout
        ),
        count=lambda what: looks.of(what).add(1),
    )


async def open_state(settings: Settings, metrics: Metrics, log: Log) -> State:
    if settings.redis_addr is None:
        return MemoryState()
    # Only who uses Redis pays for importing it.
    from ai_gateway.state.open import open_redis_state

    degraded = metrics.gauge("gateway_state_degraded").of()
    losses = metrics.counter("gateway_state_losses_total").of()

    def changed(reason: str | None) -> None:
        degraded.set(0 if reason is None else 1)
        if reason is None:
            log.event("info", "state_back")
        else:
            losses.add(1)
            log.event("error", "state_lost", why=reason, limits=settings.limits_on_state_loss)

    return await open_redis_state(
        settings.redis_addr,
        RedisLogin(
            user=settings.redis_user,
            password=None if settings.redis_password is None else settings.redis_password.reveal(),
            ca=settings.redis_ca,
        ),
        timeout=settings.redis_timeout,
        refuse=settings.limits_on_state_loss == "refuse",
        changed=changed,
    )


def limits_of(
    settings: Settings, state: State, spending: Spending, metrics: Metrics, log: Log
) -> Limits:
    limits = settings.limits
    stated = any(one.per == "user" and one.unit == "requests" for one in limits)
    if settings.rate_limit_capacity and not stated:
        per_user = RateLimit(
            per="user",
            capacity=settings.rate_limit_capacity,
            refill=settings.rate_limit_refill_rate,
        )
        limits = (*limits, per_user)

    def warned(warning: BudgetWarning) -> None:
        account = warning.account
        labels = (account.per, account.unit, account.period)
        metrics.counter("gateway_budget_warnings_total").of(*labels).add(1)
        log.event(
            "warning",
            "budget_passed",
            tenant=warning.tenant,
            per=account.per,
            name=account.name,
            unit=account.unit,
            period=account.period,
            used=warning.used,
            soft_limit=account.soft,
        )

    return Limits(
        state,
        GatewayRules(limits=limits, budgets=settings.budgets, zone=ZoneInfo(settings.timezone)),
        spending=spending,
        assumed_output=settings.reserve_output_tokens,
        warned=warned,
        refuse_uncounted=settings.limits_on_state_loss == "refuse",
    )


async def post_to_service(
    client: UpstreamClient, url: str, body: bytes, headers: Mapping[str, str], timeout: float
) -> bytes:
    """POSTs to a service of the operator's. Raises OSError for any answer but a 200."""
    request = UpstreamRequest(address=address(url, headers.items()), body=body, timeout=timeout)
    try:
        answer = await client.fetch(request)
    except UpstreamFault as fault:
        raise OSError(fault.message) from None
    if answer.status != 200:
        raise OSError(f"answered {answer.status}")
    return answer.body
