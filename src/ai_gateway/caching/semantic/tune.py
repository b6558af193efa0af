"""A semantic threshold by evidence: what precision and recall it has on labelled pairs of questions.

The pairs are split in two by a hash of their texts, those that share a question staying together. The
threshold is chosen on one half; what it is worth is said of the other, which had no part in choosing it.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from math import sqrt

import msgspec
from msgspec import Struct

from .chart import Dot, chart
from .guard import judge

LEAST_DRAWN = 0.6
THRESHOLDS = tuple(n / 1000 for n in (*range(800, 900, 20), *range(900, 995, 5)))


class Pair(Struct, frozen=True):
    a: str
    b: str
    same: bool


class Scored(Struct, frozen=True):
    similarity: float
    margin: float | None
    """What the guard asks for beyond the threshold; None: it vetoes."""
    same: bool
    held_out: bool


class Point(Struct, frozen=True, kw_only=True):
    threshold: float
    hits: int
    false: int
    positives: int

    @property
    def precision(self) -> float:
        return 1.0 if not self.hits else (self.hits - self.false) / self.hits

    @property
    def recall(self) -> float:
        return 0.0 if not self.positives else (self.hits - self.false) / self.positives

    @property
    def at_least(self) -> float:
        """The lower end of the 95 % interval of the precision (Wilson)."""
        if not self.hits:
            return 0.0
        return interval(self.hits - self.false, self.hits)[0]


def interval(found: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson)."""
    n, p, z = of, found / of, 1.96
    spread = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    middle, whole = p + z * z / (2 * n), 1 + z * z / n
    return (middle - spread) / whole, (middle + spread) / whole


def read_pairs(lines: Iterable[str]) -> list[Pair]:
    """JSON lines `{"a": ..., "b": ..., "same": true}`. Raises ValueError naming the line."""
    decode = msgspec.json.Decoder(Pair).decode
    pairs: list[Pair] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            pairs.append(decode(line))
        except msgspec.DecodeError as error:
            raise ValueError(f"line {number}: {error}") from None
    return pairs


def score(pairs: Sequence[Pair], similarity: Callable[[Pair], float]) -> list[Scored]:
    scored: list[Scored] = []
    for pair, held_out in zip(pairs, split(pairs), strict=True):
        verdict = judge(pair.a, pair.b)
        scored.append(
            Scored(
                similarity(pair),
                None if verdict.veto is not None else verdict.margin,
                pair.same,
                held_out,
            )
        )
    return scored


def split(pairs: Sequence[Pair]) -> list[bool]:
    """Of each pair whether it is held out; pairs that share a question, at however many removes, go
    together."""
    first: dict[str, str] = {}

    def root(text: str) -> str:
        while (above := first.setdefault(text, text)) != text:
            text = above
        return text

    for pair in pairs:
        first[root(pair.b)] = root(pair.a)
    held_out: dict[str, bool] = {}
    for pair in pairs:
        odd = sha256(f"{pair.a}\0{pair.b}".encode()).digest()[0] % 2 == 1
        held_out.setdefault(root(pair.a), odd)
    return [held_out[root(pair.a)] for pair in pairs]


def point(scored: Iterable[Scored], threshold: float, *, guarded: bool) -> Point:
    hits = false = positives = 0
    for one in scored:
        positives += one.same
        if guarded:
            hit = one.margin is not None and one.similarity >= threshold + one.margin
        else:
            hit = one.similarity >= threshold
        hits += hit
        false += hit and not one.same
    return Point(threshold=threshold, hits=hits, false=false, positives=positives)


def curve(scored: Sequence[Scored], *, guarded: bool) -> list[Point]:
    return [point(scored, threshold, guarded=guarded) for threshold in THRESHOLDS]


def verified(
    scored: Sequence[Scored], threshold: float, within: float, *, wrong: float
) -> tuple[float, float]:
    """Precision and recall once near misses have been put to a verifier that errs in `wrong` of its
    verdicts: of what lies up to `within` short of its threshold, the right ones are then hits too."""
    own = point(scored, threshold, guarded=True)
    right, false = float(own.hits - own.false), float(own.false)
    for one in scored:
        if one.margin is None:
            continue
        short = threshold + one.margin - one.similarity
        if 0 < short <= within + one.margin:
            right += one.same * (1 - wrong)
            false += (not one.same) * wrong
    return right / max(1.0, right + false), right / max(1, own.positives)


def choose(points: Sequence[Point], wanted: float) -> Point | None:
    """The lowest threshold from which on precision stays at what is wanted."""
    found = None
    for one in reversed(points):
        if one.precision < wanted:
            break
        found = one
    return found if found is not None and found.hits else None


def picture(curves: dict[str, list[Point]], title: str) -> str:
    """Precision over recall, as SVG."""
    drawn = {
        name: [
            Dot(p.recall, p.precision, f"{p.threshold:g}")
            for p in points
            if p.hits and p.precision >= LEAST_DRAWN
        ]
        for name, points in curves.items()
    }
    return chart(drawn, title, "recall", "precision", LEAST_DRAWN, mark=0.97)
