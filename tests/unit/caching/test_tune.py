"""The evidence for a threshold."""

import pytest

from ai_gateway.caching.semantic.tune import (
    Pair,
    Scored,
    choose,
    curve,
    interval,
    picture,
    point,
    read_pairs,
    score,
    split,
    verified,
)


def scored(*rows: tuple[float, bool], margin: float | None = 0.0) -> list[Scored]:
    return [Scored(similarity, margin, same, False) for similarity, same in rows]


def test_precision_and_recall_are_of_what_lies_at_or_above_the_threshold() -> None:
    rows = scored((0.99, True), (0.95, False), (0.94, True), (0.5, True))
    found = point(rows, 0.94, guarded=False)
    assert (found.hits, found.false) == (3, 1)
    assert (found.precision, found.recall) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert found.at_least < found.precision


def test_what_the_guard_vetoes_is_no_hit_and_a_margin_is_asked_for_beyond_the_threshold() -> None:
    rows = scored((0.99, False), margin=None) + scored((0.96, True), (0.98, True), margin=0.03)
    found = point(rows, 0.95, guarded=True)
    assert (found.hits, found.false, found.positives) == (1, 0, 2)


def test_the_lowest_threshold_from_which_precision_holds_is_chosen() -> None:
    rows = scored((0.985, True), (0.975, True), (0.965, True), (0.945, False), (0.935, True))
    best = choose(curve(rows, guarded=True), 0.97)
    assert best is not None
    assert best.threshold == 0.95
    assert choose(curve(scored((0.99, False)), guarded=True), 0.97) is None


def test_a_verifier_turns_near_misses_into_hits_as_far_as_it_is_right() -> None:
    rows = scored((0.96, True), (0.93, True), (0.93, False), (0.7, True))
    assert verified(rows, 0.95, 0.05, wrong=0.0) == (pytest.approx(1.0), pytest.approx(2 / 3))
    precision, recall = verified(rows, 0.95, 0.05, wrong=0.5)
    assert (precision, recall) == (pytest.approx(1.5 / 2), pytest.approx(0.5))


def test_pairs_are_read_by_the_line_and_a_bad_one_is_named() -> None:
    assert read_pairs(['{"a": "x", "b": "y", "same": true}', ""]) == [Pair("x", "y", True)]
    with pytest.raises(ValueError, match="line 2"):
        read_pairs(['{"a": "x", "b": "y", "same": true}', '{"a": 1}'])


def test_about_half_of_the_pairs_are_held_out_and_always_the_same_ones() -> None:
    pairs = [Pair(f"a{n}", f"b{n}", True) for n in range(1000)]
    held = split(pairs)
    assert 400 < sum(held) < 600
    assert [one.held_out for one in score(pairs, lambda pair: 1.0)] == held == split(pairs)


def test_pairs_that_share_a_question_at_any_remove_are_in_the_same_half() -> None:
    pairs = [
        Pair(f"{family}-{n}", f"{family}-{n + 1}", True) for family in range(100) for n in range(4)
    ]
    held = split(pairs)
    assert all(len(set(held[at : at + 4])) == 1 for at in range(0, 400, 4))
    assert 0 < sum(held) < 400


def test_the_interval_of_a_share_narrows_with_what_it_is_of() -> None:
    low, high = interval(97, 100)
    assert (low, high) == (pytest.approx(0.9155, abs=0.001), pytest.approx(0.9897, abs=0.001))
    assert interval(970, 1000)[0] > low


def test_the_picture_is_an_svg_with_every_curve() -> None:
    drawn = picture({"one": curve(scored((0.99, True)), guarded=True)}, "Title")
    assert drawn.startswith("<svg")
    assert drawn.endswith("</svg>")
    assert ">one<" in drawn
