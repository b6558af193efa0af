"""Thresholds that entries learn, over a stream in which questions come back.

The labelled pairs hold every question about once, so nothing can be learnt of an entry there. Here they
are made to come back, by assumption: families are the labelled pairs whose two questions lie close
(`LEAST_CLOSE`), as many that mean the same as that do not; a family's share of the calls is Zipf's; and
each of its questions comes in `wordings` made by machine, the way people type: without capitals, with a
preface, with a letter missing. What is right is what the label says. Whatever was asked in the very same
words before is the exact cache's and does not count here. The semantic cache is the gateway's own code;
embeddings are real; the verifier is the label, wrong in a set part of its verdicts.
"""

# pyright: basic
import asyncio
from collections.abc import Mapping, Sequence
from random import Random
from types import SimpleNamespace
from typing import Any

from msgspec import Struct

from ai_gateway.caching.question import Meaning
from ai_gateway.caching.rules import Rules
from ai_gateway.caching.semantic.index import VectorIndex
from ai_gateway.caching.semantic.semantic import Semantic, SemanticOptions
from ai_gateway.caching.semantic.tune import Pair
from ai_gateway.model.call import Caller

LEAST_CLOSE = 0.8
FAMILIES = 240
CALLS = 12_000
WINDOW = 1_500
_ZIPF = 0.9


class Window(Struct):
    """What came of the calls up to the `end`th, since the last window's."""

    end: int
    hits: int = 0
    false: int = 0
    answerable: int = 0
    """Looks for which a right answer was stored."""

    @property
    def precision(self) -> float:
        return (self.hits - self.false) / max(1, self.hits)

    @property
    def recall(self) -> float:
        return (self.hits - self.false) / max(1, self.answerable)


def wordings(text: str, random: Random) -> list[str]:
    low = text[0].lower() + text[1:]
    at = random.randrange(len(text) // 2, len(text) - 1)
    return [
        text,
        text.lower().rstrip("?.! "),
        f"Please tell me: {low}",
        f"I was just wondering, {low}",
        f"Hey, {low} Thanks!",
        text[:at] + text[at + 1 :],
    ]


def families(pairs: Sequence[Pair], similar: Mapping[Pair, float]) -> list[Pair]:
    """Half mean the same, half do not."""
    near = [pair for pair in pairs if similar[pair] >= LEAST_CLOSE]
    chosen = Random(1).sample([p for p in near if p.same], FAMILIES // 2)
    return chosen + Random(2).sample([p for p in near if not p.same], FAMILIES // 2)


def calls(chosen: Sequence[Pair]) -> tuple[list[str], dict[str, str]]:
    """The stream, and of each text which question it asks."""
    random = Random(3)
    asked: dict[str, str] = {}
    texts: list[list[str]] = []
    for pair in chosen:
        one, other = wordings(pair.a, random), wordings(pair.b, random)
        asked |= dict.fromkeys(one, pair.a) | dict.fromkeys(other, pair.a if pair.same else pair.b)
        texts.append(one + other)
    random.shuffle(texts)
    weights = [1 / rank**_ZIPF for rank in range(1, len(texts) + 1)]
    stream = [random.choice(family) for family in random.choices(texts, weights, k=CALLS)]
    return stream, asked


async def replay(
    stream: Sequence[str],
    asked: Mapping[str, str],
    vectors: Mapping[str, Any],
    rules: Rules,
    wrong: float | None,
    within: float = 0.0,
) -> list[Window]:
    """`wrong`: in what part of its verdicts the verifier errs; None: there is no verifier. `within`: as
    in `cache.semantic.verify_within`."""
    random = Random(4)

    async def embed(caller: Caller, text: str) -> Any:
        return vectors[text]

    async def verify(caller: Caller, one: str, other: str) -> bool:
        return (asked[one] == asked[other]) ^ (random.random() < (wrong or 0.0))

    async def find(key: str) -> Any:
        return SimpleNamespace(entry=None)

    semantic = Semantic(
        SemanticOptions(embedder="minilm", verify_within=within),
        VectorIndex(100_000),
        embed=embed,
        find=find,
        count=lambda outcome: None,
        verify=None if wrong is None else verify,
    )
    caller = Caller(tenant="t", user="u", key_id="k")
    stored: set[str] = set()
    questions: set[str] = set()
    windows = [Window(end) for end in range(WINDOW, len(stream) + 1, WINDOW)]
    for number, text in enumerate(stream):
        if text in stored:
            continue
        window = windows[number // WINDOW]
        window.answerable += asked[text] in questions
        look = semantic.look(Meaning(b"", text), "", caller)
        hit = await semantic.answer(look, rules, None)
        if hit is not None:
            window.hits += 1
            window.false += asked[hit.key] != asked[text]
        else:
            semantic.remember(look, text, 1e9)
            stored.add(text)
            questions.add(asked[text])
        await semantic.settle()
    return windows


def run(
    pairs: Sequence[Pair], similar: Mapping[Pair, float], embed: Any
) -> dict[str, list[Window]]:
    stream, asked = calls(families(pairs, similar))
    vectors = embed(sorted(asked))
    policies: dict[str, tuple[Rules, float | None, float]] = {
        "plain cosine 0.90": (Rules(guard=False), None, 0.0),
        "guard": (Rules(), None, 0.0),
        "guard, verifier never wrong": (Rules(), 0.0, 0.0),
        "guard, verifier 5 % wrong": (Rules(), 0.05, 0.0),
        "guard, verifier 10 % wrong": (Rules(), 0.1, 0.0),
        "guard, verifier never wrong, 0.06 below": (Rules(), 0.0, 0.06),
    }
    return {
        name: asyncio.run(replay(stream, asked, vectors, rules, wrong, within))
        for name, (rules, wrong, within) in policies.items()
    }
