"""The circuit breaker, told the time by the test."""

import pytest

from ai_gateway.routing.breaker import LONGEST_OPEN_SECONDS, Breaker


def fail(breaker: Breaker, now: float, count: int = 1, *, connect: bool = False) -> None:
    for _ in range(count):
        era = breaker.enter(now)
        if era:
            breaker.failed(now, era, connect=connect)


def succeed(breaker: Breaker, now: float, count: int = 1) -> None:
    for _ in range(count):
        era = breaker.enter(now)
        assert era
        breaker.succeeded(now, era)


def opened(now: float = 100.0) -> Breaker:
    breaker = Breaker()
    fail(breaker, now, 20)
    assert breaker.state == "open"
    return breaker


def test_it_opens_at_half_of_twenty_calls_and_not_before() -> None:
    breaker = Breaker()
    succeed(breaker, 100, 10)
    fail(breaker, 101, 9)
    assert breaker.state == "closed"
    fail(breaker, 101)
    assert breaker.state == "open"
    assert breaker.cause == "failures"
    assert not breaker.allows(101)
    assert breaker.enter(101) == 0


def test_less_than_half_never_opens_it() -> None:
    breaker = Breaker()
    for second in range(1000):
        succeed(breaker, second, 6)
        fail(breaker, second, 5)
    assert breaker.state == "closed"


def test_a_hard_outage_opens_it_whatever_was_good_before() -> None:
    breaker = Breaker()
    succeed(breaker, 100, 2000)
    fail(breaker, 101, 19)
    assert breaker.state == "closed"
    fail(breaker, 101.1)
    assert (breaker.state, breaker.cause) == ("open", "failures")


def test_failures_older_than_the_window_are_forgotten() -> None:
    breaker = Breaker()
    fail(breaker, 100, 19)
    fail(breaker, 110, 19)
    assert breaker.state == "closed"
    fail(breaker, 119.9)
    assert breaker.state == "open"


def test_a_long_silence_forgets_everything() -> None:
    breaker = Breaker()
    fail(breaker, 100, 19)
    fail(breaker, 100_000, 1)
    assert breaker.state == "closed"


def test_five_failed_connects_in_a_row_open_it_and_four_do_not() -> None:
    breaker = Breaker()
    fail(breaker, 100, 4, connect=True)
    succeed(breaker, 100)
    fail(breaker, 100, 4, connect=True)
    assert breaker.state == "closed"
    fail(breaker, 100, connect=True)
    assert (breaker.state, breaker.cause) == ("open", "connect")


def test_half_open_lets_one_probe_through_then_three() -> None:
    breaker = opened(100)
    assert breaker.enter(104.9) == 0
    probe = breaker.enter(105)
    assert probe
    assert breaker.state == "half-open"
    assert breaker.enter(105) == 0
    breaker.succeeded(105.1, probe)
    more = [breaker.enter(105.2) for _ in range(4)]
    assert [bool(era) for era in more] == [True, True, True, False]
    for era in more[:3]:
        breaker.succeeded(105.3, era)
    assert breaker.state == "closed"
    assert breaker.cause is None


def test_each_failed_probe_doubles_the_wait_up_to_a_minute() -> None:
    breaker = opened(0)
    now, waits = 0.0, []
    for _ in range(6):
        waits.append(breaker.retry_at - now)
        now = breaker.retry_at
        fail(breaker, now)
    assert waits == [5, 10, 20, 40, 60, 60]
    assert breaker.retry_at - now == LONGEST_OPEN_SECONDS
    now = breaker.retry_at
    succeed(breaker, now, 1)
    succeed(breaker, now, 3)
    fail(breaker, now, 20)
    assert breaker.retry_at - now == 5


def test_a_probe_that_tells_nothing_gives_its_place_back() -> None:
    breaker = opened(100)
    for _ in range(5):
        era = breaker.enter(106)
        assert era
        breaker.left(era)
    assert breaker.state == "half-open"


