"""`ai-gateway cache tune`: a semantic threshold for an embedder, by labelled pairs or audited calls."""

import argparse
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from ai_gateway.caching.semantic.audited import Near
    from ai_gateway.caching.semantic.index import Vector
    from ai_gateway.caching.semantic.tune import Pair, Point

_AT_ONCE = 64
_LEAST_NEAR = 0.75
"""Audited questions further apart are no pair."""


class Unreadable(Exception):
    """A file that was given."""


def add_cache(commands: Any) -> None:
    cache = commands.add_parser("cache", help="look after the cache")
    actions = cache.add_subparsers(dest="action", required=True, metavar="action")
    tune = actions.add_parser(
        "tune",
        help="precision and recall of semantic thresholds, by labelled pairs or audited calls",
    )
    tune.add_argument("pairs", nargs="*", type=Path, help='JSON lines {"a", "b", "same"}')
    tune.add_argument(
        "--audited", type=Path, help="audited calls as JSON lines (GET /admin/audit/export)"
    )
    tune.add_argument("--verifier", help="a model that judges the pairs of audited questions")
    tune.add_argument(
        "--alike", type=float, default=0.9, help="without one: how close answers to the same lie"
    )
    tune.add_argument("--most", type=int, default=1000, help="pairs of audited questions, at most")
    tune.add_argument("--judged", type=Path, help="a file to write the judged pairs to")
    tune.add_argument("--embedder", required=True, help="the model or route that embeds")
    tune.add_argument("--url", default="http://127.0.0.1:8080", help="of a running gateway")
    tune.add_argument("--key", default="", help="a key of that gateway")
    tune.add_argument("--precision", type=float, default=0.97, help="the least that will do")
    tune.add_argument(
        "--within", type=float, default=0.0, help="as in cache.semantic.verify_within"
    )
    tune.add_argument("--picture", type=Path, help="an SVG file to draw the curves to")


