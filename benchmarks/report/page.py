"""docs/performance.md and its plots, made from the figures of a run."""

from pathlib import Path
from statistics import median

from benchmarks import servers
from benchmarks.growth import rise
from benchmarks.peers import NOT_MEASURED, PEERS

from .figures import Results
from .plot import Curves, bars, grid
from .targets import TARGETS

PAGE = servers.ROOT / "docs/performance.md"
IMAGES = servers.ROOT / "docs/images"
SETS = {
    "off": "everything off",
    "on": "everything on, memory and SQLite",
    "shared": "everything on, Redis and PostgreSQL",
}
FLAT = 1.15
"""What grows by less is called flat: two rounds of the same differ by as much on a busy machine."""
QUIET = 1.5

GROWTH = (
    ("keys", "keys", ("one of them", "all of them"),
     "a key is looked up in the database when it is first seen, and again once it is no longer among the "
     "50,000 (`KNOWN_KEYS`) that memory holds: `all of them` pays for that look-up and what it displaces"),
    ("tenants", "tenants, a budget each", ("all of them",),
     "each tenant has a budget that is counted, and rows of its own in the ledger's sums and the metrics"),
    ("routes", "routes", ("the last of them",), "a route is found by its name in a dictionary"),
    ("cached", "answers in the cache", ("a hit",), "an answer is found by its hash in a dictionary; "
     "the processor's caches hold less of a larger one"),
    ("length", "bytes of a request", ("a call",),
     "a message is received, parsed, hashed and sent on: work that is its length, and no more than that"),
    ("streams", "streams open beside", ("a call beside them",),
     "a still stream has no timer of its own that fires and no turn in the loop"),
    ("labels", "models named", ("a call",),
     "labels that callers invent are bounded: past the bound they read `other`"),
)  # fmt: skip


def written(results: Results) -> None:
    """Writes the page and its plots."""
    IMAGES.mkdir(exist_ok=True)
    for name, drawn in plots(results).items():
        (IMAGES / name).write_text(drawn)
    PAGE.write_text(page(results))
    print(f"written: {PAGE.relative_to(Path.cwd()) if PAGE.is_relative_to(Path.cwd()) else PAGE}")


def plots(results: Results) -> dict[str, str]:
    found: dict[str, str] = {}
    chat = {
        f"{connections} connection{'s' if connections > 1 else ''}": {
            title: rate
            for title, name in (
                ("HAProxy", f"chat/haproxy/{connections}/rate"),
                ("off", f"chat/off/unique/{connections}/rate"),
                ("on, memory", f"chat/on/unique/{connections}/rate"),
                ("on, Redis", f"chat/shared/unique/{connections}/rate"),
                ("cached, memory", f"chat/on/cached/{connections}/rate"),
                ("cached, Redis", f"chat/shared/cached/{connections}/rate"),
            )
            if (rate := results.get(name)) is not None
        }
        for connections in (1, 32, 256)
    }
    if any(chat.values()):
        found["performance-chat.svg"] = bars("JSON chat on one core, requests a second", chat)
    panels = [
        Curves(
            title=f"CPU a call, us: {title}",
            x_name=title,
            x=results.values(f"growth/{name}/x"),
            curves={curve: results.values(f"growth/{name}/{curve}") for curve in curves},
        )
        for name, title, curves, _ in GROWTH
        if results.values(f"growth/{name}/x")
    ]
    if panels:
        found["performance-growth.svg"] = grid("What a call costs as one thing grows", panels)
    return found


def page(results: Results) -> str:
    sections = (
        _opening, _promised, _chat, _stream, _others, _latency, _memory, _workers, _peers, _growth,
        _how,
    )  # fmt: skip
    return "\n".join(line for section in sections for line in section(results)) + "\n"


def _opening(results: Results) -> list[str]:
    machine = results.machine
    times = sorted(part.at for part in results.parts.values())
    busiest = max((part.load for part in results.parts.values()), default=0.0)
    lines = [
        "# Performance",
        "",
        "<!-- Made by `python -m benchmarks.report` from benchmarks/results/latest.json: do not edit. -->",
        "",
        "What the gateway does on **one core**, beside what stands at the limit of that: HAProxy as a plain",
        "reverse proxy on the same core, in the same minutes. To see it on your machine:",
        "",
        "```sh",
        "make performance               # needs wrk and haproxy; 8 minutes",
        "make performance PEERS=1       # other gateways too, installed to a directory of their own",
        "```",
        "",
        f"- Measured {_span(times)}" + (", in short rounds (`--quick`)." if results.quick else "."),
        f"- Machine: {machine.get('processor', 'unknown')}; {machine.get('kernel', '')}, a virtual machine",
        "  with other guests.",
        f"- Python {machine.get('python', 'unknown')}. HAProxy {machine.get('haproxy') or 'not there'}, "
        f"wrk {machine.get('wrk', '')}. At commit {machine.get('commit', '')}.",
    ]
    if busiest > QUIET:
        lines.append(
            f"- **The machine was not quiet**: up to {busiest:.1f} processes wanted a core as a part began. "
            "Rates and\n  latencies are worse than they would be alone; ratios and CPU a call less so."
        )
    return [*lines, ""]


