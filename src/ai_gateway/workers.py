"""WORKERS above 1: the same gateway in several processes, which share Redis, PostgreSQL and a port."""

import shutil
import socket
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from msgspec import Struct

from ai_gateway.server import listen
from ai_gateway.settings.tree import Settings
from ai_gateway.supervisor import Supervisor
from ai_gateway.telemetry.shelf import Shelf

Watch = Callable[[Callable[[], None]], None]


class Worker(Struct, frozen=True, kw_only=True):
    """What a process must know of being one of several."""

    number: int
    shelf: Shelf
    log_lock: Path
    watch: Watch
    """`watch(when_gone)`: within the loop; called once the supervisor is no more."""


def serve_workers(settings: Settings, run: Callable[[socket.socket, Worker], int]) -> int:
    """Until told to end; the exit code. `run` serves one worker, in its own process. Raises OSError
    where the port cannot be had."""
    first = listen(settings.host, settings.port, shared=True)
    port = int(first.getsockname()[1])
    another = partial(listen, settings.host, port, shared=True)
    listeners = [first, *(another() for _ in range(settings.workers - 1))]
    directory = Path(tempfile.mkdtemp(prefix="ai-gateway-"))
    shelf = Shelf(directory)

    def work(number: int, listener: socket.socket) -> int:
        worker = Worker(
            number=number, shelf=shelf, log_lock=directory / "log-lock", watch=supervisor.watch
        )
        return run(listener, worker)

    supervisor = Supervisor(
        work,
        listeners,
        open_listener=another,
        ended=shelf.retire,
        ending_seconds=settings.endpoint_grace + settings.drain_timeout,
        say=lambda line: print(f"ai-gateway: {line}", file=sys.stderr, flush=True),
    )
    try:
        return supervisor.run()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
