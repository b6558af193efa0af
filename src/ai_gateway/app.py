"""Builds the parts and hands them to each other. Nothing here knows what they do."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

from msgspec import Struct

from ai_gateway import __version__
from ai_gateway.catalogue.catalogue import Catalogue, load_catalogue
from ai_gateway.edge.asgi import App
from ai_gateway.edge.readiness import Readiness
from ai_gateway.edge.router import Parts, build_edge
from ai_gateway.perform import Performer
from ai_gateway.pipeline import Pipeline
from ai_gateway.routing.destinations import Credential, Directory
from ai_gateway.settings.tree import Settings
from ai_gateway.simulator.options import SimulatorOptions
from ai_gateway.simulator.server import start as start_simulator
from ai_gateway.telemetry.log import Log
from ai_gateway.telemetry.metrics import Metrics
from ai_gateway.upstream.client import Timeouts, UpstreamClient


class Gateway(Struct, frozen=True, kw_only=True):
    """The running whole."""

    app: App
    catalogue: Catalogue
    directory: Directory
    readiness: Readiness
    log: Log
    simulated: bool
    """No provider is configured, and the built-in simulator stands in."""


@asynccontextmanager
async def open_gateway(settings: Settings) -> AsyncGenerator[Gateway, None]:
    """Everything up, ready to be served; and down again."""
    own = {name: c.provider for name, c in settings.providers.items()}
    catalogue = load_catalogue(settings.prices, own)
    credentials = {
        name: Credential(base_url=c.base_url, secret=None if c.key is None else c.key.reveal())
        for name, c in settings.providers.items()
    }
    simulated = not credentials
    simulator = await start_simulator(SimulatorOptions()) if simulated else None
    if simulator is not None:
        credentials = _simulated(simulator.port)
    metrics = Metrics(__version__)
    log = Log(settings.log_level, metrics.log_dropped.inc)
    client = UpstreamClient(
        Timeouts(
            connect=settings.connect_timeout,
            first_byte=settings.first_byte_timeout,
            idle=settings.idle_timeout,
            total=settings.total_timeout,
        ),
        max_answer_bytes=settings.max_answer_bytes,
    )
    directory = Directory(catalogue, credentials, user_agent=f"ai-gateway/{__version__}")
    readiness = Readiness()
    pipeline = Pipeline(directory=directory, performer=Performer(client), metrics=metrics, log=log)
    app = build_edge(
        Parts(
            pipeline=pipeline,
            directory=directory,
            metrics=metrics,
            log=log,
            readiness=readiness,
            max_body_bytes=settings.max_body_bytes,
        )
    )
    log.start()
    try:
        yield Gateway(
            app=app,
            catalogue=catalogue,
            directory=directory,
            readiness=readiness,
            log=log,
            simulated=simulated,
        )
    finally:
        client.close()
        if simulator is not None:
            await simulator.stop()
        await log.close()


def _simulated(port: int) -> Mapping[str, Credential]:
    credential = Credential(base_url=f"http://127.0.0.1:{port}/v1", secret=None)
    return {"simulator": credential, "simulator-anthropic": credential}
