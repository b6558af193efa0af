"""Two replicas as processes of their own, on one Redis, before one simulated provider."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import redis
from msgspec import Struct

from tests.clients.conftest import Process, start_gateway, start_simulator
from tests.ports import free_port
from tests.redis_server import redis_server
from tests.serving import get


class Replicas(Struct):
    one: Process
    other: Process
    simulator: Process
    state: "redis.Redis"

    async def asked(self) -> int:
        """How often the provider was."""
        return len(json.loads((await get(self.simulator.url + "/v1/simulator/calls")).body))


@asynccontextmanager
async def replicas(directory: Path, *options: str) -> AsyncGenerator[Replicas, None]:
    """`options`: the simulator's."""
    with redis_server() as server:
        simulator = start_simulator(directory, free_port(), "keep_calls=10000", *options)
        running: list[Process] = []
        host, port = server.address.split(":")
        try:
            running += [
                await asyncio.to_thread(
                    start_gateway,
                    directory,
                    OPENAI_API_KEY="sk-simulated",
                    OPENAI_BASE_URL=f"{simulator.url}/v1",
                    DATA_DIR=str(directory / name),
                    REDIS_ADDR=server.address,
                )
                for name in ("one", "other")
            ]
            state = redis.Redis(host=host, port=int(port))
            yield Replicas(running[0], running[1], simulator, state)
        finally:
            for process in running:
                process.process.kill()
                process.process.wait()
            simulator.stop()
