"""Builds the parts and hands them to each other. Nothing here knows what they do."""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from time import monotonic, perf_counter
from zoneinfo import ZoneInfo

from msgspec import Struct

from ai_gateway import __version__
from ai_gateway.access.build import AccessSettings, open_access
from ai_gateway.caching.cache import Cache, NoCache
from ai_gateway.caching.memory import MemoryStore
from ai_gateway.caching.rules import RuleBook, Rules
from ai_gateway.catalogue.catalogue import Catalogue, load_catalogue
from ai_gateway.edge.admin.table import AdminParts
from ai_gateway.edge.asgi import App
from ai_gateway.edge.held import Holdings
from ai_gateway.edge.readiness import Readiness
from ai_gateway.edge.router import Parts, build_edge
from ai_gateway.forward import Forwarder
from ai_gateway.guardrails.build import build_guardrails
from ai_gateway.holdings.files import FileShelf
from ai_gateway.holdings.runner import BatchRunner
from ai_gateway.holdings.store import GATEWAY, HoldingStore
from ai_gateway.ledger.build import LedgerSettings, OpenLedger
from ai_gateway.ledger.ledger import NoLedger
from ai_gateway.limits.limits import BudgetWarning, Limits, NoSpending, Spending
from ai_gateway.limits.rules import GatewayRules
from ai_gateway.model.call import GATEWAY_ITSELF
from ai_gateway.model.policy import RateLimit
from ai_gateway.model.redis_address import RedisLogin
from ai_gateway.perform.performer import Performer
from ai_gateway.pipeline import Pipeline
from ai_gateway.routing.destinations import Credential, Directory
from ai_gateway.routing.router import Router
from ai_gateway.routing.vitals import VitalsBook
from ai_gateway.settings.otlp import read_headers
from ai_gateway.settings.secret import resolve_secret
from ai_gateway.settings.tree import ConfiguredProvider, Settings
from ai_gateway.simulator.options import SimulatorOptions
from ai_gateway.simulator.server import start as start_simulator
from ai_gateway.spending import LedgerSpending
from ai_gateway.state.memory import MemoryState
from ai_gateway.state.store import State
from ai_gateway.storage.database import Database, database_url
from ai_gateway.telemetry.log import Level, Log
from ai_gateway.telemetry.loop_lag import LoopLag
from ai_gateway.telemetry.metrics import Metrics
from ai_gateway.telemetry.sampling import Sampling
from ai_gateway.telemetry.tracing import Tracing
from ai_gateway.upstream.client import Timeouts, UpstreamClient, UpstreamRequest, address
from ai_gateway.upstream.faults import UpstreamFault
from ai_gateway.upstream.signing import AwsSigner, GoogleSigner, Signer


class Gateway(Struct, frozen=True, kw_only=True):
    """The running whole."""

    app: App
    catalogue: Catalogue
    router: Router
    readiness: Readiness
    metrics: Metrics
    log: Log
    simulated: bool
    """No provider is configured, and the built-in simulator stands in."""


