"""Builds the parts and hands them to each other. Nothing here knows what they do."""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any

from msgspec import Struct

from ai_gateway import __version__
from ai_gateway.access.build import AccessSettings, open_access
from ai_gateway.catalogue.catalogue import Catalogue
from ai_gateway.edge.admin.audit import AuditParts
from ai_gateway.edge.admin.table import AdminParts
from ai_gateway.edge.asgi import App
from ai_gateway.edge.held import Holdings
from ai_gateway.edge.mcp import mcp_gates
from ai_gateway.edge.readiness import Readiness
from ai_gateway.edge.router import Parts, build_edge
from ai_gateway.forward import Forwarder
from ai_gateway.guardrails.build import build_guardrails
from ai_gateway.holdings.files import FileShelf
from ai_gateway.holdings.responses import ResponseKeeper
from ai_gateway.holdings.runner import BatchRunner
from ai_gateway.holdings.store import GATEWAY, HoldingStore
from ai_gateway.ledger.build import LedgerSettings, OpenLedger
from ai_gateway.ledger.ledger import NoLedger
from ai_gateway.limits.limits import NoSpending
from ai_gateway.load.turnstile import Turnstile
from ai_gateway.model.call import GATEWAY_ITSELF
from ai_gateway.parts import (
    audit_of,
    cache_of,
    limits_of,
    log_as_text,
    open_state,
    post_to_service,
    prober_of,
    share_words,
    tracing_of,
    vitals_of,
    webhooks_of,
)
from ai_gateway.perform.performer import Performer
from ai_gateway.pipeline import Pipeline
from ai_gateway.provision import Reloader, provision, require_good_routes
from ai_gateway.readings import Sources, read_at_scrapes
from ai_gateway.routing.book import RouteBook
from ai_gateway.routing.experiments import STOPS, Experiments
from ai_gateway.routing.router import Router
from ai_gateway.routing.store import DatabaseRoutes
from ai_gateway.routing.watch import HINTS
from ai_gateway.settings.secret import resolve_secret
from ai_gateway.settings.tree import Settings
from ai_gateway.simulator.options import SimulatorOptions
from ai_gateway.simulator.server import start as start_simulator
from ai_gateway.spare_memory import SpareMemory
from ai_gateway.spending import LedgerSpending
from ai_gateway.storage.database import Database, database_url
from ai_gateway.telemetry.error_budget import ErrorBudget
from ai_gateway.telemetry.log import Level, Log
from ai_gateway.telemetry.loop_lag import LoopLag
from ai_gateway.telemetry.metrics import Metrics
from ai_gateway.upstream.client import Timeouts, UpstreamClient


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
    reload: Callable[[], bool]
    """Reads `gateway.yaml` anew; true where it is in force now."""


