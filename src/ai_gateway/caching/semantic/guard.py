"""The lexical guard: whether two prompts that lie close may be taken for the same question.

Embeddings see what a text is about; they are all but blind to the one number, name, negation or swapped
word that makes it another question. So both texts are looked at, word by word. Whatever of
`VETOES` they differ in turns a near hit into a miss, however close. What is left is graded by how the
words differ, and each grade asks for a closeness of its own (`MARGINS`, above the policy's threshold).

English is what it knows: its list of function words, its inflections. For other scripts every word
must be the same, which only costs hits.
"""

import re
import unicodedata
from collections import Counter
from functools import lru_cache
from itertools import pairwise
from typing import Literal

from msgspec import Struct

from .english import (
    BOTH_WAYS,
    CONNECTING,
    DIRECTIONS,
    FUNCTION_WORDS,
    HE_OR_SHE,
    NEGATIONS,
    NONE,
    NUMBER_WORDS,
    OPPOSITES,
    PAST,
    POLAR,
    QUESTIONS,
    SAYING_LITTLE,
    SECOND_PERSON,
    TOWARDS,
    WHETHER,
    meaning,
    plainly,
)

Veto = Literal[
    "code",  # what stands in back quotes, URLs, paths, operators
    "quotes",  # what stands in quotation marks
    "numbers",  # any word with a digit in it: dates, versions, sizes
    "names",  # capitalised words and acronyms
    "negation",  # one of them says no
    "question",  # who, where, why: another question word
    "person",  # "you" in one of them only: an opinion asked for; he and she, I and me
    "time",  # what was, what is
    "letters",  # single letters: type A, type B
    "order",  # two words in each other's place: json to yaml, best and worst
    "direction",  # to the bucket, from the bucket
    "opposites",  # increase, decrease
    "script",  # words of another script than the Latin one
    "added",  # one of them says more: a narrower question
]
Grade = Literal["same", "short", "swapped", "reworded"]

MARGINS: dict[Grade, float] = {
    "same": 0.0,  # the same words of content, in whatever form and order
    "short": 0.08,  # likewise, but fewer than three: little to go by
    "swapped": 0.07,  # one word for another
    "reworded": 0.06,  # several on both sides
}
LOOSE_QUESTION = 0.04
"""More, where one of the two asks nothing: a heading, a few key words."""
LEAST_WORDS = 3


class Verdict(Struct, frozen=True):
    veto: Veto | None
    grade: Grade | None = None
    margin: float = 0.0
    """How much more than the threshold is asked for."""


def judge(one: str, other: str) -> Verdict:
    """Symmetric."""
    a, b = read(one), read(other)
    veto = _veto(a, b)
    if veto is not None:
        return Verdict(veto)
    more, less = len(a.content - b.content), len(b.content - a.content)
    if (more == 0) != (less == 0):
        return Verdict("added")
    if more == 0:
        grade: Grade = "same" if len(a.content) >= LEAST_WORDS else "short"
    else:
        grade = "swapped" if more == less == 1 else "reworded"
    loose = LOOSE_QUESTION if a.question != b.question else 0.0
    return Verdict(None, grade, max(MARGINS[grade], loose))


def _veto(a: "Reading", b: "Reading") -> Veto | None:
    if a.code != b.code:
        return "code"
    if a.quotes != b.quotes and not (_says(a, b) and _says(b, a)):
        return "quotes"
    if a.numbers != b.numbers:
        return "numbers"
    if a.names != b.names and ((a.names - b.words) or (b.names - a.words)):
        return "names"
    if a.negated != b.negated:
        return "negation"
    if a.question and b.question and a.question != b.question:
        return "question"
    if a.second_person != b.second_person or _others_are_meant(a, b):
        return "person"
    if a.past != b.past:
        return "time"
    if a.letters != b.letters:
        return "letters"
    if Counter(a.polar) == Counter(b.polar) and a.polar != b.polar:
        return "order"
    if a.sequence != b.sequence and (_exchanged(a, b) or _turned(a, b)):
        return "order"
    if a.whence & b.whither or b.whence & a.whither:
        return "direction"
    only_a, only_b = a.content - b.content, b.content - a.content
    if any(OPPOSITES.get(word, NONE) & only_b for word in only_a):
        return "opposites"
    if not all(word.isascii() for word in only_a | only_b):
        return "script"
    return None


def _exchanged(a: "Reading", b: "Reading") -> bool:
    """Two words have changed places and all else is in its own: dog bites man, man bites dog."""
    if len(a.chain) != len(b.chain):
        return False
    apart = [
        at for at, (one, other) in enumerate(zip(a.chain, b.chain, strict=True)) if one != other
    ]
    if len(apart) != 2:
        return False
    first, last = apart
    if a.chain[first] != b.chain[last] or a.chain[last] != b.chain[first]:
        return False
    return not all(word in BOTH_WAYS for word in a.chain[first + 1 : last])


def _turned(a: "Reading", b: "Reading") -> bool:
    """What stands before a word of direction in one stands behind it in the other, and the reverse:
    from markdown to html, from html to markdown."""
    for word in a.chain:
        if word in DIRECTIONS and a.chain.count(word) == b.chain.count(word) == 1:
            here, there = a.chain.index(word), b.chain.index(word)
            before = set(a.chain[:here]) & set(b.chain[there + 1 :]) - CONNECTING
            behind = set(a.chain[here + 1 :]) & set(b.chain[:there]) - CONNECTING
            if before and behind:
                return True
    return False


