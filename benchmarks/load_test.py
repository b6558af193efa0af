"""`python -m benchmarks.load_test`: what load_test.js does, and k6's report, where k6 is not.

    python -m benchmarks.load_test [--url URL] [--key KEY] [--kinds chat,mixed] [--scale 0.2] [--json FILE]

Without a URL it starts a gateway and a provider of its own, each pinned to its core, and tells the
gateway's memory too. The plan is load_test.json. Exit status 99 if a threshold is crossed, as k6 has it.
"""

import argparse
import asyncio
import bisect
import json
import random
import re
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import uvloop

from . import servers
from .load import Caller

PLAN: dict[str, Any] = json.loads((Path(__file__).parent / "load_test.json").read_text())
SYSTEM = "You are helpful. " * 10
FILLING = "x" * 280
TRENDS = ("avg", "min", "med", "max", "p(90)", "p(95)", "p(99)")


class Zipf:
    """Draws a prompt's number: the chance of the k-th is proportional to 1 / k^exponent."""

    def __init__(self, prompts: int, exponent: float) -> None:
        self._cumulative = list(accumulate(1 / k**exponent for k in range(1, prompts + 1)))

    def draw(self, chance: float) -> int:
        return bisect.bisect_left(self._cumulative, chance * self._cumulative[-1])


class Asking:
    """What to ask next, as bytes on the wire."""

    def __init__(self, url: str, key: str | None, *, seed: int = 0) -> None:
        self._host = urlsplit(url).netloc
        self._key = f"authorization: Bearer {key}\r\n" if key else ""
        self._random = random.Random(seed)
        self._zipf = Zipf(PLAN["zipf"]["prompts"], PLAN["zipf"]["exponent"])

    def next(self, kind: str) -> tuple[str, bytes]:
        """The kind it counts as, and the request."""
        chance = self._random.random
        if kind == "mixed":
            drawn, prompt = chance(), f"question {self._zipf.draw(chance())}"
            if drawn < PLAN["mixed"]["chat"]:
                return "mixed", self._request(prompt, stream=False)
            if drawn < PLAN["mixed"]["chat"] + PLAN["mixed"]["stream"]:
                return "stream", self._request(prompt, stream=True)
            kind = "cached"
        if kind == "cached":
            return kind, self._request("the one question that everybody asks", stream=False)
        prompt = f"a question never asked before: {chance()}-{chance()}"
        return kind, self._request(prompt, stream=kind == "stream")

    def _request(self, prompt: str, *, stream: bool) -> bytes:
        body = (
            f'{{"model":"{PLAN["model"]}","messages":[{{"role":"system","content":"{SYSTEM}"}},'
            f'{{"role":"user","content":"{prompt} {FILLING}"}}],"temperature":0,"max_tokens":100'
        ) + (',"stream":true}' if stream else "}")
        user = self._random.randrange(PLAN["users"])
        return (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: {self._host}\r\n{self._key}"
            f"x-user-id: user-{user}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n{body}"
        ).encode()


class Report:
    """Counts and times by kind, in k6's words."""

    def __init__(self) -> None:
        self.durations: dict[str, list[float]] = defaultdict(list)
        self.waiting: dict[str, list[float]] = defaultdict(list)
        self.failed: dict[str, int] = defaultdict(int)
        self.outcomes: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self.seconds: dict[str, float] = {}
        """How long each scenario ran."""
        self.answers: dict[str, int] = {}
        """How many answers each scenario had, of whatever kind they counted as."""
        self.cpu: dict[str, float] = {}
        """Seconds of CPU that the gateway used in each scenario, where it is ours to see."""
        self.peak = 0

    def metrics(self) -> dict[str, dict[str, float]]:
        """Times in milliseconds, rates of one second, shares of one."""
        found: dict[str, dict[str, float]] = {}
        done = sum(len(d) for d in self.durations.values())
        failed = sum(self.failed.values())
        seconds = sum(self.seconds.values()) or 1
        found["http_reqs"] = {"count": done + failed, "rate": (done + failed) / seconds}
        found["http_req_failed"] = {"rate": failed / ((done + failed) or 1)}
        found["checks"] = {"rate": done / ((done + failed) or 1)}
        for kind, values in self.durations.items():
            found[f"http_req_duration{{kind:{kind}}}"] = trend(values)
            found[f"http_req_waiting{{kind:{kind}}}"] = trend(self.waiting[kind])
            outcomes = self.outcomes[kind]
            if kind != "stream" and outcomes:
                hits = outcomes["hit"] + outcomes["joined"]
                found[f"cache_hits{{kind:{kind}}}"] = {"rate": hits / sum(outcomes.values())}
        for kind, taken in self.seconds.items():
            found[f"http_reqs{{scenario:{kind}}}"] = {"rate": self.answers[kind] / taken}
        for kind, used in self.cpu.items():
            found[f"answers_per_cpu_second{{scenario:{kind}}}"] = {
                "rate": self.answers[kind] / used
            }
        return found


def trend(seconds: Sequence[float]) -> dict[str, float]:
    ordered = sorted(seconds) or [0.0]

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000

    return {
        "avg": sum(ordered) / len(ordered) * 1000,
        "min": ordered[0] * 1000,
        "med": at(0.5),
        "max": ordered[-1] * 1000,
        "p(90)": at(0.9),
        "p(95)": at(0.95),
        "p(99)": at(0.99),
    }


