"""`python -m benchmarks.caching`: what a hit costs, exact (memory, Redis) and by meaning.

Hits are asked for over HTTP, the gateway on a core of its own; a second of CPU is what counts, since a
busy machine does not change it. Looks by meaning are measured in this process: 100,000 vectors of 384.
"""

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import quantiles

from tests.redis_server import redis_server

from . import servers
from .__main__ import throughput


def hits(name: str, upstream: str, kind: str, seconds: float, environ: Mapping[str, str]) -> None:
    with servers.gateway(upstream, **environ) as (pid, _):
        throughput(servers.GATEWAY_PORT, kind, 32, 1)
        before, started = servers.cpu_seconds(pid), time.perf_counter()
        rate = throughput(servers.GATEWAY_PORT, kind, 32, seconds)
        spent = servers.cpu_seconds(pid) - before
        asked = rate * min(time.perf_counter() - started, seconds)
        print(f"{name:<44} {rate:>8,.0f} /s {asked / spent:>9,.0f} per second of CPU", flush=True)


def looks(entries: int, dimensions: int, embeddings: Path | None) -> None:
    """`embeddings`: of real texts, as `benchmarks.semantic` keeps them; where they are too few, mixtures
    of two stand in for more. Without them vectors are random, which is the worst there is to search."""
    import numpy as np

    from ai_gateway.caching.semantic.guard import judge
    from ai_gateway.caching.semantic.index import Item, VectorIndex, unit

    random = np.random.default_rng(1)
    if embeddings is None:
        asked = random.normal(size=(2000, dimensions))
        vectors = (random.normal(size=dimensions) for _ in range(entries))
    else:
        with np.load(embeddings) as stored:
            real = random.permutation(stored["vectors"])
        asked, rest = real[:2000], real[2000:]
        one, other = random.integers(0, len(rest), (2, entries))
        shares = random.uniform(0.15, 0.85, entries)
        vectors = (
            rest[n]
            if n < len(rest)
            else s * rest[a] + (1 - s) * rest[b] + random.normal(0, 0.008, dimensions)
            for n, (a, b, s) in enumerate(zip(one, other, shares, strict=True))
        )
    index = VectorIndex(entries + 1)
    started = time.process_time()
    for n, vector in enumerate(vectors):
        index.add(Item(f"k{n}", b"g", f"question {n}", 1e12), unit(vector))
    filled = time.process_time() - started
    taken: list[float] = []
    cpu = time.process_time()
    for n, row in enumerate(asked):
        vector = unit(row)
        started = time.perf_counter()
        found = index.nearest(b"g", vector, 4)
        judge(f"How do I do the thing {n}?", found[0].item.text)
        taken.append((time.perf_counter() - started) * 1e6)
    cpu = (time.process_time() - cpu) / 2000 * 1e6
    cuts = quantiles(taken, n=100)
    print(
        f"look by meaning among {entries:,} of {dimensions}: p50 {cuts[49]:.0f} us, p99 {cuts[98]:.0f} us, "
        f"CPU {cpu:.0f} us; filling it {filled / entries * 1e6:.0f} us an entry"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--embeddings", type=Path, help="data/semantic-embeddings.npz")
    given = parser.parse_args()
    with servers.upstream() as upstream, redis_server() as redis:
        shared = {"CACHE_TTL": "60", "REDIS_ADDR": redis.address}
        hits("relayed, no cache", upstream, "chat", given.seconds, {"CACHE_TTL": "0"})
        hits("exact hits from memory", upstream, "chat", given.seconds, {"CACHE_TTL": "60"})
        hits("exact hits from memory, no limits", upstream, "chat", given.seconds,
             {"CACHE_TTL": "60", "RATE_LIMIT_CAPACITY": "0"})  # fmt: skip
        hits("exact hits from memory, across dialects", upstream, "messages", given.seconds,
             {"CACHE_TTL": "60"})  # fmt: skip
        hits("exact hits from Redis", upstream, "chat", given.seconds, shared)
        hits("exact hits from Redis, no limits", upstream, "chat", given.seconds,
             {**shared, "RATE_LIMIT_CAPACITY": "0"})  # fmt: skip
    looks(given.entries, 384, given.embeddings)


if __name__ == "__main__":
    main()
