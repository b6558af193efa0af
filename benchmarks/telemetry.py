"""`python -m benchmarks.telemetry`: what telemetry takes of a call, in microseconds of CPU.

Metrics and log line; then with tracing configured, unsampled and sampled; then the audit in full. What
threads do for the call (encoding spans, redacting, hashing, writing to SQLite) is shown apart: it is CPU of
the same process, though not of the path.
"""

import asyncio
import os
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from statistics import median
from time import perf_counter, process_time, sleep, thread_time

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ai_gateway.audit.auditor import Auditor
from ai_gateway.audit.bodies import Bodies
from ai_gateway.audit.database import DatabaseSink
from ai_gateway.audit.redact import Redactor
from ai_gateway.audit.words import WordIndex
from ai_gateway.courier import Loss
from ai_gateway.model.audit import Redaction
from ai_gateway.model.call import Attempt, Caller, Outcome, Request, Target
from ai_gateway.model.otlp import OtlpTarget
from ai_gateway.model.usage import Usage
from ai_gateway.reply import KeptReply
from ai_gateway.storage.database import Database
from ai_gateway.telemetry.log import Log
from ai_gateway.telemetry.metrics import Metrics
from ai_gateway.telemetry.otlp import OtlpSpans
from ai_gateway.telemetry.sampling import Sampling
from ai_gateway.telemetry.tracing import NOT_TRACED, Tracing

_CALLS = 4000
_ROUNDS = 5
_BODY = (
    b'{"model":"gpt-4o","temperature":0.2,"max_tokens":200,"messages":[{"role":"user","content":"'
    + b"word " * 100
    + b'"}]}'
)
ANSWER = (
    b'{"id":"c","object":"chat.completion","model":"gpt-4o","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"' + b"word " * 200 + b'"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":100,"completion_tokens":200,"total_tokens":300}}'
)


def an_outcome(number: int) -> Outcome:
    now = perf_counter()
    target = Target(provider="openai", model="gpt-4o")
    return Outcome(
        request=Request(
            id=f"req_{number:024x}", operation="chat", dialect="openai_chat",
            endpoint="/v1/chat/completions", body=_BODY, headers={}, received=now - 0.5,
        ),
        call_id=f"{number:032x}",
        caller=Caller(tenant="acme", user="anna", key_id="key"),
        target=target,
        status=200,
        attempts=[Attempt(target=target, started=now - 0.5, seconds=0.5, status=200)],
        usage=Usage(input_tokens=100, output_tokens=200),
        usage_known=True,
        cost=Decimal("0.001"),
        upstream_seconds=0.4995,
        total_seconds=0.5,
    )  # fmt: skip


def _nothing(reason: Loss, count: int) -> None:
    raise AssertionError(f"{count} lost: {reason}")


class Figures:
    def __init__(self) -> None:
        self.path: list[float] = []
        self.whole: list[float] = []

    def add(self, step: Callable[[Outcome], None], done: Callable[[], None], base: int) -> None:
        outcomes = [an_outcome(base + number) for number in range(_CALLS)]
        own, all_of_it = thread_time(), process_time()
        for outcome in outcomes:
            step(outcome)
        path = thread_time() - own
        done()
        self.path.append(path / _CALLS * 1e6)
        self.whole.append((process_time() - all_of_it) / _CALLS * 1e6)

    def say(self, name: str, target: str) -> None:
        print(f"{name:<44} {median(self.path):>7.1f} us on the path, "
              f"{median(self.whole):>7.1f} us in all   {target}")  # fmt: skip


def _main() -> None:
    metrics = Metrics("bench")
    sink = os.open(os.devnull, os.O_WRONLY)
    log = Log("info", metrics.log_dropped.add, descriptor=sink)
    sampled: dict[str, Tracing] = {}
    exporter = OtlpSpans(
        OtlpTarget(endpoint="http://127.0.0.1:9/v1/traces", protocol="http/protobuf", headers={},
                   service_name="bench", instance="bench"),
        "bench", exported=lambda count: None, lost=lambda reason, count: None,
    )  # fmt: skip
    # Encoded as for a collector, and not sent: what is measured is this process.
    exporter._sender.send = _encode  # type: ignore[method-assign]
    exporter.start()
    sampled["unsampled"] = Tracing(Sampling(sampler="always_off"), exporter)
    sampled["sampled"] = Tracing(Sampling(sampler="always_on"), exporter)

    def settle(tracing: Tracing) -> Callable[[Outcome], None]:
        def step(outcome: Outcome) -> None:
            outcome.trace = tracing.begin(outcome.request.headers)
            metrics.observe_call(outcome, tracing.finish(outcome))
            log.call(outcome)

        return step

    def drained() -> None:
        while log._courier.waiting or exporter._courier.waiting:
            sleep(0.005)

    for name, tracing, target in (
        ("metrics and log", NOT_TRACED, ""),
        ("metrics, log, unsampled trace", sampled["unsampled"], "target <= 25"),
        ("metrics, log, sampled trace", sampled["sampled"], "target <= 80"),
    ):
        figures = Figures()
        for number in range(_ROUNDS):
            figures.add(settle(tracing), drained, number * _CALLS)
        figures.say(name, target)
    asyncio.run(_audit())


def _encode(request: ExportTraceServiceRequest) -> bool:
    request.SerializeToString()
    return True


async def _audit() -> None:
    with tempfile.TemporaryDirectory() as directory:
        database = Database(f"sqlite+aiosqlite:///{Path(directory) / 'gateway.db'}")
        await database.open()
        kept = 0

        def written(count: int) -> None:
            nonlocal kept
            kept += count

        store = DatabaseSink(database, key=b"key", written=written, lost=_nothing)
        bodies = Bodies(Redactor(Redaction()), 65536)
        auditor = Auditor("full", bodies, [store], lost=_nothing)
        auditor.start()
        loop = asyncio.get_running_loop()

        async def answer(outcome: Outcome) -> None:
            reply = auditor.watch(outcome, KeptReply(), None, None)
            await reply.whole(outcome, ANSWER)

        def step(outcome: Outcome) -> None:
            coroutine = answer(outcome)
            with suppress(StopIteration):
                coroutine.send(None)
            auditor.record(outcome)

        figures = Figures()
        for number in range(_ROUNDS):
            thread = threading.Thread(
                target=figures.add,
                args=(
                    step,
                    lambda n=number: _wait(lambda: kept, (n + 1) * _CALLS),
                    number * _CALLS,
                ),
            )
            await loop.run_in_executor(None, lambda t=thread: (t.start(), t.join()))
        figures.say("audit in full, to SQLite", "target <= 60")
        index = WordIndex(database)
        begun = process_time()
        await index.catch_up()
        each = (process_time() - begun) / min(5000, _ROUNDS * _CALLS) * 1e6
        print(f"{'the same: its words, when there is time':<44} {each:>33.1f} us in all")
        await asyncio.to_thread(auditor.close)
        await database.close()


def _wait(count: Callable[[], int], until: int) -> None:
    while count() < until:
        sleep(0.005)


if __name__ == "__main__":
    _main()