def judged(metrics: Mapping[str, Mapping[str, float]]) -> list[tuple[str, str, bool]]:
    """Every threshold of a metric that was measured: its name, its words, whether it held."""
    found: list[tuple[str, str, bool]] = []
    for name, expressions in PLAN["thresholds"].items():
        for expression in expressions:
            said = re.fullmatch(r"(\S+?)([<>])([\d.]+)", expression)
            assert said is not None, expression
            if name in metrics:
                value, bound = metrics[name][said[1]], float(said[3])
                held = value < bound if said[2] == "<" else value > bound
                found.append((name, expression, held))
    return found


def callers_at(moment: float, stages: Sequence[Mapping[str, float]], scale: float) -> int:
    """How many callers there should be, so many seconds in: straight lines between the targets."""
    before = 1.0
    for stage in stages:
        length = stage["seconds"] * scale
        if moment < length:
            return max(1, round(before + (stage["target"] - before) * moment / length))
        moment -= length
        before = stage["target"]
    return 0


async def ramp(url: str, kind: str, asking: Asking, scale: float, report: Report) -> None:
    """One kind, from the first caller to the last."""
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    started = perf_counter()
    end = sum(stage["seconds"] for stage in PLAN["stages"]) * scale
    report.answers[kind] = 0

    async def caller(number: int) -> None:
        connection: Caller | None = None
        while number < callers_at(perf_counter() - started, PLAN["stages"], scale):
            counted, request = asking.next(kind)
            try:
                if connection is None:
                    _, connection = await loop.create_connection(
                        lambda: Caller(b""), parts.hostname or "", parts.port or 80
                    )
                begun = perf_counter()
                await connection.ask(request)
            except (RuntimeError, OSError):
                report.failed[counted] += 1
                if connection is not None:
                    connection.close()
                connection = None
                await asyncio.sleep(0.01)
                continue
            done = perf_counter()
            report.answers[kind] += 1
            report.durations[counted].append(done - begun)
            report.waiting[counted].append((connection.first_byte or done) - begun)
            outcome = re.search(rb"\r\nx-gateway-cache: (\w+)", connection.head)
            report.outcomes[counted][outcome[1].decode() if outcome else "none"] += 1
        if connection is not None:
            connection.close()

    running: list[asyncio.Task[None]] = []
    while (moment := perf_counter() - started) < end:
        wanted = callers_at(moment, PLAN["stages"], scale)
        running = [task for task in running if not task.done()]
        taken = len(running)
        report.peak = max(report.peak, wanted)
        running += [asyncio.create_task(caller(number)) for number in range(taken, wanted)]
        await asyncio.sleep(0.05)
    await asyncio.gather(*running)
    report.seconds[kind] = perf_counter() - started


async def run(
    url: str, key: str | None, kinds: Sequence[str], scale: float, pid: int | None = None
) -> Report:
    report = Report()
    asking = Asking(url, key)
    for kind in kinds:
        before = servers.cpu_seconds(pid) if pid else 0.0
        await ramp(url, kind, asking, scale, report)
        if pid:
            report.cpu[kind] = servers.cpu_seconds(pid) - before or 0.01
    return report


def summary(report: Report, memory: Sequence[float]) -> tuple[list[str], dict[str, Any], bool]:
    metrics = report.metrics()
    verdicts = judged(metrics)
    lines = [f"  {'scenarios':.<38}: {', '.join(report.seconds)}; up to {report.peak} callers"]
    for name, values in metrics.items():
        if "avg" in values:
            told = " ".join(f"{stat}={values[stat]:.2f}ms" for stat in TRENDS)
        elif "count" in values:
            told = f"{values['count']:.0f}  {values['rate']:.1f}/s"
        elif name.startswith(("http_reqs", "answers_per")):
            told = f"{values['rate']:.1f}/s"
        else:
            told = f"{values['rate'] * 100:.2f}%"
        lines.append(f"  {name:.<38}: {told}")
    if memory:
        lines.append(f"  {'gateway memory, before and after':.<38}: "
                     + ", ".join(f"{m:.1f} MiB" for m in memory))  # fmt: skip
    lines.append("")
    lines += [f"  {'ok  ' if held else 'FAIL'} {name}: {words}" for name, words, held in verdicts]
    good = all(held for _, _, held in verdicts)
    kept = {"metrics": metrics, "memory_mib": list(memory), "thresholds": verdicts}
    return lines, kept, good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url")
    parser.add_argument("--key")
    parser.add_argument("--kinds", default=",".join(PLAN["kinds"]))
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    kinds = given.kinds.split(",")
    memory: list[float] = []
    if given.url:
        report = uvloop.run(run(given.url, given.key, kinds, given.scale))
    else:
        with servers.upstream() as upstream, servers.gateway(upstream, CACHE_TTL="5") as (pid, _):
            servers.pin_load()
            url = f"http://127.0.0.1:{servers.GATEWAY_PORT}"
            memory.append(servers.resident_kib(pid) / 1024)
            report = uvloop.run(run(url, None, kinds, given.scale, pid))
            memory.append(servers.resident_kib(pid) / 1024)
    lines, kept, good = summary(report, memory)
    print("\n".join(lines))
    if given.json:
        given.json.write_text(json.dumps(kept, indent=2))
    sys.exit(0 if good else 99)


if __name__ == "__main__":
    main()