def _span(times: list[str]) -> str:
    if not times:
        return "never"
    return times[0] if times[0] == times[-1] else f"{times[0]} to {times[-1]}"


def _promised(results: Results) -> list[str]:
    lines = [
        "## What it is held to",
        "",
        "| figure | wanted | measured | |",
        "| --- | --- | --- | --- |",
    ]
    words = {True: "met", False: "**missed**", None: "not measured"}
    missed: list[str] = []
    for target in TARGETS:
        met = target.met(results)
        wanted = ", or ".join(bar.wanted() for bar in target.bars)
        measured = ", ".join(bar.measured(results) for bar in target.bars)
        lines.append(f"| {target.name} | {wanted} | {measured} | {words[met]} |")
        if met is False:
            missed.append(target.name)
    if missed:
        lines += ["", f"Short of what was wanted: {'; '.join(missed)}."]
    return [*lines, ""]


def _number(results: Results, name: str, form: str = "{:,.0f}") -> str:
    value = results.get(name)
    return "-" if value is None else form.format(value)


def _ratio(results: Results, name: str, other: str) -> str:
    value = results.ratio(name, other)
    return "-" if value is None else f"{value:.2f}"


def _chat(results: Results) -> list[str]:
    lines = [
        "## JSON chat",
        "",
        "A 600-byte question, a 1.2 kB answer. *On* is access by key, limits, a budget, the exact cache, the",
        "ledger, metrics, a JSON log line a call, tracing sampled at 1 %. *Unique*: the cache is looked at and",
        "missed; *cached*: one question again and again.",
        "",
        "![Requests a second](images/performance-chat.svg)",
        "",
        "| | connections | requests/s | of HAProxy | CPU a call | p50 | p99 |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for connections in (1, 32, 256):
        haproxy = f"chat/haproxy/{connections}/rate"
        lines.append(f"| HAProxy | {connections} | {_number(results, haproxy)} | 1 | | | |")
        for which, questions in (
            *((which, "unique") for which in SETS), ("on", "cached"), ("shared", "cached"),
        ):  # fmt: skip
            name = f"chat/{which}/{questions}/{connections}"
            lines.append(
                f"| {SETS[which]}, {questions} | {connections} | {_number(results, name + '/rate')} "
                f"| {_ratio(results, name + '/rate', haproxy)} "
                f"| {_number(results, name + '/cpu_us')} us "
                f"| {_number(results, name + '/p50_ms', '{:.2f}')} ms "
                f"| {_number(results, name + '/p99_ms', '{:.2f}')} ms |"
            )
    return [
        *lines, "",
        f"The provider alone, asked directly by the same load: "
        f"{_number(results, 'chat/provider/32/rate')} requests/s at 32 connections; it shares its core "
        "with the load.",
        "",
    ]  # fmt: skip


def _stream(results: Results) -> list[str]:
    lines = [
        "## Streams",
        "",
        "Streams of 64 words (68 events), 32 at once. The provider writes each event by itself; the kernel may",
        "join them, as it does on any network. The first byte's time is what is added to the provider's own",
        "at 100 streams a second, from when each was due; there the provider sends its first event alone, and",
        "the rest 20 ms later.",
        "",
        "| | chunks/s | CPU a chunk | added to the first byte, p50 | p99 |",
        "| --- | --- | --- | --- | --- |",
        f"| the provider, directly | {_number(results, 'stream/provider/chunks')} | | | |",
        f"| HAProxy | {_number(results, 'stream/haproxy/chunks')} | "
        f"| {_number(results, 'stream/haproxy/first_p50_ms', '{:.2f}')} ms "
        f"| {_number(results, 'stream/haproxy/first_p99_ms', '{:.2f}')} ms |",
    ]
    lines += [
        f"| {title} | {_number(results, f'stream/{which}/chunks')} "
        f"| {_number(results, f'stream/{which}/chunk_cpu_us', '{:.2f}')} us "
        f"| {_number(results, f'stream/{which}/first_p50_ms', '{:.2f}')} ms "
        f"| {_number(results, f'stream/{which}/first_p99_ms', '{:.2f}')} ms |"
        for which, title in SETS.items()
    ]
    return [*lines, ""]


def _others(results: Results) -> list[str]:
    lines = [
        "## Embeddings and translation",
        "",
        "32 connections, every question new. Embeddings are a vector of 1,536 numbers in base64.",
        "",
        "| | off: requests/s | CPU a call | on: requests/s | CPU a call |",
        "| --- | --- | --- | --- | --- |",
    ]
    for kind, title in (
        ("embeddings", "embeddings"),
        ("claude", "Chat caller, Messages provider"),
        ("messages", "Messages caller, Chat provider"),
    ):
        cells = "".join(
            f" {_number(results, f'others/{which}/{kind}/rate')} "
            f"| {_number(results, f'others/{which}/{kind}/cpu_us')} us |"
            for which in ("off", "on")
        )
        lines.append(f"| {title} |{cells}")
    return [*lines, ""]


def _latency(results: Results) -> list[str]:
    lines = [
        "## Latency at a constant rate",
        "",
        "Each call has a time at which it is due, by the kernel's timer, and its latency counts from then",
        "whether or not a connection was free (no coordinated omission). *Added* is the quantile through the",
        "gateway less the same quantile of the provider asked directly at that rate. *Late* is how far the load",
        "generator itself was behind its plan; it is part of both. HAProxy is asked at the same rates.",
        "",
        "| | of capacity | calls/s | p50 | p99 | added p50 | added p99 | HAProxy adds, p50 | p99 | late p99 |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for which, title in SETS.items():
        for percent in (50, 80):
            capacity = results.get(f"latency/{which}/capacity")
            rate = "-" if capacity is None else f"{capacity * percent / 100:,.0f}"
            name = f"{which}/{percent}"
            cells = [
                _number(results, f"latency/{prefix}{name}/{share}_ms", "{:.2f}") + " ms"
                for prefix in ("", "added/", "haproxy/")
                for share in ("p50", "p99")
            ]
            late = _number(results, f"latency/{name}/late_p99_ms", "{:.2f}")
            lines.append(f"| {title} | {percent} % | {rate} | {' | '.join(cells)} | {late} ms |")
    return [*lines, ""]


def _memory(results: Results) -> list[str]:
    def mib(name: str) -> str:
        return _number(results, f"memory/{name}_mib") + " MiB"

    return [
        "## Memory and start",
        "",
        "| one worker, everything on | idle | under load, at most | 4 s after |",
        "| --- | --- | --- | --- |",
        f"| with the cache (32 MiB of answers at most) | {mib('on/idle')} | {mib('on/load')} | {mib('on/after')} |",
        f"| without | {mib('on_uncached/idle')} | {mib('on_uncached/load')} | {mib('on_uncached/after')} |",
        "",
        "The database was made before (`ai-gateway migrate`). Load is 256 connections with new questions; what the cache then holds stays until it expires or is",
        f"displaced. {_number(results, 'memory/streams/count')} streams open at once take "
        f"{_number(results, 'memory/streams/kb_each', '{:.1f}')} kB each, both of their connections included; "
        f"after they closed the process had {mib('streams/closed')}.",
        "",
        f"From start to the first answer: {_number(results, 'start/off/seconds', '{:.2f}')} s with everything "
        f"off, {_number(results, 'start/on/seconds', '{:.2f}')} s with everything on.",
        "",
    ]


def _workers(results: Results) -> list[str]:
    ratio = results.ratio("workers/2/per_cpu_second", "workers/1/per_cpu_second")
    twice = "-" if ratio is None else f"{2 * ratio:.2f}"
    return [
        "## Two workers",
        "",
        "Everything on, Redis and PostgreSQL, 64 connections. This machine has two cores, and load, provider,",
        "Redis and PostgreSQL need one of them: with two workers they share the second core with a worker, so",
        "the rate cannot double. What scaling there is shows in calls for a second of the gateway's CPU.",
        "",
        "| workers | requests/s | calls for a second of CPU | the lesser worker's part |",
        "| --- | --- | --- | --- |",
        *(
            f"| {n} | {_number(results, f'workers/{n}/rate')} "
            f"| {_number(results, f'workers/{n}/per_cpu_second')} "
            f"| {_number(results, f'workers/{n}/least_share', '{:.0%}')} |"
            for n in ("1", "2")
        ),
        "",
        f"Two workers that each had a core would carry {twice} times what one does, by that account.",
        "",
    ]


def _peers(results: Results) -> list[str]:
    lines = ["## Other gateways", ""]
    if "peers" not in results.parts:
        return [*lines, "Not measured in this run (`make performance PEERS=1`).", ""]
    lines += [
        "On the same core, with the same provider and load, one after the other, this gateway right after each.",
        "They do only what a plain relay needs; *off* is this gateway doing the same, *on* all that is listed",
        "above.",
        "",
        "| | JSON chat, 32 connections | 1 connection | stream chunks/s | memory | start |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for peer in PEERS:
        name = f"peers/{peer.name.split()[0].lower()}"
        if results.get(f"{name}/chat") is not None:
            lines.append(
                f"| {peer.name} {peer.version} | {_number(results, name + '/chat')}/s "
                f"| {_number(results, name + '/chat_1')}/s | {_number(results, name + '/chunks')} "
                f"| {_number(results, name + '/mib')} MiB "
                f"| {_number(results, name + '/seconds', '{:.1f}')} s |"
            )
    for which in ("off", "on"):
        name = f"peers/ours/{which}"
        lines.append(
            f"| this gateway, {which} | {_number(results, name + '/chat')}/s | "
            f"| {_number(results, name + '/chunks')} | {_number(results, name + '/mib')} MiB | |"
        )
    lines += ["", "`-`: it did not answer that load with 200s.", ""]
    lines += [f"- {peer.name} {peer.version}: {peer.settings}." for peer in PEERS]
    return [*lines, f"- {NOT_MEASURED}", ""]


def _growth(results: Results) -> list[str]:
    lines = ["## What grows", ""]
    if "growth" not in results.parts:
        return [*lines, "Not measured in this run (`python -m benchmarks.growth`).", ""]
    lines += [
        "The gateway's CPU a call, everything on (memory and SQLite), as one thing grows.",
        "",
        "![CPU a call](images/performance-growth.svg)",
        "",
        "| | from | to | CPU a call, from | to | | why |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, title, curves, why in GROWTH:
        x = results.values(f"growth/{name}/x")
        for curve in curves:
            values = results.values(f"growth/{name}/{curve}")
            if x and values:
                lines.append(
                    f"| {title}, {curve} | {x[0]:,.0f} | {x[-1]:,.0f} | {values[0]:,.0f} us "
                    f"| {values[-1]:,.0f} us | {verdict(values)} | {why} |"
                )
    notes = [
        ("routes/start_seconds", "10,000 routes: {:.1f} s from start to the first answer"),
        ("routes/mib", "{:.0f} MiB with them"),
        ("cached/mib", "{:.0f} MiB with the largest cache"),
        ("streams/mib", "{:.0f} MiB with the most streams"),
        ("labels/scrape_ms", "a scrape of /metrics after the most models {:.0f} ms"),
        ("labels/scrape_kb", "{:,.0f} kB"),
    ]
    said = [
        form.format(values[-1])
        for name, form in notes
        if (values := results.values(f"growth/{name}"))
    ]
    return [*lines, "", f"Beside it: {'; '.join(said)}.", ""]


def verdict(values: list[float]) -> str:
    """Flat or not, by the last beside the first; by the median of the rest, where the first is alone high."""
    grown = rise(values)
    if grown < FLAT and max(values) < FLAT * median(values):
        return "flat"
    return f"{grown:.2f}x"


def _how(results: Results) -> list[str]:
    return [
        "## How it is measured",
        "",
        "- Gateway, HAProxy and peers: core 0, one process, one thread of work. Provider (canned answers from a",
        "  bare protocol on uvloop), load, Redis, PostgreSQL and the trace sink: core 1.",
        "- Throughput by wrk, one thread, closed loop; a run in which any answer is not a 200 is thrown out.",
        "  Latency by `benchmarks/steady.py`. CPU a call is the kernel's account of the gateway's process,",
        "  all its threads, over the calls answered.",
        "- A figure is the median of its rounds; every round is in `benchmarks/results/latest.json`. What is",
        "  compared is measured in turn, so that a noisy minute is everybody's.",
        "- Loopback has no network's latency or loss, and the provider answers at once: figures are what the",
        "  gateway costs, not what a caller of a model sees.",
    ]
