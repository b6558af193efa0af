"""The report's own arithmetic: what a run's figures are told to be."""

import asyncio
import os
from contextlib import suppress
from math import inf
from time import perf_counter
from xml.etree import ElementTree

import pytest
import uvloop
from benchmarks.report import figures
from benchmarks.report.figures import Part, Results
from benchmarks.report.page import PAGE, page, plots, verdict
from benchmarks.report.plot import Curves, bars, grid, marks, short
from benchmarks.report.targets import TARGETS, Bar, Target, back_to_idle, two_workers

from benchmarks import growth, steady, wrk

WRK = """Running 1s test @ http://127.0.0.1:19802/v1/chat/completions
  Latency Distribution
     50%  812.00us
     75%    1.20ms
     90%    1.90ms
     99%   {p99}
  8123 requests in 1.00s, 11.2MB read
Requests/sec:   8101.55
"""


def of(**given: list[float]) -> Results:
    """Figures by `part__figure__name`."""
    results = Results()
    for name, values in given.items():
        part, _, figure = name.partition("__")
        made = results.parts.setdefault(part, Part(at="today", load=0, figures={}))
        made.figures[figure.replace("__", "/")] = values
    return results


def test_a_figure_is_the_median_of_its_rounds() -> None:
    results = of(chat__off__unique__32__rate=[100, 900, 300])
    assert results.get("chat/off/unique/32/rate") == 300
    assert results.get("chat/on/unique/32/rate") is None


def test_a_ratio_needs_both() -> None:
    results = of(chat__a=[6, 6, 60], chat__b=[3], chat__none=[0])
    assert results.ratio("chat/a", "chat/b") == 2
    assert results.ratio("chat/a", "chat/c") is None
    assert results.ratio("chat/a", "chat/none") is None
    assert results.difference("chat/a", "chat/b") == 3


@pytest.mark.parametrize(
    ("value", "at_least", "met"),
    [
        (10, True, True),
        (9.9, True, False),
        (10, False, True),
        (10.1, False, False),
        (None, True, None),
    ],
)
def test_a_bar_is_met_at_its_bound(value: float | None, at_least: bool, met: bool | None) -> None:
    assert Bar(lambda _: value, 10, "{:.1f}", at_least).met(Results()) is met


@pytest.mark.parametrize(
    ("values", "met"),
    [
        ((1, 10), True),
        ((10, None), True),
        ((1, None), False),
        ((1, 1), False),
        ((None, None), None),
    ],
)
def test_a_target_is_met_by_any_of_its_bars(
    values: tuple[float | None, ...], met: bool | None
) -> None:
    def bar(value: float | None) -> Bar:
        return Bar(lambda _: value, 10, "{:.1f}")

    assert Target("t", tuple(bar(value) for value in values)).met(Results()) is met


def test_two_workers_are_twice_what_they_do_for_a_second_of_cpu() -> None:
    results = of(workers__1__per_cpu_second=[4000], workers__2__per_cpu_second=[3800])
    assert two_workers(results) == pytest.approx(1.9)


def test_memory_given_back_is_judged_without_the_cache() -> None:
    results = of(
        memory__on_uncached__idle_mib=[50], memory__on_uncached__after_mib=[54],
        memory__on__idle_mib=[50], memory__on__after_mib=[90],
    )  # fmt: skip
    assert back_to_idle(results) == pytest.approx(1.08)


def test_the_page_says_what_was_missed_and_what_was_not_measured() -> None:
    told = page(of(start__on__seconds=[1.4], memory__streams__kb_each=[12.0]))
    assert "| start to first answer, everything on | at most 1.00 s | 1.40 s | **missed** |" in told
    assert "Short of what was wanted: start to first answer, everything on." in told
    assert "| an open stream's memory | at most 20.0 kB | 12.0 kB | met |" in told
    assert told.count("not measured |") >= len(TARGETS) - 2


@pytest.mark.parametrize(("load", "said"), [(0.4, False), (9.0, True)])
def test_the_page_says_that_the_machine_was_not_quiet(load: float, said: bool) -> None:
    results = Results(parts={"chat": Part(at="today", load=load, figures={})})
    assert ("was not quiet" in page(results)) is said


def test_the_page_in_the_repository_is_that_of_the_figures_beside_it() -> None:
    assert PAGE.exists() == figures.LATEST.exists()
    if not PAGE.exists():
        return
    kept = figures.load()
    assert PAGE.read_text() == page(kept), "run `python -m benchmarks.report --page`"
    for name, drawn in plots(kept).items():
        assert (PAGE.parent / "images" / name).read_text() == drawn