def run(given: argparse.Namespace) -> int:
    from ai_gateway.caching.semantic import tune

    if not given.pairs and given.audited is None:
        print("give labelled pairs, or --audited calls", file=sys.stderr)
        return 2
    pairs: list[tune.Pair] = []
    for path in given.pairs:
        try:
            pairs += tune.read_pairs(path.read_text("utf-8").splitlines())
        except (OSError, ValueError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            return 2
    try:
        if given.audited is not None:
            pairs += _audited_pairs(given)
        vectors = _vectors_of(given, {text for pair in pairs for text in (pair.a, pair.b)})
    except Unreadable as error:
        print(error, file=sys.stderr)
        return 2
    except (OSError, ValueError, msgspec.DecodeError) as error:
        print(f"no embeddings or verdicts from {given.url}: {error}", file=sys.stderr)
        return 1
    if not pairs:
        print("no pairs: no two audited questions were comparable and near each other")
        return 1
    scored = tune.score(pairs, lambda pair: float(vectors[pair.a] @ vectors[pair.b]))
    chosen_on = [one for one in scored if not one.held_out]
    held_out = [one for one in scored if one.held_out]
    print(
        f"{len(pairs)} pairs ({sum(p.same for p in pairs)} the same), embedded by {given.embedder}"
    )
    print(f"{'':9}{'all pairs':^34}{'chosen on, guarded':^30}{'held out, guarded':^30}")
    print(
        f"{'threshold':9}{'plain P / R':>16}{'guarded P / R':>18}{'P / R':>20}{'false/hits':>10}{'P / R':>20}{'false/hits':>10}"
    )
    for threshold in tune.THRESHOLDS:
        plain = tune.point(scored, threshold, guarded=False)
        guarded = tune.point(scored, threshold, guarded=True)
        chosen = tune.point(chosen_on, threshold, guarded=True)
        held = tune.point(held_out, threshold, guarded=True)
        print(
            f"{threshold:<9.3f}{_both(plain):>16}{_both(guarded):>18}"
            f"{_both(chosen):>20}{f'{chosen.false}/{chosen.hits}':>10}"
            f"{_both(held):>20}{f'{held.false}/{held.hits}':>10}"
        )
    best = tune.choose(tune.curve(chosen_on, guarded=True), given.precision)
    if best is None:
        print(f"no threshold reaches precision {given.precision} on the half it is chosen on")
    else:
        held = tune.point(held_out, best.threshold, guarded=True)
        print(
            f"\nthe lowest threshold with precision >= {given.precision} on the half it is chosen on: "
            f"{best.threshold} ({_both(best)});\non the other half it has {_both(held)}, "
            f"{held.false} false of {held.hits} hits (95 %: precision >= {held.at_least:.3f})"
        )
        for wrong in (0.0, 0.02, 0.05, 0.1):
            precision, recall = tune.verified(scored, best.threshold, given.within, wrong=wrong)
            print(
                f"with a verifier that errs in {wrong:.0%} of its verdicts: {precision:.3f} / {recall:.3f}"
            )
    if given.picture is not None:
        drawn = {
            "plain cosine, chosen on": tune.curve(chosen_on, guarded=False),
            "plain cosine, held out": tune.curve(held_out, guarded=False),
            "guarded, chosen on": tune.curve(chosen_on, guarded=True),
            "guarded, held out": tune.curve(held_out, guarded=True),
        }
        given.picture.write_text(tune.picture(drawn, f"Semantic hits by {given.embedder}"), "utf-8")
    return 0


def _audited_pairs(given: argparse.Namespace) -> "list[Pair]":
    """Raises Unreadable, OSError, ValueError, DecodeError."""
    from ai_gateway.caching.semantic.audited import alike, nearest, read_questions
    from ai_gateway.caching.semantic.tune import Pair

    try:
        with given.audited.open(encoding="utf-8") as lines:
            questions = read_questions(lines)
    except (OSError, ValueError) as error:
        raise Unreadable(f"{given.audited}: {error}") from None
    vectors = _vectors_of(given, {question.text for question in questions.found})
    near = nearest(questions.found, vectors, _LEAST_NEAR, given.most)
    if given.verifier is None:
        answers = {q.answer for pair in near for q in (pair.one, pair.other)}
        judge = alike(_vectors_of(given, answers), given.alike)
        by = f"judged by whether their answers lie at {given.alike} or closer"
    else:
        judge = _verified(given)
        by = f"judged by {given.verifier}"
    pairs = [Pair(pair.one.text, pair.other.text, judge(pair)) for pair in near]
    print(
        f"{questions.records} audited calls, {len(questions.found)} questions that compare, "
        f"{len(pairs)} pairs, {by}: a judge that errs, so read the figures as such"
    )
    if given.judged is not None:
        given.judged.write_bytes(b"".join(msgspec.json.encode(pair) + b"\n" for pair in pairs))
    return pairs


def _verified(given: argparse.Namespace) -> "Callable[[Near], bool]":
    from ai_gateway.caching.verdict import verdict, verification

    def judged(pair: "Near") -> bool:
        body = verification(given.verifier, pair.one.text, pair.other.text)
        return verdict(_ask(given, "/v1/chat/completions", body))

    return judged


def _both(point: "Point") -> str:
    return f"{point.precision:.3f} / {point.recall:.3f}"


class _Vector(msgspec.Struct):
    embedding: list[float]
    index: int


class _Vectors(msgspec.Struct):
    data: list[_Vector]


def _vectors_of(given: argparse.Namespace, texts: "Iterable[str]") -> "dict[str, Vector]":
    """Raises OSError, ValueError, DecodeError."""
    from ai_gateway.caching.semantic.index import unit

    listed = sorted(texts)
    found: dict[str, Vector] = {}
    for at in range(0, len(listed), _AT_ONCE):
        some = listed[at : at + _AT_ONCE]
        body = msgspec.json.encode(
            {"model": given.embedder, "input": some, "encoding_format": "float"}
        )
        data = msgspec.json.decode(_ask(given, "/v1/embeddings", body), type=_Vectors).data
        for text, vector in zip(some, sorted(data, key=lambda v: v.index), strict=True):
            found[text] = unit(vector.embedding)
    return found


def _ask(given: argparse.Namespace, path: str, body: bytes) -> bytes:
    """Raises OSError."""
    headers = {"content-type": "application/json"}
    if given.key:
        headers["authorization"] = f"Bearer {given.key}"
    request = urllib.request.Request(f"{given.url}{path}", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        raise OSError(f"{error.code}: {error.read(500).decode('utf-8', 'replace')}") from None
