"""What the gateway is held to, and whether a run met it."""

from collections.abc import Callable

from msgspec import Struct

from .figures import Results

Value = Callable[[Results], float | None]


class Bar(Struct, frozen=True):
    """One figure and its bound."""

    value: Value
    bound: float
    form: str
    """How a value is written, `{:,.0f} requests a second`."""
    at_least: bool = True

    def met(self, results: Results) -> bool | None:
        """None, where it was not measured."""
        value = self.value(results)
        if value is None:
            return None
        return value >= self.bound if self.at_least else value <= self.bound

    def measured(self, results: Results) -> str:
        value = self.value(results)
        return "not measured" if value is None else self.form.format(value)

    def wanted(self) -> str:
        return f"{'at least' if self.at_least else 'at most'} {self.form.format(self.bound)}"


class Target(Struct, frozen=True):
    """Met where any of its bars is."""

    name: str
    bars: tuple[Bar, ...]

    def met(self, results: Results) -> bool | None:
        told = [bar.met(results) for bar in self.bars]
        if any(told):
            return True
        return False if False in told else None


def _of(name: str) -> Value:
    return lambda results: results.get(name)


def _ratio(name: str, other: str) -> Value:
    return lambda results: results.ratio(name, other)


def best_peer_ratio(peer: str) -> Value:
    """Everything off, as the peer is, in the same minutes."""
    return lambda results: results.ratio("peers/ours/off/chat", f"peers/{peer}/chat")


def back_to_idle(results: Results) -> float | None:
    """Memory after load beside idle; with no cache, whose entries would be counted as not given back."""
    return results.ratio("memory/on_uncached/after_mib", "memory/on_uncached/idle_mib")


def two_workers(results: Results) -> float | None:
    """Twice what two workers do for a second of CPU, beside what one does."""
    ratio = results.ratio("workers/2/per_cpu_second", "workers/1/per_cpu_second")
    return None if ratio is None else 2 * ratio


_RATE, _PART, _TIMES = "{:,.0f} requests a second", "{:.2f} of HAProxy", "{:,.1f}x"
_HAPROXY = "chat/haproxy/32/rate"
TARGETS = (
    Target("JSON chat, everything off", (Bar(_ratio("chat/off/unique/32/rate", _HAPROXY), 0.35, _PART),)),
    Target(
        "JSON chat, everything on, memory and SQLite",
        (
            Bar(_of("chat/on/unique/32/rate"), 8000, _RATE),
            Bar(_ratio("chat/on/unique/32/rate", _HAPROXY), 0.2, _PART),
        ),
    ),
    Target(
        "JSON chat, everything on, Redis and PostgreSQL",
        (
            Bar(_of("chat/shared/unique/32/rate"), 6000, _RATE),
            Bar(_ratio("chat/shared/unique/32/rate", _HAPROXY), 0.15, _PART),
        ),
    ),
    Target("JSON chat beside LiteLLM proxy", (Bar(best_peer_ratio("litellm"), 100, _TIMES),)),
    Target("JSON chat beside Portkey gateway", (Bar(best_peer_ratio("portkey"), 9, _TIMES),)),
    Target("exact cache hit, memory", (Bar(_of("chat/on/cached/32/rate"), 15000, _RATE),)),
    Target("exact cache hit, Redis", (Bar(_of("chat/shared/cached/32/rate"), 8000, _RATE),)),
    Target("streams relayed, everything on", (Bar(_of("stream/on/chunks"), 150_000, "{:,.0f} chunks a second"),)),
    Target("added time to a stream's first byte, p50", (Bar(_of("stream/on/first_p50_ms"), 0.4, "{:.2f} ms", False),)),
    Target("added latency at 50 % load, everything on, p50", (Bar(_of("latency/added/on/50/p50_ms"), 0.3, "{:.2f} ms", False),)),
    Target("added latency at 50 % load, everything on, p99", (Bar(_of("latency/added/on/50/p99_ms"), 2, "{:.2f} ms", False),)),
    Target("memory under load, everything on", (Bar(_of("memory/on/load_mib"), 100e6 / 2**20, "{:.0f} MiB", False),)),
    Target("memory after load beside idle, without a cache", (Bar(back_to_idle, 1.1, "{:.2f}x", False),)),
    Target("an open stream's memory", (Bar(_of("memory/streams/kb_each"), 20, "{:.1f} kB", False),)),
    Target("start to first answer, everything on", (Bar(_of("start/on/seconds"), 1, "{:.2f} s", False),)),
    Target("two workers over one, by CPU a call", (Bar(two_workers, 1.85, "{:.2f}x"),)),
)  # fmt: skip
