"""`ai-gateway cache tune`: a semantic threshold for an embedder, by labelled pairs."""

import argparse
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from ai_gateway.caching.semantic.tune import Point

_AT_ONCE = 64


def add_cache(commands: Any) -> None:
    cache = commands.add_parser("cache", help="look after the cache")
    actions = cache.add_subparsers(dest="action", required=True, metavar="action")
    tune = actions.add_parser(
        "tune", help="precision and recall of semantic thresholds, by labelled pairs"
    )
    tune.add_argument("pairs", nargs="+", type=Path, help='JSON lines {"a", "b", "same"}')
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
    from ai_gateway.caching.semantic.index import unit

    pairs: list[tune.Pair] = []
    for path in given.pairs:
        try:
            pairs += tune.read_pairs(path.read_text("utf-8").splitlines())
        except (OSError, ValueError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            return 2
    texts = sorted({text for pair in pairs for text in (pair.a, pair.b)})
    try:
        vectors = {
            text: unit(vector)
            for at in range(0, len(texts), _AT_ONCE)
            for text, vector in zip(
                texts[at : at + _AT_ONCE],
                _embed(given, texts[at : at + _AT_ONCE]),
                strict=True,
            )
        }
    except (OSError, ValueError, msgspec.DecodeError) as error:
        print(f"no embeddings from {given.url}: {error}", file=sys.stderr)
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


def _both(point: "Point") -> str:
    return f"{point.precision:.3f} / {point.recall:.3f}"


class _Vector(msgspec.Struct):
    embedding: list[float]
    index: int


class _Vectors(msgspec.Struct):
    data: list[_Vector]


def _embed(given: argparse.Namespace, texts: list[str]) -> list[list[float]]:
    """Raises OSError, DecodeError."""
    body = msgspec.json.encode(
        {"model": given.embedder, "input": texts, "encoding_format": "float"}
    )
    headers = {"content-type": "application/json"}
    if given.key:
        headers["authorization"] = f"Bearer {given.key}"
    request = urllib.request.Request(f"{given.url}/v1/embeddings", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            data = msgspec.json.decode(answer.read(), type=_Vectors).data
    except urllib.error.HTTPError as error:
        raise OSError(f"{error.code}: {error.read(500).decode('utf-8', 'replace')}") from None
    return [vector.embedding for vector in sorted(data, key=lambda vector: vector.index)]
