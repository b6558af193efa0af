"""What is learnt of a provider's pace."""

from ai_gateway.routing.speed import PeakEwma, Speed


def test_a_worse_sample_counts_at_once_and_better_ones_bring_it_down() -> None:
    figure = PeakEwma()
    for tick in range(50):
        figure.observe(0.1, tick * 0.1)
    assert abs(figure.at(4.9) - 0.1) < 0.001
    figure.observe(2.0, 5.0)
    assert figure.at(5.0) == 2.0
    for tick in range(200):
        figure.observe(0.1, 5.1 + tick * 0.1)
    assert figure.at(25.0) < 0.15


def test_what_nobody_asks_fades_so_that_it_is_tried_again() -> None:
    figure = PeakEwma()
    figure.observe(2.0, 0.0)
    assert figure.at(15.0) < 0.1


def test_the_tail_is_known_after_twenty_answers_and_is_their_95th_percentile() -> None:
    speed = Speed()
    for number in range(19):
        speed.answered(1.0, 10, number)
    assert speed.tail() is None
    for number in range(200):
        speed.answered(number % 100 / 100, 10, number)
    tail = speed.tail()
    assert tail is not None
    assert 0.9 <= tail <= 1.0


def test_short_answers_do_not_look_slow() -> None:
    short, long = Speed(), Speed()
    short.answered(0.6, 5, 0)
    long.answered(5.5, 500, 0)
    assert 0.5 < short.expected(100, 0, stream=False) / long.expected(100, 0, stream=False) < 2
