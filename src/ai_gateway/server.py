"""Serving the edge with uvicorn, and ending well.

SIGTERM: `/ready` says no at once, calls are taken for the grace in which load balancers notice, then
what is in flight is finished, up to the time to drain. SIGINT skips the grace. A second signal hurries.
"""

import asyncio
import resource
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn

from ai_gateway.edge.asgi import App
from ai_gateway.edge.protocol import GatewayProtocol

_BACKLOG = 4096
KEEP_ALIVE = 75
"""Seconds that a connection may lie idle."""


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """`shared`: others may listen beside it, each gets its part of the connections. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server(
        (host.strip("[]"), port), family=family, backlog=_BACKLOG, reuse_port=shared
    )


def raise_open_files() -> None:
    """As many as the machine allows, not the few that shells set for programs that count in 1,024s."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (OSError, ValueError):
        # Some systems name a limit that they do not grant.
        return


def _websocket_protocol(*arguments: Any, **named: Any) -> asyncio.Protocol:
    """Imported with the first socket: most gateways never see one."""
    from ai_gateway.edge.socket_protocol import SocketProtocol

    return SocketProtocol(*arguments, **named)


class GatewayServer(uvicorn.Server):
    def __init__(
        self,
        app: App,
        *,
        listener: socket.socket,
        endpoint_grace: float,
        drain_timeout: float,
        max_message_bytes: int,
        on_drain: Callable[[], None],
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,  # type: ignore[arg-type]
                http=GatewayProtocol,
                loop="uvloop",
                ws=_websocket_protocol,  # type: ignore[arg-type]
                ws_max_size=max_message_bytes,
                ws_ping_interval=20.0,
                ws_ping_timeout=20.0,
                ws_per_message_deflate=False,
                lifespan="off",
                access_log=False,
                log_config=None,
                log_level="error",
                server_header=False,
                proxy_headers=False,
                backlog=_BACKLOG,
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=max(1, round(drain_timeout)),
            )
        )
        self._listener = listener
        self._endpoint_grace = endpoint_grace
        self._on_drain = on_drain
        self._draining = False

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    async def run_until_stopped(self) -> None:
        await self.serve(sockets=[self._listener])

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Uvicorn would raise the signal again once it is done; a drain that ended well exits with 0.
        if self._draining:
            if self.should_exit:
                self.force_exit = True
            self.should_exit = True
            return
        self._draining = True
        self._on_drain()
        if sig == signal.SIGINT or self._endpoint_grace == 0:
            self.should_exit = True
        else:
            asyncio.get_running_loop().call_later(self._endpoint_grace, self._stop)

    def _stop(self) -> None:
        self.should_exit = True