def _others_are_meant(a: "Reading", b: "Reading") -> bool:
    """He and she, or I who do it and I to whom it is done."""
    if a.he_or_she and b.he_or_she and a.he_or_she != b.he_or_she:
        return True
    return {a.i_or_me, b.i_or_me} == {"i", "me"}


def _says(a: "Reading", b: "Reading") -> bool:
    """Whether what `a` quotes and `b` does not stands in `b` all the same, without the marks."""
    return all(f" {quoted} " in b.flat for quoted in a.quotes if quoted not in b.quotes)


class Reading(Struct, frozen=True):
    """What the guard sees in a text."""

    words: "Counter[str]"
    """With how often; each as the commonest one that says the same (`english.meaning`), like all below."""
    content: frozenset[str]
    """What carries meaning."""
    sequence: tuple[str, ...]
    """The same, in order."""
    code: tuple[str, ...]
    quotes: tuple[str, ...]
    numbers: tuple[str, ...]
    names: "Counter[str]"
    negated: bool
    question: str
    second_person: bool
    he_or_she: tuple[str, ...]
    """Once each, in order."""
    i_or_me: str
    """Empty where both stand in it, or neither."""
    past: bool
    """It asks of what was; of what is and of what will be is asked in the same words."""
    letters: tuple[str, ...]
    polar: tuple[str, ...]
    chain: tuple[str, ...]
    """The words of content and those that connect them, in order."""
    whence: frozenset[str]
    """What stands behind "from" alone."""
    whither: frozenset[str]
    """What stands behind "to" or "into" alone."""
    flat: str
    """The text in lower case, without marks."""


_WORD = re.compile(r"[^\W_]+(?:[.,:]\d+)*[+#]*")
_DIGIT = re.compile(r"\d")
_SENTENCE = re.compile(r"[^\W_]+[+#]*|[.?!:\n]")
_CODE = re.compile(
    r"```.*?```|`[^`]+`|https?://\S+|(?<!\w)(?:[./~]?/[\w.-]+)+|[<>=&|^%*$]=?|!=|!(?=\w)|->|::",
    re.DOTALL,
)
_QUOTED = re.compile(r"\"+([^\"]+)\"+|“([^”]+)”|«([^»]+)»|(?<!\w)'([^']+)'(?!\w)")
_SHORTENED = re.compile(r"\b(?:can't|cannot|won't)|(?<=\w)(?:n't|'(?:re|m|ll|ve|d|s))\b")
_AT_LENGTH = {
    "can't": "can not", "cannot": "can not", "won't": "will not", "n't": " not", "'re": " are",
    "'m": " am", "'ll": " will", "'ve": " have", "'d": " would", "'s": " ",
}  # fmt: skip
_LONGEST_READ = 4000
_HEAD = 3
"""Words in which a question's own verb stands: later ones may be of a clause."""


@lru_cache(maxsize=4096)
def read(text: str) -> Reading:
    text = text[:_LONGEST_READ]
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).replace("\u2019", "'")
    low = text.lower()
    if "'" in low or "cannot" in low:
        low = _SHORTENED.sub(lambda found: _AT_LENGTH[found.group()], low)
    flat = f" {' '.join(_WORD.findall(low))} "
    low = plainly(low)
    found: list[str] = _WORD.findall(low)
    words = [NUMBER_WORDS.get(word, word) for word in found]
    numbers = tuple(sorted(filter(_DIGIT.search, words)))
    sequence = tuple(meaning(w) for w in words if w not in SAYING_LITTLE and not _DIGIT.search(w))
    asked = [QUESTIONS[w] for w in words if w in QUESTIONS]
    chain = tuple(
        w if w in CONNECTING else meaning(w)
        for w in words
        if w in CONNECTING or w not in SAYING_LITTLE
    )
    whence = {there for word, there in pairwise(chain) if word == "from"}
    whither = {there for word, there in pairwise(chain) if word in TOWARDS}
    return Reading(
        words=Counter(map(meaning, words)),
        content=frozenset(sequence),
        sequence=sequence,
        code=tuple(sorted(_CODE.findall(text))),
        quotes=tuple(sorted(_unquoted(found) for found in _QUOTED.findall(text))),
        numbers=numbers,
        names=_names(text),
        negated=any(w in NEGATIONS for w in words),
        question="whether" if words and words[0] in WHETHER else asked[0] if asked else "",
        second_person=any(w in SECOND_PERSON for w in words),
        he_or_she=tuple(dict.fromkeys(HE_OR_SHE[w] for w in words if w in HE_OR_SHE)),
        i_or_me="" if ("i" in words) == ("me" in words) else "i" if "i" in words else "me",
        # "I was wondering ..." asks of nothing past.
        past=words[:1] != ["i"] and any(w in PAST for w in words[:_HEAD]),
        letters=tuple(
            sorted(w for w in words if len(w) == 1 and w.isalpha() and w not in "aisdtm")
        ),
        polar=tuple(w for w in words if w in POLAR),
        chain=chain,
        whence=frozenset(whence - whither),
        whither=frozenset(whither - whence),
        flat=flat,
    )


def _unquoted(found: tuple[str, ...]) -> str:
    return " ".join("".join(found).lower().split()).rstrip(".,?!")


def _names(text: str) -> "Counter[str]":
    """Words with a capital, but for one at a sentence's beginning that is not all capitals."""
    found: Counter[str] = Counter()
    starts = True
    for match in _SENTENCE.finditer(text):
        word = match.group()
        if word in ".?!:\n":
            starts = True
            continue
        capital = word[0].isupper() and (not starts or any(c.isupper() for c in word[1:]))
        low = word.lower()
        if capital and low not in FUNCTION_WORDS and low not in QUESTIONS:
            found[meaning(low)] += 1
        starts = False
    return found
