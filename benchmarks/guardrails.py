"""What guardrails cost a call: where none is configured, where some are but not for it, and where one
looks at it.

    python -m benchmarks.guardrails [ROUNDS]

The whole path of a call, answered by the cache, so that nothing but the gateway's own CPU is measured.
Four gateways in one process take turns, in an order of chance. The first runs a pipeline from whose
source the guard's step is cut out: what the second takes beyond it, is what the step costs all those who
have no guardrails.
"""

import asyncio
import inspect
import random
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import uvloop

from ai_gateway import app
from ai_gateway import pipeline as module
from ai_gateway.app import open_gateway
from ai_gateway.model.call import Request
from ai_gateway.pipeline import Pipeline
from ai_gateway.reply import KeptReply
from ai_gateway.settings.load import load_settings

from .load import body_of

CALLS = 300
ROUNDS = 60
GUARDRAILS = """
guardrails:
  names: {{kind: deny, words: [Project Blue], on: [input], default: {default}}}
"""


def without_the_step() -> type[Pipeline]:
    """The pipeline as it would be if there were no guardrails."""
    source = inspect.getsource(Pipeline)
    cut, count = re.subn(
        r"            if self\._guardrails is not None:\n(?:                .*\n)+", "", source
    )
    assert count == 1, "the guard's step is not where it was"
    names = dict(vars(module))
    exec(compile(cut, module.__file__, "exec"), names)
    found: type[Pipeline] = names["Pipeline"]
    return found


@asynccontextmanager
async def opened(directory: Path, config: str, pipeline: type[Pipeline]) -> AsyncIterator[Pipeline]:
    directory.mkdir()
    path = directory / "gateway.yaml"
    path.write_text(config)
    environ = {
        "DATA_DIR": str(directory), "RATE_LIMIT_CAPACITY": "0", "CACHE_TTL": "60",
        "LOG_LEVEL": "error",
    }  # fmt: skip
    built: list[Pipeline] = []

    def build(**parts: Any) -> Pipeline:
        built.append(pipeline(**parts))
        return built[0]

    kept = app.Pipeline
    app.Pipeline = build  # type: ignore[assignment, misc]
    try:
        async with open_gateway(load_settings(environ, path)):
            # Its tables are made meanwhile: Alembic cannot make two gateways' at once in a process.
            await asyncio.sleep(1)
            yield built[0]
    finally:
        app.Pipeline = kept  # type: ignore[misc]


async def one_round(pipeline: Pipeline, calls: int) -> float:
    """Microseconds of CPU a call."""
    body = body_of("chat")
    begun = time.process_time()
    for number in range(calls):
        request = Request(
            id=f"req_{number}",
            operation="chat",
            dialect="openai_chat",
            endpoint="/v1/chat/completions",
            body=body,
            headers={},
            received=time.perf_counter(),
        )
        reply = KeptReply()
        outcome = await pipeline.run(request, reply)
        assert outcome.status == 200
    return (time.process_time() - begun) / calls * 1e6


async def main(rounds: int) -> None:
    ways = {
        "no step at all": ("", without_the_step()),
        "none configured": ("", Pipeline),
        "one configured, not for this call": (GUARDRAILS.format(default="false"), Pipeline),
        "one that looks at the call": (GUARDRAILS.format(default="true"), Pipeline),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as directory:
        async with AsyncExitStack() as stack:
            open_ones = {
                name: await stack.enter_async_context(opened(Path(directory) / str(at), *way))
                for at, (name, way) in enumerate(ways.items())
            }
            for pipeline in open_ones.values():
                await one_round(pipeline, CALLS)
            for _ in range(rounds):
                for name in random.sample(list(open_ones), len(open_ones)):
                    found[name].append(await one_round(open_ones[name], CALLS))
    base = found["no step at all"]
    for name, values in found.items():
        apart = [value - other for value, other in zip(values, base, strict=True)]
        low, high = sorted(apart)[rounds // 4], sorted(apart)[rounds * 3 // 4]
        print(
            f"{name:<36} {median(values):8.2f} us a call  {median(apart):+7.2f} us"
            f"  (half of the rounds: {low:+.2f} .. {high:+.2f})"
        )


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS))
