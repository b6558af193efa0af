"""Vectors of stored questions, in this process: who lies nearest, among those of one fingerprint.

Small groups are searched in full, which is exact and takes microseconds; large ones by usearch (HNSW).
Bounded in all: the least recently used go first, whatever their group.
"""

from collections import OrderedDict
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Vector = NDArray[np.float32]

SEARCHED_IN_FULL = 1024
_FIRST_ROWS = 4
_LOOKED_THROUGH = 32
"""Candidates of a search in a graph: half of usearch's default, which found no near neighbour more."""


class Item:
    """A stored question. Its answer is in the store, under `key`."""

    __slots__ = ("different_from", "expires", "group", "key", "row", "same_from", "text")

    def __init__(self, key: str, group: bytes, text: str, expires: float) -> None:
        self.key = key
        self.group = group
        self.text = text
        self.expires = expires
        self.row = -1
        self.same_from: float | None = None
        """The least similarity at which another question proved to want the same answer."""
        self.different_from: float | None = None
        """The greatest at which one proved to want another."""


class Neighbour(Struct, frozen=True):
    item: Item
    similarity: float
    """Cosine, -1 to 1."""


class _Group:
    """The vectors of one fingerprint, all of one length."""

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self.items: list[Item] = []
        self._rows: Vector = np.empty((_FIRST_ROWS, dimensions), np.float32)
        self._graph: Any = None
        self._by_number: dict[int, Item] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self.items) if self._graph is None else len(self._by_number)

    @property
    def size(self) -> int:
        """In bytes, of the vectors and of what finds them."""
        return self._rows.nbytes if self._graph is None else int(self._graph.memory_usage)

    def add(self, item: Item, vector: Vector) -> None:
        if self._graph is not None:
            self._add_to_graph(item, vector)
            return
        row = len(self.items)
        if row == SEARCHED_IN_FULL:
            self._grow_graph()
            self._add_to_graph(item, vector)
            return
        if row == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        self._rows[row] = vector
        item.row = row
        self.items.append(item)

    def remove(self, item: Item) -> None:
        if self._graph is not None:
            self._graph.remove(item.row)
            del self._by_number[item.row]
            return
        last = self.items.pop()
        if last is not item:
            self._rows[item.row] = self._rows[len(self.items)]
            self.items[item.row] = last
            last.row = item.row

    def nearest(self, vector: Vector, count: int) -> list[Neighbour]:
        if self._graph is not None:
            found = self._graph.search(vector, count, threads=1)
            return [
                Neighbour(self._by_number[int(number)], 1.0 - float(distance))
                for number, distance in zip(found.keys, found.distances, strict=True)
                if int(number) in self._by_number
            ]
        similar = self._rows[: len(self.items)] @ vector
        order = np.argsort(-similar)[:count]
        return [Neighbour(self.items[int(at)], float(similar[at])) for at in order]

    def _grow_graph(self) -> None:
        from usearch.index import Index

        self._graph = Index(
            ndim=self.dimensions, metric="ip", dtype="bf16", expansion_search=_LOOKED_THROUGH
        )
        for item in self.items:
            self._add_to_graph(item, self._rows[item.row])
        self.items = []
        self._rows = np.empty((0, self.dimensions), np.float32)

    def _add_to_graph(self, item: Item, vector: Vector) -> None:
        item.row = self._next
        self._next += 1
        self._graph.add(item.row, vector, threads=1)
        self._by_number[item.row] = item


class VectorIndex:
    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._groups: dict[bytes, _Group] = {}
        self._items: OrderedDict[str, Item] = OrderedDict()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def size(self) -> int:
        """In bytes, of all vectors and what finds them; texts and keys come on top."""
        return sum(group.size for group in self._groups.values())

    def get(self, key: str) -> Item | None:
        return self._items.get(key)

    def keys(self) -> list[str]:
        return list(self._items)

    def add(self, item: Item, vector: Vector) -> bool:
        """`vector` is of unit length. False where its length does not fit its group."""
        self.remove(item.key)
        group = self._groups.get(item.group)
        if group is None:
            group = self._groups[item.group] = _Group(len(vector))
        elif group.dimensions != len(vector):
            return False
        group.add(item, vector)
        self._items[item.key] = item
        while len(self._items) > self._capacity:
            self.remove(next(iter(self._items)))
        return True

    def remove(self, key: str) -> bool:
        item = self._items.pop(key, None)
        if item is None:
            return False
        group = self._groups[item.group]
        group.remove(item)
        if not len(group):
            del self._groups[item.group]
        return True

    def nearest(self, group: bytes, vector: Vector, count: int) -> list[Neighbour]:
        """The nearest first."""
        found = self._groups.get(group)
        if found is None or found.dimensions != len(vector):
            return []
        return found.nearest(vector, count)

    def touch(self, item: Item) -> None:
        if item.key in self._items:
            self._items.move_to_end(item.key)


def unit(values: object) -> Vector:
    """A vector of length 1 of any numbers. Raises ValueError for none, zero or not finite."""
    vector = np.asarray(values, np.float32)
    length = float(np.linalg.norm(vector))
    if vector.ndim != 1 or not length or not np.isfinite(length):
        raise ValueError("not a vector")
    return vector / np.float32(length)