def test_late_news_of_the_outage_does_not_reopen_it() -> None:
    breaker = Breaker()
    before = breaker.enter(100)
    fail(breaker, 100, 20)
    probe = breaker.enter(106)
    breaker.failed(106.1, before)
    assert breaker.state == "half-open"
    breaker.succeeded(106.2, probe)
    breaker.failed(106.3, before)
    assert breaker.state == "half-open"


def test_a_stream_that_breaks_counts_as_a_failure_and_no_longer_as_good() -> None:
    breaker = Breaker()
    for _ in range(20):
        era = breaker.enter(100)
        breaker.began(100, era)
        breaker.broke(100, era)
    assert breaker.state == "open"


def stream(breaker: Breaker, now: float, *, whole: bool) -> None:
    era = breaker.enter(now)
    breaker.began(now, era)
    if whole:
        breaker.ended(era)
    else:
        breaker.broke(now, era)


def test_streams_that_are_all_cut_open_it_though_each_began_well() -> None:
    breaker = Breaker()
    for _ in range(2000):
        stream(breaker, 100, whole=True)
    for _ in range(19):
        stream(breaker, 101, whole=False)
    assert breaker.state == "closed"
    stream(breaker, 101, whole=False)
    assert (breaker.state, breaker.cause) == ("open", "failures")


@pytest.mark.parametrize("whole", ["stream", "answer"])
def test_a_row_of_cut_streams_ends_with_one_that_comes_whole(whole: str) -> None:
    breaker = Breaker()
    succeed(breaker, 100, 2000)
    for _ in range(50):
        for _ in range(19):
            stream(breaker, 101, whole=False)
        if whole == "stream":
            stream(breaker, 101, whole=True)
        else:
            succeed(breaker, 101)
    assert breaker.state == "closed"


def test_cut_streams_far_apart_are_no_row() -> None:
    breaker = Breaker()
    for second in range(1000):
        stream(breaker, second, whole=False)
    assert breaker.state == "closed"


def test_few_cut_streams_among_many_that_still_go_on_are_no_row() -> None:
    """As after a start, under load: no stream is long enough under way to have come whole."""
    breaker = Breaker()
    for number in range(9_000):
        now = 100 + number / 100
        era = breaker.enter(now)
        breaker.began(now, era)
        if number % 25 == 0:
            breaker.broke(now, era)
    assert breaker.state == "closed"


def test_streams_that_stall_long_after_they_began_open_it_as_fast() -> None:
    breaker = Breaker()
    eras = [breaker.enter(100 + number / 100) for number in range(3_000)]
    for number, era in enumerate(eras):
        breaker.began(100 + number / 100, era)
    cuts = 0
    while breaker.state == "closed":
        now = 130 + cuts / 100
        era = breaker.enter(now)
        breaker.began(now, era)
        breaker.broke(now, eras[cuts])
        cuts += 1
    assert cuts == 20


@pytest.mark.parametrize("forced", ["open", "closed"])
def test_an_operators_word_holds_until_it_is_taken_back(forced: str) -> None:
    breaker = opened(100) if forced == "closed" else Breaker()
    breaker.force(forced)  # type: ignore[arg-type]
    fail(breaker, 101, 100)
    assert bool(breaker.enter(101)) == (forced == "closed")
    breaker.force(None)
    assert breaker.enter(101)


def test_changes_are_told_once_each() -> None:
    seen: list[tuple[str, str]] = []
    breaker = Breaker(lambda b, before, why: seen.append((before, b.state)))
    fail(breaker, 100, 50)
    succeed(breaker, 105)
    succeed(breaker, 105, 3)
    assert seen == [("closed", "open"), ("open", "half-open"), ("half-open", "closed")]


def test_a_hint_opens_a_closed_one_only() -> None:
    breaker = Breaker()
    breaker.hint(100, 5)
    assert (breaker.state, breaker.cause) == ("open", "hint")
    assert breaker.allows(105)
    forced = Breaker()
    forced.force("closed")
    forced.hint(100, 5)
    assert forced.enter(100)