def test_figures_come_back_as_they_were_kept(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("results") / "latest.json"
    results = of(chat__off__unique__32__rate=[10123.456, 9876.5])
    figures.save(results, path)
    assert figures.load(path) == results
    assert results.values("chat/off/unique/32/rate") == [10123, 9876.5]


@pytest.mark.parametrize(
    ("p99", "milliseconds"), [("950.00us", 0.95), ("4.50ms", 4.5), ("1.20s", 1200)]
)
def test_what_wrk_prints_is_read_in_milliseconds(p99: str, milliseconds: float) -> None:
    found = wrk.read(WRK.format(p99=p99))
    assert found == (8101.55, 0.812, pytest.approx(milliseconds))


def test_a_run_with_a_failed_answer_is_thrown_out() -> None:
    with pytest.raises(SystemExit):
        wrk.read(WRK.format(p99="1ms") + "  Non-2xx or 3xx responses: 3\n")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([100, 101, 99, 108], "flat"),
        ([100, 110, 120, 300], "3.00x"),
        ([100, 100, 190, 100], "1.00x"),
    ],
)
def test_a_curve_is_flat_or_told_by_how_much_it_rises(values: list[float], told: str) -> None:
    assert verdict(values) == told


def test_a_rise_is_the_last_over_the_first() -> None:
    assert growth.rise([50, 70, 100]) == 2
    assert growth.rise([]) == 0


@pytest.mark.parametrize(("share", "value"), [(0.5, 51), (0.99, 100), (1.0, 100)])
def test_a_quantile_is_a_value_that_came(share: float, value: float) -> None:
    assert steady.quantile([float(n) for n in range(1, 101)], share) == value


class Transport(asyncio.Transport):
    def write(self, data: bytes | bytearray | memoryview) -> None:
        del data

    def abort(self) -> None:
        pass


def test_a_call_that_waits_for_a_connection_counts_from_when_it_was_due() -> None:
    plan = steady.Plan(b"", b"")
    line = steady.Line(plan)
    line.connection_made(Transport())
    plan.free.append(line)
    now = perf_counter()
    plan.due(now - 0.2)
    plan.due(now - 0.1)
    assert len(plan.waiting) == 1
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
    line.data_received(answer)
    assert not plan.waiting
    line.data_received(answer)
    assert plan.settled
    assert 0.2 <= plan.latencies[0] < inf
    assert plan.latencies[1] >= 0.1
    assert plan.late[1] >= 0.1


def test_a_stream_is_over_with_its_last_chunk() -> None:
    plan = steady.Plan(b"", b"")
    line = steady.Line(plan)
    line.connection_made(Transport())
    plan.free.append(line)
    plan.due(perf_counter())
    line.data_received(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    line.data_received(b"3\r\nab\n\r\n0\r")
    assert not plan.settled
    line.data_received(b"\n\r\n")
    assert plan.settled
    assert plan.firsts[0] <= plan.latencies[0]


def test_an_answer_that_is_no_200_is_an_error() -> None:
    plan = steady.Plan(b"", b"")
    line = steady.Line(plan)
    plan.free.append(line)
    line.connection_made(Transport())
    plan.due(perf_counter())
    line.data_received(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n")
    assert plan.errors == 1
    assert plan.settled


def test_the_timer_tells_how_many_calls_are_due() -> None:
    async def count() -> int:
        seen = 0
        file = steady.timer(perf_counter() + 0.01, 0.001)

        def tick() -> None:
            nonlocal seen
            with suppress(BlockingIOError):
                seen += int.from_bytes(os.read(file, 8), "little")

        loop = asyncio.get_running_loop()
        loop.add_reader(file, tick)
        started = perf_counter()
        await asyncio.sleep(0.06)
        loop.remove_reader(file)
        tick()
        os.close(file)
        assert seen <= (perf_counter() - started) * 1000
        return seen

    assert uvloop.run(count()) >= 45


def test_plots_are_pictures() -> None:
    curves = Curves(title="a < b", x_name="keys", x=[10, 1000], curves={"one": [50.0, 60.0]})
    for drawn in (
        bars("rates", {"1 connection": {"off": 10, "on": 5}}),
        grid("growth", [curves, curves, curves]),
    ):
        assert ElementTree.fromstring(drawn).tag.endswith("svg")


@pytest.mark.parametrize(
    ("highest", "expected"), [(10, [0, 2, 4, 6, 8, 10]), (0.9, [0, 0.2, 0.4, 0.6, 0.8])]
)
def test_an_axis_has_round_marks(highest: float, expected: list[float]) -> None:
    assert marks(highest) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "said"), [(950, "950"), (1200, "1.2k"), (1_000_000, "1M"), (0.25, "0.25")]
)
def test_numbers_are_short_in_plots(value: float, said: str) -> None:
    assert short(value) == said
