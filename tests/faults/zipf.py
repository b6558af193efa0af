"""A replay of calls of which few are asked often (Zipf): what the cache saves, and whether the ledger
and the provider agree on what was asked.

    .venv/bin/python -m tests.faults.zipf --calls 50000 [--redis]
"""

import argparse
import asyncio
import json
import random
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec import Struct
from pyreqwest.client import ClientBuilder

from tests.clients.conftest import start_gateway, start_simulator
from tests.ports import free_port
from tests.redis_server import redis_server
from tests.serving import ask, get

ADMIN = "admin-of-the-replay-0123456789"
PRICES = (Decimal("2.5"), Decimal(10))
"""US dollars a million tokens of gpt-4o, in and out, written down apart from the catalogue."""


class Result(Struct, kw_only=True):
    calls: int
    questions: int
    hits: int
    joined: int
    misses: int
    provider: int
    """Calls that reached it."""
    ledger_calls: int
    ledger_cached: int
    ledger_cost: Decimal
    provider_cost: Decimal
    saved: Decimal
    seconds: float

    @property
    def good(self) -> bool:
        return (
            self.hits + self.joined + self.misses == self.calls
            and self.provider == self.misses
            and self.ledger_calls == self.calls
            and self.ledger_cached == self.hits + self.joined
            and self.ledger_cost == self.provider_cost
        )


async def run(
    directory: Path, calls: int, *, questions: int = 5000, exponent: float = 1.1, at_once: int = 32,
    environ: dict[str, str] | None = None,
) -> Result:  # fmt: skip
    simulator = start_simulator(directory, free_port(), "keep_calls=1000000", "first_token_ms=3")
    gateway = await asyncio.to_thread(
        lambda: start_gateway(
            directory,
            OPENAI_API_KEY="sk-simulated",
            OPENAI_BASE_URL=f"{simulator.url}/v1",
            ADMIN_KEY=ADMIN,
            DATA_DIR=str(directory / "data"),
            CACHE_TTL="600",
            CACHE_MEMORY_BYTES=str(256 * 1024 * 1024),
            **(environ or {}),
        )
    )
    try:
        issued = json.loads(
            (await ask("POST", gateway.url + "/admin/keys", {"name": "replay"}, ADMIN)).body
        )
        chosen = random.Random(1)
        weights = [1 / (n + 1) ** exponent for n in range(questions)]
        asked = iter(chosen.choices(range(questions), weights, k=calls))
        found: dict[str, int] = {}
        started = time.monotonic()
        headers = {"content-type": "application/json", "authorization": f"Bearer {issued['key']}"}
        async with ClientBuilder().build() as client:

            async def caller() -> None:
                for number in asked:
                    body = {
                        "model": "gpt-4o",
                        "messages": [{"role": "user", "content": f"Question {number}"}],
                    }
                    request = client.post(gateway.url + "/v1/chat/completions").headers(headers)
                    response = await request.body_json(body).build().send()
                    await response.bytes()
                    assert response.status == 200
                    how = response.headers["x-gateway-cache"]
                    found[how] = found.get(how, 0) + 1

            await asyncio.gather(*(caller() for _ in range(at_once)))
        seconds = time.monotonic() - started
        counted = json.loads((await get(simulator.url + "/v1/simulator/calls")).body)
        total = await _total(gateway.url, calls)
    finally:
        gateway.stop()
        simulator.stop()
    cost = sum(
        ((given * PRICES[0] + made * PRICES[1]) / 1_000_000 for _, _, given, made in counted),
        Decimal(0),
    )
    return Result(
        calls=calls, questions=questions, hits=found.get("hit", 0), joined=found.get("joined", 0),
        misses=found.get("miss", 0), provider=len(counted), ledger_calls=total["requests"],
        ledger_cached=total["cached"], ledger_cost=Decimal(total["cost_usd"]), provider_cost=cost,
        saved=Decimal(total["saved_usd"]), seconds=seconds,
    )  # fmt: skip


async def _total(url: str, calls: int) -> Any:
    """The ledger's sums, once they hold all calls."""
    deadline = time.monotonic() + 60
    while True:
        got = await ask("GET", url + "/admin/usage?group_by=", None, ADMIN)
        total = json.loads(got.body)["total"]
        if total["requests"] >= calls or time.monotonic() > deadline:
            return total
        await asyncio.sleep(0.5)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=50_000)
    parser.add_argument("--redis", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="zipf-", dir="/tmp") as name, redis_server() as redis:
        environ = {"REDIS_ADDR": redis.address} if given.redis else None
        found = asyncio.run(run(Path(name), given.calls, environ=environ))
    share = (found.hits + found.joined) / found.calls
    print(
        f"{found.calls} calls of {found.questions} questions (Zipf 1.1) in {found.seconds:.0f} s: "
        f"{found.hits} hits, {found.joined} joined, {found.misses} misses ({share:.1%} not asked)\n"
        f"provider: {found.provider} calls, ${found.provider_cost}; ledger: {found.ledger_calls} calls, "
        f"{found.ledger_cached} from the cache, ${found.ledger_cost} spent, ${found.saved} saved\n"
        f"{'they agree' if found.good else 'THEY DIFFER'}"
    )
    return 0 if found.good else 1


if __name__ == "__main__":
    raise SystemExit(main())