@asynccontextmanager
async def open_gateway(
    settings: Settings,
    config: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    *,
    log_lock: Path | None = None,
) -> AsyncGenerator[Gateway, None]:
    """Everything up, ready to be served; and down again.

    `config`: the file to watch for changes, read anew with `environ`; `log_lock`: where workers share
    an output. Raises SettingsError for routes that lead nowhere.
    """
    simulated = not settings.providers
    instance = f"{socket.gethostname()}:{os.getpid()}"
    simulator = await start_simulator(SimulatorOptions()) if simulated else None
    simulator_port = None if simulator is None else simulator.port
    metrics = Metrics(__version__)
    log = Log(
        settings.log_level,
        metrics.log_dropped.add,
        lock=log_lock,
        sample=settings.log_sample,
        sampled_out=metrics.log_sampled_out.add,
        text=log_as_text(settings),
    )
    timeouts = Timeouts(
        connect=settings.connect_timeout,
        first_byte=settings.first_byte_timeout,
        idle=settings.idle_timeout,
        total=settings.total_timeout,
    )
    tracing = tracing_of(settings, metrics, lambda provider: router.directory.servers.get(provider))
    webhooks = webhooks_of(settings, metrics)
    log.listener = None if webhooks is None else webhooks.heard
    error_budget = ErrorBudget(
        metrics,
        lambda hour, short: log.event(
            "error", "error_budget_burning", hour=round(hour, 6), five_minutes=round(short, 6)
        ),
    )
    client = UpstreamClient(timeouts, max_answer_bytes=settings.max_answer_bytes)
    random = Random()

    vitals = vitals_of(settings, metrics, log, lambda message: state.publish(HINTS, message))
    catalogue, directory = provision(settings, vitals, simulator_port)
    require_good_routes(settings, directory)
    router = Router(directory, settings.routes, clock=perf_counter, random=random)
    readiness = Readiness()
    turnstile = Turnstile(
        most=settings.max_in_flight,
        most_waiting=settings.max_queue,
        longest_wait=settings.queue_timeout,
        on_refusal=lambda reason: metrics.counter("gateway_shed_total").of(reason).add(1),
        on_wait=metrics.histogram("gateway_queue_seconds").of().observe,
    )
    metrics.read("gateway_queue_depth", lambda: float(turnstile.waiting))
    metrics.read("gateway_tasks", lambda: float(len(asyncio.all_tasks())))

    def database_event(level: Level, event: str, why: str) -> None:
        if level == "error":
            database_lost.add(1)
        log.event(level, event, why=why or None)

    database_lost = metrics.counter("gateway_database_lost_total").of()
    audit_key = None if settings.audit_key is None else settings.audit_key.reveal().encode()
    database = Database(
        database_url(
            None if settings.database_url is None else settings.database_url.reveal(),
            settings.data_dir,
        ),
        audit_key,
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
        reveal=lambda reference: resolve_secret(reference, environ).reveal(),
        on_event=database_event,
    )
    readiness.add_note(opened.note)
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
    routes = RouteBook(
        router,
        settings.routes,
        DatabaseRoutes(database),
        on_event=database_event,
    )
    readiness.add_note(routes.note)
    await routes.start()

    def experiment_stopped(route: str, experiment: str, why: str) -> None:
        metrics.counter("gateway_experiments_stopped_total").of(route).add(1)
        log.event("warning", "experiment_stopped", route=route, experiment=experiment, why=why)

    experiments = Experiments(
        DatabaseRoutes(database),
        on_stop=experiment_stopped,
        on_event=database_event,
        tell=lambda message: state.publish(STOPS, message),
    )
    await experiments.open()

    def reloaded(outcome: str, why: str) -> None:
        metrics.counter("gateway_config_reloads_total").of(outcome).value += 1
        log.event("info" if outcome == "good" else "error", "reload", outcome=outcome, why=why)

    def swapped_config(actor: str, detail: dict[str, Any]) -> None:
        # Who keeps nothing gets no database for the sake of this.
        if settings.ledger == "on" or settings.audit != "off" or database.exists():
            detail["instance"] = instance
            audit.acts.note(
                actor=actor, action="swap config", tenant=None, target="gateway.yaml", detail=detail
            )

    reloader = Reloader(
        settings,
        config,
        vitals=vitals,
        routes=routes,
        access=opened,
        simulator_port=simulator_port,
        told=reloaded,
        swapped=swapped_config,
        environ=environ,
    )
    readiness.add_note(reloader.note)
    reloader.start()
    performer = Performer(client, timeouts, random=random)
    prober = prober_of(settings, client, router, metrics, log)
    metrics.read("gateway_retries_refused_total", lambda: float(performer.budget.refused))
    audit = audit_of(settings, database, audit_key, metrics, log)
    readiness.add_note(audit.note)
    audit.start()
    guardrails = build_guardrails(
        settings.guardrails,
        count=metrics.count_guardrail,
        reveal=lambda reference: resolve_secret(reference, os.environ).reveal(),
        post=partial(post_to_service, client),
        ask=lambda model, body, timeout: pipeline.ask(
            GATEWAY_ITSELF, "moderations", "/v1/moderations", body, timeout
        ),
    )
    state = await open_state(settings, metrics, log)
    forced = await share_words(state, vitals, experiments)
    if settings.limits_on_state_loss == "refuse":
        readiness.add(state.trouble)
    else:
        readiness.add_note(state.trouble)
    spending = NoSpending()
    if account is not None:
        spending = LedgerSpending(account.queries, account.replayer.catch_up)
    limits = limits_of(settings, state, spending, metrics, log)
    cache = cache_of(settings, state, metrics, lambda: pipeline.ask)
    read_at_scrapes(metrics, Sources(client, cache, log, tracing, audit, account, webhooks))
    holdings = HoldingStore(database)
    # What a provider holds is told apart for a month, as long as OpenAI keeps it.
    responses = ResponseKeeper(
        holdings,
        keeps_content=settings.response_store_hours > 0,
        seconds=settings.response_store_hours * 3600 or 30 * 86_400,
        most_bytes=settings.max_body_bytes,
        strict=lambda: opened.access.closed,
        dropped=metrics.counter("gateway_responses_not_kept_total").of().add,
    )
    pipeline = Pipeline(
        responses=responses,
        limits=limits,
        access=opened.access,
        ledger=NoLedger() if account is None else account.ledger,
        turnstile=turnstile,
        router=router,
        performer=performer,
        forwarder=Forwarder(client),
        experiments=experiments,
        metrics=metrics,
        log=log,
        guardrails=guardrails,
        tracing=tracing,
        cache=cache,
        audit=audit.auditor,
        attempts_trace=settings.attempts_trace == "on",
    )
    shelf = FileShelf(settings.data_dir / "files", most_bytes=settings.max_upload_bytes)
    batches = BatchRunner(
        holdings,
        shelf,
        state,
        pipeline.run,
        opened.access.again,
        lambda what, error: log.event(
            "error", "batch_failed", batch=what, error=type(error).__name__
        ),
    )
    app = build_edge(
        Parts(
            pipeline=pipeline,
            router=router,
            feedback=database if settings.ledger == "on" else None,
            metrics=metrics,
            log=log,
            readiness=readiness,
            access=opened.access,
            sign_ins=opened.sign_ins,
            trace_url=settings.trace_url,
            admin_key=None if settings.admin_key is None else settings.admin_key.reveal(),
            metrics_key=None if settings.metrics_key is None else settings.metrics_key.reveal(),
            budgets=limits.remaining,
            admin=AdminParts(
                administration=opened.administration,
                access_changed=opened.changed,
                ledger=None if account is None else account.queries,
                routes=routes,
                router=router,
                vitals=vitals,
                forced=forced,
                readiness=readiness,
                cache=cache,
                clock=perf_counter,
                experiments=experiments,
                database=database,
                audit=AuditParts(search=audit.search, record_act=audit.record_act, key=audit_key),
                note_act=audit.acts.note,
                instance=instance,
            ),
            holdings=Holdings(
                store=holdings,
                shelf=shelf,
                runner=batches,
                responses=responses,
                default_provider="openai" if "openai" in settings.providers else GATEWAY,
            ),
            mcp=mcp_gates(
                settings.mcp_servers,
                lambda reference: resolve_secret(reference, os.environ).reveal(),
            ),
            state=state,
            mode=settings.access,
            max_body_bytes=settings.max_body_bytes,
            max_upload_bytes=settings.max_upload_bytes,
            pass_through=settings.pass_through,
        )
    )
    cache.start()
    log.start()
    tracing.start()
    error_budget.start()
    lag = LoopLag(metrics)
    lag.start()
    spare_memory = SpareMemory(lambda: (metrics.in_flight, metrics.calls))
    spare_memory.start()
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
            reload=reloader.reload,
        )
    finally:
        await batches.close()
        await pipeline.close()
        await responses.close()
        await reloader.close()
        await prober.close()
        await experiments.close()
        await routes.close()
        await cache.close()
        await forced.close()
        await state.close()
        await opened.close()
        if account is not None:
            await account.close()
        await audit.close()
        await database.close()
        client.close()
        lag.close()
        spare_memory.close()
        if simulator is not None:
            await simulator.stop()
        error_budget.close()
        if webhooks is not None:
            await asyncio.to_thread(webhooks.close)
        await asyncio.to_thread(tracing.close)
        await log.close()
