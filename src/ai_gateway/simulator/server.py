"""Running the simulator: alone, or inside the gateway's own loop."""

import asyncio
import logging
import socket
from collections.abc import Generator
from contextlib import contextmanager

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .app import Simulator
from .options import SimulatorOptions


class _Protocol(HttpToolsProtocol):
    """Lets the application break its connection."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["simulator.transport"] = self.transport  # type: ignore[typeddict-unknown-key]


class _Embedded(uvicorn.Server):
    """Leaves the signals to the gateway."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class RunningSimulator:
    def __init__(self, server: uvicorn.Server, task: asyncio.Task[None], port: int) -> None:
        self._server = server
        self._task = task
        self.port = port

    async def stop(self) -> None:
        self._server.should_exit = True
        await self._task


async def start(
    options: SimulatorOptions, host: str = "127.0.0.1", port: int = 0
) -> RunningSimulator:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(1024)
    server = _Embedded(_config(options))
    task = asyncio.get_running_loop().create_task(server.serve(sockets=[listener]))
    while not server.started:
        if task.done():
            task.result()
        await asyncio.sleep(0.001)
    return RunningSimulator(server, task, listener.getsockname()[1])


def serve(options: SimulatorOptions, host: str, port: int) -> None:
    config = _config(options)
    config.host, config.port = host, port
    uvicorn.Server(config).run()


def _config(options: SimulatorOptions) -> uvicorn.Config:
    # A simulated break leaves an answer unfinished, which is no news.
    logging.getLogger("uvicorn.error").addFilter(
        lambda record: "without completing response" not in record.getMessage()
    )
    return uvicorn.Config(
        Simulator(options),
        http=_Protocol,
        loop="uvloop",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=1,
    )
