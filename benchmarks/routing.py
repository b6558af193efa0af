"""What choosing and watching a target costs a call: plan + perform beside the bare attempt.

    python -m benchmarks.routing

Bare: render the request, ask, read the answer, hand it over; by a client that answers at once. The rest
is bookkeeping: order, breaker, credential, pace, quota, attempt, deadline. Microseconds of CPU a call,
the best of several runs taken in turn.
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from time import perf_counter, process_time

from ai_gateway.catalogue.catalogue import load_catalogue
from ai_gateway.dialects.exchange import open_exchange
from ai_gateway.model.call import Caller, Outcome, Request
from ai_gateway.model.route import Route, RouteTarget
from ai_gateway.perform.performer import Performer
from ai_gateway.reply import KeptReply
from ai_gateway.routing.destinations import Credential, Directory
from ai_gateway.routing.router import Router
from ai_gateway.routing.strategies import STRATEGIES
from ai_gateway.routing.vitals import VitalsBook
from ai_gateway.upstream.client import Timeouts, UpstreamAnswer, UpstreamRequest

from .load import body_of
from .upstream import CHAT

CALLS = 4000
RUNS = 7
_HEADERS = {b"content-type": b"application/json", b"x-request-id": b"req_1"}


class Instant:
    """A client that answers at once."""

    async def fetch(self, request: UpstreamRequest) -> UpstreamAnswer:
        return UpstreamAnswer(status=200, body=CHAT.split(b"\r\n\r\n", 1)[1], headers=_HEADERS)


def main() -> None:
    asyncio.run(_measure())


async def _measure() -> None:
    credentials = {
        name: Credential(base_url="http://127.0.0.1:1/v1", secrets=("key",))
        for name in ("openai", "groq", "mistral")
    }
    directory = Directory(load_catalogue(), credentials, VitalsBook(), user_agent="bench")
    targets = tuple(RouteTarget(model=f"{name}/gpt-4o-mini") for name in credentials)
    routes = {name: Route(targets=targets, strategy=name) for name in STRATEGIES}
    router = Router(directory, routes, clock=perf_counter, random=Random(1))
    client = Instant()
    performer = Performer(client, Timeouts(), random=Random(1))  # type: ignore[arg-type]
    body = body_of("chat")
    caller = Caller(tenant="t", user="u")
    request = Request(
        id="r", operation="chat", dialect="openai_chat", endpoint="/v1/chat/completions",
        body=body, headers={}, received=perf_counter(),
    )  # fmt: skip
    exchange = open_exchange("chat", "openai_chat", body, now=0)
    destination = directory.destination("chat", "openai/gpt-4o-mini")

    async def bare() -> None:
        outcome, reply = Outcome(request=request), KeptReply()
        rendered = exchange.request(destination.dialect, destination.render)
        asked = UpstreamRequest(address=destination.doors.all[0].address, body=rendered.body)
        answer = await client.fetch(asked)
        converted = exchange.answer(destination.dialect, answer.body)
        outcome.status, outcome.stop, outcome.usage = (
            200,
            converted.stop,
            converted.usage or outcome.usage,
        )
        await reply.whole(outcome, converted.body)

    def through(name: str) -> Callable[[], Awaitable[None]]:
        async def call() -> None:
            outcome, reply = Outcome(request=request), KeptReply()
            resolved = router.resolve("chat", name)
            plan = router.plan(resolved, exchange, request, caller)
            await performer.perform(exchange, plan, outcome, reply)

        return call

    calls = {"a plain model": through("openai/gpt-4o-mini")}
    calls |= {f"3 targets, {name}": through(name) for name in STRATEGIES}
    best = {name: float("inf") for name in ("bare", *calls)}
    for _ in range(RUNS):
        for name, call in (("bare", bare), *calls.items()):
            best[name] = min(best[name], await _cpu(call))
    print(f"{'bare attempt':28}{best['bare']:8.1f} us")
    for name in calls:
        print(f"{name:28}{best[name] - best['bare']:+8.1f} us")


async def _cpu(call: Callable[[], Awaitable[None]]) -> float:
    """Microseconds of CPU a call."""
    started = process_time()
    for _ in range(CALLS):
        await call()
    return (process_time() - started) / CALLS * 1e6


if __name__ == "__main__":
    main()
