"""The index of vectors, and what an entry learns."""

import numpy as np
import pytest

from ai_gateway.caching.semantic.index import SEARCHED_IN_FULL, Item, VectorIndex, unit
from ai_gateway.caching.semantic.semantic import learn, needed


def vectors(count: int, dimensions: int = 16) -> list[np.ndarray]:
    """The same every time, whichever tests ran before: the search among many is approximate."""
    return [unit(row) for row in np.random.default_rng(7).normal(size=(count, dimensions))]


def filled(count: int, capacity: int = 10_000) -> tuple[VectorIndex, list[np.ndarray]]:
    index = VectorIndex(capacity)
    rows = vectors(count)
    for number, row in enumerate(rows):
        assert index.add(Item(f"k{number}", b"g", f"t{number}", 1e12), row)
    return index, rows


@pytest.mark.parametrize("count", [1, 5, 300, SEARCHED_IN_FULL, SEARCHED_IN_FULL + 1, 3000])
def test_a_vector_is_its_own_nearest(count: int) -> None:
    index, rows = filled(count)
    for number in range(0, count, max(1, count // 50)):
        nearest = index.nearest(b"g", rows[number], 1)[0]
        assert nearest.item.key == f"k{number}"
        # 16 components of 8 bits each; over the hundreds of a real one the error is below 0.001.
        assert nearest.similarity == pytest.approx(1.0, abs=4e-3)


@pytest.mark.parametrize("count", [40, SEARCHED_IN_FULL + 200])
def test_what_was_removed_is_found_no_more_and_the_rest_still_is(count: int) -> None:
    index, rows = filled(count)
    gone = set(range(0, count, 3))
    for number in gone:
        assert index.remove(f"k{number}")
    assert not index.remove("k0")
    assert len(index) == count - len(gone)
    for number in range(0, count, 7):
        keys = [n.item.key for n in index.nearest(b"g", rows[number], 1)]
        assert (keys == [f"k{number}"]) == (number not in gone)


def test_groups_know_nothing_of_each_other() -> None:
    index, rows = filled(3)
    assert index.nearest(b"other", rows[0], 4) == []


def test_vectors_of_another_length_are_refused() -> None:
    index, _ = filled(3)
    assert not index.add(Item("x", b"g", "", 1e12), unit([1.0, 2.0]))
    assert index.nearest(b"g", unit([1.0, 2.0]), 4) == []


def test_the_least_recently_used_go_first() -> None:
    index, rows = filled(10, capacity=10)
    first = index.get("k0")
    assert first is not None
    index.touch(first)
    index.add(Item("new", b"g2", "", 1e12), rows[0])
    assert len(index) == 10
    assert index.get("k0") is not None
    assert index.get("k1") is None


def test_a_key_is_held_once() -> None:
    index, rows = filled(2)
    index.add(Item("k0", b"g", "anew", 1e12), rows[1])
    assert len(index) == 2
    assert {n.item.text for n in index.nearest(b"g", rows[1], 2)} == {"anew", "t1"}


@pytest.mark.parametrize("values", [[], [0.0, 0.0], [float("nan")], [float("inf")]])
def test_what_is_no_vector_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="vector"):
        unit(values)


def learnt(*proofs: tuple[float, bool]) -> Item:
    item = Item("k", b"g", "t", 1e12)
    for similarity, same in proofs:
        learn(item, similarity, same=same)
    return item


@pytest.mark.parametrize(
    ("proofs", "expected"),
    [
        ([], 0.94),
        ([(0.91, True)], 0.91),
        ([(0.91, True), (0.93, True)], 0.91),
        ([(0.91, True), (0.89, False)], 0.91),
        ([(0.96, False)], 0.965),
        ([(0.96, False), (0.91, True)], 0.965),
        ([(0.90, False), (0.91, True)], 0.91),
        ([(0.99, True)], 0.94),
    ],
)
def test_an_entry_asks_for_what_was_proven_of_it(
    proofs: list[tuple[float, bool]], expected: float
) -> None:
    assert needed(learnt(*proofs), 0.94) == pytest.approx(expected)


@pytest.mark.parametrize("count", [100, SEARCHED_IN_FULL + 100])
def test_what_the_vectors_take_is_told(count: int) -> None:
    index, _ = filled(count)
    half_precision = 2
    assert index.size >= count * 16 * half_precision
    for key in [f"k{number}" for number in range(count)]:
        index.remove(key)
    assert index.size == 0
