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
from typing import Literal

from msgspec import Struct

Veto = Literal[
    "code",  # what stands in back quotes, URLs, paths, operators
    "quotes",  # what stands in quotation marks
    "numbers",  # any word with a digit in it: dates, versions, sizes
    "names",  # capitalised words and acronyms
    "negation",  # one of them says no
    "question",  # who, where, why: another question word
    "person",  # "you" in one of them only: an opinion asked for
    "letters",  # single letters: type A, type B
    "order",  # best and worst, less and more, from and to: in another order
    "opposites",  # increase, decrease
    "script",  # words of another script than the Latin one
    "added",  # one of them says more: a narrower question
]
Grade = Literal["same", "short", "swapped", "reworded"]

MARGINS: dict[Grade, float] = {
    "same": 0.0,  # the same words of content, in whatever form and order
    "short": 0.05,  # likewise, but fewer than three: little to go by
    "swapped": 0.03,  # one word for another
    "reworded": 0.02,  # several on both sides
}
LOOSE_QUESTION = 0.02
"""More, where one of the two has no question word at all."""
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
    if a.quotes != b.quotes:
        return "quotes"
    if a.numbers != b.numbers:
        return "numbers"
    if a.names != b.names and ((a.names - b.words) or (b.names - a.words)):
        return "names"
    if a.negated != b.negated:
        return "negation"
    if a.question and b.question and a.question != b.question:
        return "question"
    if a.second_person != b.second_person:
        return "person"
    if a.letters != b.letters:
        return "letters"
    if Counter(a.polar) == Counter(b.polar) and a.polar != b.polar:
        return "order"
    if len(a.directions) > 1 and a.directions == b.directions and a.sequence != b.sequence:
        return "order"
    only_a, only_b = a.content - b.content, b.content - a.content
    if any(OPPOSITES.get(word, NONE) & only_b for word in only_a):
        return "opposites"
    if not all(word.isascii() for word in only_a | only_b):
        return "script"
    return None


class Reading(Struct, frozen=True):
    """What the guard sees in a text."""

    words: "Counter[str]"
    """Stems, with how often."""
    content: frozenset[str]
    """Stems of what carries meaning."""
    sequence: tuple[str, ...]
    """The same, in order."""
    code: tuple[str, ...]
    quotes: tuple[str, ...]
    numbers: tuple[str, ...]
    names: "Counter[str]"
    negated: bool
    question: str
    second_person: bool
    letters: tuple[str, ...]
    polar: tuple[str, ...]
    directions: tuple[str, ...]


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


QUESTIONS = {w: w for w in ("what", "how", "why", "who", "where", "when")} | {
    "which": "what", "whom": "who", "whose": "who",
}  # fmt: skip
NEGATIONS = _set("no not never none nobody nothing neither nor without cannot non hardly")
FUNCTION_WORDS = _set(
    "a an the this that these those some any of in on at by for with to from as into about over is are "
    "was were be been being am do does did done doing have has had having will would shall should can "
    "could may might must i you we he she they it me my mine your yours our ours his him her hers their "
    "its us them myself yourself one ones people person someone anyone everyone and or but if so than "
    "then there here also just very really actually please get gets getting got way ways thing things "
    "like kind sort all exactly currently ever still per while go going each every much many lot lots "
    "only even maybe again too such way"
)
SECOND_PERSON = _set("you your yours yourself")
POLAR = _set("best worst better worse more less most least good bad high low first last big small")
DIRECTIONS = _set("from to before after than into between")
NONE: frozenset[str] = frozenset()