@asynccontextmanager
async def open_gateway(
    settings: Settings, *, log_lock: Path | None = None
) -> AsyncGenerator[Gateway, None]:
    """Everything up, ready to be served; and down again. `log_lock`: where workers share an output."""
    own = {name: c.provider for name, c in settings.providers.items()}
    catalogue = load_catalogue(settings.prices, own)
    credentials = {
        name: Credential(
            base_url=c.base_url,
            secrets=tuple(key.reveal() for key in c.keys) or (None,),
            signer=_signer(c),
        )
        for name, c in settings.providers.items()
    }
    simulated = not credentials
    simulator = await start_simulator(SimulatorOptions()) if simulated else None
    if simulator is not None:
        credentials = _simulated(simulator.port)
    metrics = Metrics(__version__)
    log = Log(settings.log_level, metrics.log_dropped.add, lock=log_lock)
    timeouts = Timeouts(
        connect=settings.connect_timeout,
        first_byte=settings.first_byte_timeout,
        idle=settings.idle_timeout,
        total=settings.total_timeout,
    )
    tracing = _tracing(settings, metrics)
    client = UpstreamClient(timeouts, max_answer_bytes=settings.max_answer_bytes)
    random = Random()
    vitals = VitalsBook()
    directory = Directory(catalogue, credentials, vitals, user_agent=f"ai-gateway/{__version__}")
    router = Router(directory, settings.routes, clock=perf_counter, random=random)
    readiness = Readiness()

    def database_event(level: Level, event: str, why: str) -> None:
        if level == "error":
            database_lost.add(1)
        log.event(level, event, why=why or None)

    database_lost = metrics.counter("gateway_database_lost_total").of()
    database = Database(
        database_url(
            None if settings.database_url is None else settings.database_url.reveal(),
            settings.data_dir,
        )
    )
    opened = await open_access(
        AccessSettings(
            mode=settings.access,
            has_admin_key=settings.admin_key is not None,
            tenants=settings.tenants,
            keys=settings.keys,
            issuers=settings.auth,
            known_keys=settings.known_keys,
            stale_seconds=settings.access_stale,
        ),
        database,
        reveal=lambda reference: resolve_secret(reference, os.environ).reveal(),
        on_event=database_event,
    )
    if opened.follower is not None:
        readiness.add_note(opened.follower.note)
    account = (
        OpenLedger(
            LedgerSettings(
                directory=settings.data_dir / "spool",
                days=settings.ledger_days,
                hourly_days=settings.ledger_hourly_days,
                price_version=catalogue.price_version,
            ),
            database,
            lost=metrics.counter("gateway_ledger_lost_total").of().add,
            on_event=database_event,
        )
        if settings.ledger == "on"
        else None
    )
    if account is not None:
        readiness.add_note(account.note)
        account.start()
    guardrails = build_guardrails(
        settings.guardrails,
        count=metrics.count_guardrail,
        reveal=lambda reference: resolve_secret(reference, os.environ).reveal(),
        post=partial(_post, client),
        ask=lambda model, body, timeout: pipeline.ask(
            GATEWAY_ITSELF, "moderations", "/v1/moderations", body, timeout
        ),
    )
    state = await _open_state(settings, metrics, log)
    if settings.limits_on_state_loss == "refuse":
        readiness.add(state.trouble)
    else:
        readiness.add_note(state.trouble)
    spending = (
        NoSpending()
        if account is None
        else LedgerSpending(account.queries, account.replayer.replay)
    )
    limits = _limits(settings, state, spending, metrics, log)
    pipeline = Pipeline(
        limits=limits,
        access=opened.access,
        ledger=NoLedger() if account is None else account.ledger,
        router=router,
        performer=Performer(client, timeouts, random=random),
        forwarder=Forwarder(client),
        metrics=metrics,
        log=log,
        guardrails=guardrails,
        tracing=tracing,
        cache=_cache(settings),
    )
    holdings = HoldingStore(database)
    shelf = FileShelf(settings.data_dir / "files", most_bytes=settings.max_upload_bytes)
    batches = BatchRunner(
        holdings,
        shelf,
        state,
        pipeline.run,
        lambda what, error: log.event(
            "error", "batch_failed", batch=what, error=type(error).__name__
        ),
    )
    app = build_edge(
        Parts(
            pipeline=pipeline,
            router=router,
            metrics=metrics,
            log=log,
            readiness=readiness,
            access=opened.access,
            admin_key=None if settings.admin_key is None else settings.admin_key.reveal(),
            metrics_key=None if settings.metrics_key is None else settings.metrics_key.reveal(),
            budgets=limits.remaining,
            admin=AdminParts(
                administration=opened.administration,
                access_changed=opened.changed,
                ledger=None if account is None else account.queries,
            ),
            holdings=Holdings(
                store=holdings,
                shelf=shelf,
                runner=batches,
                default_provider="openai" if "openai" in credentials else GATEWAY,
            ),
            loopback_only=not opened.access.closed and settings.access != "open",
            max_body_bytes=settings.max_body_bytes,
            max_upload_bytes=settings.max_upload_bytes,
            pass_through=settings.pass_through,
        )
    )
    log.start()
    tracing.start()
    lag = LoopLag(metrics)
    lag.start()
    batches.start()
    try:
        yield Gateway(
            app=app,
            catalogue=catalogue,
            router=router,
            readiness=readiness,
            metrics=metrics,
            log=log,
            simulated=simulated,
        )
    finally:
        await batches.close()
        await state.close()
        await opened.close()
        if account is not None:
            await account.close()
        await database.close()
        client.close()
        lag.close()
        if simulator is not None:
            await simulator.stop()
        await asyncio.to_thread(tracing.close)
        await log.close()


def _tracing(settings: Settings, metrics: Metrics) -> Tracing:
    sampling = Sampling(
        sampler=settings.traces_sampler,
        ratio=settings.traces_ratio,
        slow_seconds=settings.trace_slow_seconds,
    )
    if settings.traces is None:
        return Tracing(sampling, None, frozenset(settings.trace_propagate_to))
    # The SDK takes memory and time to import: only where there is somewhere to export to.
    from ai_gateway.telemetry.otlp import OtlpSpans, OtlpTarget

    headers = "" if settings.otlp_headers is None else settings.otlp_headers.reveal()
    dropped = metrics.counter("gateway_traces_dropped_total")
    drops = {reason: dropped.of(reason) for reason in ("full", "failed", "closing")}
    exporter = OtlpSpans(
        OtlpTarget(
            endpoint=settings.traces.url,
            protocol=settings.traces.protocol,
            headers=read_headers(headers),
            service_name=settings.service_name,
            instance=f"{socket.gethostname()}:{os.getpid()}",
        ),
        __version__,
        exported=metrics.counter("gateway_traces_exported_total").of().add,
        lost=lambda reason, count: drops[reason].add(count),
    )
    return Tracing(sampling, exporter, frozenset(settings.trace_propagate_to))


async def _post(
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


def _cache(settings: Settings) -> Cache | NoCache:
    if not settings.cache_ttl:
        return NoCache()
    book = RuleBook(Rules(ttl=settings.cache_ttl * 60))
    return Cache(book, MemoryStore(settings.cache_memory_bytes, monotonic))


async def _open_state(settings: Settings, metrics: Metrics, log: Log) -> State:
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


def _limits(
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


def _signer(configured: ConfiguredProvider) -> Signer | None:
    """Where no key is given, a cloud's own credentials are."""
    if configured.keys:
        return None
    match configured.provider.cloud:
        case "aws":
            return AwsSigner(service="bedrock", region=configured.variables["region"])
        case "google":
            return GoogleSigner()
        case None:
            return None


def _simulated(port: int) -> Mapping[str, Credential]:
    credential = Credential(base_url=f"http://127.0.0.1:{port}/v1", secrets=(None,))
    names = ("simulator", "simulator-anthropic", "simulator-gemini")
    return dict.fromkeys(names, credential)
