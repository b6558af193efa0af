"""A semantic threshold by evidence: what precision and recall it has on labelled pairs of questions.

The pairs are split in two by a hash of their texts. The threshold is chosen on one half; what it is
worth is said of the other, which had no part in choosing it.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from math import sqrt

import msgspec
from msgspec import Struct

from .guard import judge

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
        n, p, z = self.hits, self.precision, 1.96
        spread = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return (p + z * z / (2 * n) - spread) / (1 + z * z / n)


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
    for pair in pairs:
        verdict = judge(pair.a, pair.b)
        scored.append(
            Scored(
                similarity(pair),
                None if verdict.veto is not None else verdict.margin,
                pair.same,
                is_held_out(pair),
            )
        )
    return scored


def is_held_out(pair: Pair) -> bool:
    return sha256(f"{pair.a}\0{pair.b}".encode()).digest()[0] % 2 == 1


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


_LEFT, _TOP, _WIDTH, _HEIGHT = 70, 30, 620, 400


def picture(curves: dict[str, list[Point]], title: str) -> str:
    """Precision over recall, as SVG."""
    colours = ("#888888", "#bbbbbb", "#1f6feb", "#8ab4f8")
    most = max([0.01, *(p.recall for points in curves.values() for p in points)])

    def x(recall: float) -> float:
        return _LEFT + recall / most * _WIDTH

    def y(precision: float) -> float:
        return _TOP + (1 - precision) / 0.4 * _HEIGHT

    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 500" font-family="sans-serif" font-size="13">',
        '<rect width="720" height="500" fill="white"/>',
        f'<text x="{_LEFT}" y="20" font-weight="bold">{title}</text>',
    ]
    for tenth in range(60, 101, 5):
        at = y(tenth / 100)
        colour = "#d33" if tenth == 97 else "#eee"
        parts.append(
            f'<line x1="{_LEFT}" x2="{_LEFT + _WIDTH}" y1="{at:.1f}" y2="{at:.1f}" stroke="{colour}"/>'
        )
        parts.append(
            f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{tenth / 100:.2f}</text>'
        )
    at = y(0.97)
    parts.append(
        f'<line x1="{_LEFT}" x2="{_LEFT + _WIDTH}" y1="{at:.1f}" y2="{at:.1f}" stroke="#d33" stroke-dasharray="4"/>'
    )
    for step in range(6):
        recall = most * step / 5
        parts.append(
            f'<text x="{x(recall):.1f}" y="{_TOP + _HEIGHT + 18}" text-anchor="middle">{recall:.2f}</text>'
        )
    parts.append(
        f'<text x="{_LEFT + _WIDTH / 2}" y="{_TOP + _HEIGHT + 38}" text-anchor="middle">recall</text>'
    )
    parts.append(
        f'<text x="16" y="{_TOP + _HEIGHT / 2}" transform="rotate(-90 16 {_TOP + _HEIGHT / 2})" text-anchor="middle">precision</text>'
    )
    for number, (name, points) in enumerate(curves.items()):
        colour = colours[number % len(colours)]
        drawn = [p for p in points if p.hits and p.precision >= 0.6]
        line = " ".join(f"{x(p.recall):.1f},{y(p.precision):.1f}" for p in drawn)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.extend(
            f'<circle cx="{x(p.recall):.1f}" cy="{y(p.precision):.1f}" r="3" fill="{colour}"><title>{name}: {p.threshold:g}</title></circle>'
            for p in drawn
        )
        at = _TOP + 300 + 18 * number
        parts.append(f'<rect x="{_LEFT + 14}" y="{at}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{_LEFT + 32}" y="{at + 11}">{name}</text>')
    parts.append("</svg>")
    return "\n".join(parts)