_PAIRS = (
    "increase/decrease increase/reduce raise/lower gain/lose buy/sell male/female man/woman men/women "
    "boy/girl husband/wife start/stop begin/end enable/disable open/close hot/cold old/new "
    "before/after first/last win/lose love/hate pro/con import/export left/right up/down allow/forbid "
    "add/remove install/uninstall black/white legal/illegal possible/impossible borrow/lend teach/learn "
    "ascend/descend maximum/minimum max/min encode/decode encrypt/decrypt compress/decompress push/pull "
    "read/write upload/download north/south east/west mother/father son/daughter permanent/temporary "
    "debit/credit input/output internal/external public/private accept/reject attach/detach "
    "connect/disconnect lock/unlock load/unload employer/employee trainer/trainee positive/negative "
    "true/false early/late long/short cheap/expensive safe/dangerous male/women men/female"
)

_WORD = re.compile(r"[^\W_]+(?:[.,:]\d+)*[+#]*")
_SENTENCE = re.compile(r"[^\W_]+[+#]*|[.?!:\n]")
_CODE = re.compile(
    r"```.*?```|`[^`]+`|https?://\S+|(?<!\w)(?:[./~]?/[\w.-]+)+|[<>=!&|^%*$]=?|->|::", re.DOTALL
)
_QUOTED = re.compile(r"\"+([^\"]+)\"+|“([^”]+)”|«([^»]+)»|(?<!\w)'([^']+)'(?!\w)")
_SHORTENED = (
    ("can't", "can not"), ("cannot", "can not"), ("won't", "will not"), ("n't", " not"), ("'re", " are"),
    ("'m", " am"), ("'ll", " will"), ("'ve", " have"), ("'d", " would"), ("'s", " "),
)  # fmt: skip
_LONGEST_READ = 4000


@lru_cache(maxsize=4096)
def read(text: str) -> Reading:
    text = unicodedata.normalize("NFKC", text[:_LONGEST_READ]).replace("\u2019", "'")
    low = text.lower()
    for short, long in _SHORTENED:
        low = low.replace(short, long)
    words = _WORD.findall(low)
    numbers = tuple(sorted(w for w in words if any(c.isdigit() for c in w)))
    sequence = tuple(
        stem(w)
        for w in words
        if w not in FUNCTION_WORDS
        and w not in QUESTIONS
        and w not in NEGATIONS
        and not any(c.isdigit() for c in w)
    )
    asked = [QUESTIONS[w] for w in words if w in QUESTIONS]
    return Reading(
        words=Counter(map(stem, words)),
        content=frozenset(sequence),
        sequence=sequence,
        code=tuple(sorted(_CODE.findall(text))),
        quotes=tuple(sorted(_unquoted(found) for found in _QUOTED.findall(text))),
        numbers=numbers,
        names=_names(text),
        negated=any(w in NEGATIONS for w in words),
        question=asked[0] if asked else "",
        second_person=any(w in SECOND_PERSON for w in words),
        letters=tuple(
            sorted(w for w in words if len(w) == 1 and w.isalpha() and w not in "aisdtm")
        ),
        polar=tuple(w for w in words if w in POLAR),
        directions=tuple(w for w in words if w in DIRECTIONS),
    )


def _unquoted(found: tuple[str, ...]) -> str:
    return " ".join("".join(found).lower().split()).rstrip(".,?!")


def _names(text: str) -> "Counter[str]":
    """Stems of words with a capital, but for one at a sentence's beginning that is not all capitals."""
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
            found[stem(low)] += 1
        starts = False
    return found


def stem(word: str) -> str:
    """Without its inflection: plurals, -ing, -ed. Derivations (anonymous, anonymously) stay apart."""
    if len(word) <= 3 or not word.isascii():
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "ches", "shes", "xes", "zes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        rest = word.removesuffix(ending)
        if rest != word and len(rest) >= 3 and any(c in "aeiouy" for c in rest):
            word = rest
            if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz":
                word = word[:-1]
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


def _opposites() -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for pair in _PAIRS.split():
        one, other = map(stem, pair.split("/"))
        found[one] = found.get(one, NONE) | {other}
        found[other] = found.get(other, NONE) | {one}
    return found


OPPOSITES = _opposites()
