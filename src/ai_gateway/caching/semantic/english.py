"""What the guard knows of English: which words say little, which say the same, which the opposite.

Lists of common words, none of them of a particular field but that of those who write programs.
"""

import re
from functools import lru_cache

NONE: frozenset[str] = frozenset()


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


QUESTIONS = {w: w for w in ("what", "how", "why", "who", "where", "when")} | {
    "which": "what", "whom": "who", "whose": "who",
}  # fmt: skip
WHETHER = _set(
    "is are was were am do does did can could should shall will would has have had may might must"
)
"""A text that begins with one of these asks for a yes or a no."""
NEGATIONS = _set("no not never none nobody nothing neither nor without cannot non hardly")
FUNCTION_WORDS = _set(
    "a an the this that these those some any of in on at by for with to from as into about over is are "
    "was were be been being am do does did done doing have has had having will would shall should can "
    "could may might must i you we he she they it me my mine your yours our ours his him her hers their "
    "its us them myself yourself one ones people person someone anyone everyone somebody anybody and or "
    "but if so than then there here also just very really actually please get gets getting got way ways "
    "thing things like kind sort all exactly currently ever still per while go going each every much "
    "many lot lots alot only even maybe again too such own now nowadays etc "
    "hi hello hey thanks thank wondering"
)
SECOND_PERSON = _set("you your yours yourself")
HE_OR_SHE = {"he": "he", "him": "he", "his": "he", "himself": "he"} | dict.fromkeys(
    ("she", "her", "hers", "herself"), "she"
)
PAST = _set("did was were had")
POLAR = _set("best worst better worse more less most least good bad high low first last big small")
DIRECTIONS = _set("from to before after than into")
TOWARDS = _set("to into")
CONNECTING = DIRECTIONS | _set("of in on at by for with as about over and or between versus vs")
BOTH_WAYS = _set("and or versus vs")
"""What they connect may as well stand the other way round."""
SAYING_LITTLE = FUNCTION_WORDS | NEGATIONS | frozenset(QUESTIONS)
NUMBER_WORDS = {
    "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8",
    "nine": "9", "ten": "10", "eleven": "11", "twelve": "12", "hundred": "100", "thousand": "1000",
}  # fmt: skip

_SAID_OTHERWISE = tuple(
    (sign, re.compile(rf"\b{pattern}\b"), plain)
    for sign, pattern, plain in (
        # "Can you explain ...", "do you know ..."
        (" you", r"(?:can|could|would|will) you(?: please)? (?:explain|tell me|describe|show me)(?: to me)?", ""),
        ("one", r"(?:can|could) (?:someone|anyone)(?: please)? (?:explain|tell me|describe)(?: to me)?", ""),
        (" know", r"do (?:you|anyone)(?: happen to)? know", ""),
        (" know", r"i (?:want|would like|'d like|need) to know", ""),
        ("tell me", r"tell me", ""),
        # "What is the best way to ...", "is there a way to ...", "what can I do to ..."
        (" way", r"(?:what|which) (?:is|are|was|were|would be)(?: (?:the|some|a|any))?"
         r"(?: (?:best|good|better|possible|different|effective|most effective))? ways? (?:to|of|for)", "how to"),
        (" way", r"(?:is|are) there (?:a|any|some)(?: good)? ways? (?:to|of|for|that)", "how to"),
        (" way", r"in (?:what|which) ways?", "how"),
        (" do to", r"what (?:can|should|could|must|do) (?:i|we|you|one)(?: have to| need to)? do to", "how to"),
        (" do in order", r"what (?:can|should|could|must) (?:i|we|you|one) do in order to", "how to"),
        # "You" that is anyone.
        (" you", r"(how|where)( much| many| long| often)? (?:do|can|should|could|would) you "
         r"(?!think|feel|like|prefer|believe|want|love|recommend|suggest|have|see|view|rate|describe|define)",
         r"\1\2 to "),
        ("these days", r"these days", "now"),
    )
)  # fmt: skip


def plainly(low: str) -> str:
    """A lower-case text with some turns of phrase put in the same words."""
    for sign, pattern, plain in _SAID_OTHERWISE:
        if sign in low:
            low = pattern.sub(plain, low)
    return low


@lru_cache(maxsize=8192)
def meaning(word: str) -> str:
    """The stem, or that of the commonest word for the same."""
    word = stem(word)
    return _SAME_AS.get(word, word)


def stem(word: str) -> str:
    """Without its inflection: plurals, -ing, -ed. Derivations (anonymous, anonymously) stay apart."""
    if len(word) <= 3 or not word.isascii():
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "ches", "shes", "xes", "zes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        rest = word.removesuffix(ending)
        if rest != word and len(rest) >= 3 and any(c in "aeiouy" for c in rest):
            word = rest
            if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz":
                word = word[:-1]
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


_ALIKE = """
good best great top
picture pic photo photograph image
movie film
favourite favorite fav
colour color
behaviour behavior
centre center
theatre theater
licence license
grey gray
tyre tire
mum mom mother
dad father
organise organize
optimise optimize
analyse analyze
realise realize
begin start commence
buy purchase
quick fast quickly rapidly rapid
improve enhance
increase boost raise
decrease reduce lower lessen
fix repair
big large huge
kid child children
phone mobile cellphone smartphone
website site
difference differ
happen occur
chance odds probability likelihood
versus vs
delete erase
learn study
symptom sign
cost price
country nation
company firm
house home
car automobile
doctor physician
explain describe
use utilize utilise
choose select pick
try attempt
help assist
need require
allow permit
speak talk
cheap inexpensive affordable
smart intelligent clever
rich wealthy
whole entire
easy simple
difficult hard tough
quit stop
avoid prevent
treat cure remedy treatment
benefit advantage pro
drawback disadvantage con downside
email mail e-mail
tv television
ad advert advertisement
info information
app application
math maths mathematics
exam examination
job employment
salary wage
strange weird
javascript js
kubernetes k8s
database db
config configuration
repo repository
directory folder
parameter param
documentation docs doc
function func
environment env
performance perf
uk britain
usa america
approx approximately
max maximum
min minimum
"""


def _alike() -> dict[str, str]:
    found: dict[str, str] = {}
    for line in _ALIKE.split("\n"):
        if words := [stem(word) for word in line.split()]:
            found |= dict.fromkeys(words, words[0])
    return found


_SAME_AS = _alike()


_OPPOSED = (
    "increase/decrease increase/reduce raise/lower gain/lose buy/sell male/female man/woman men/women "
    "boy/girl husband/wife start/stop begin/end enable/disable open/close hot/cold old/new "
    "before/after first/last win/lose love/hate pro/con import/export left/right up/down allow/forbid "
    "add/remove install/uninstall black/white legal/illegal possible/impossible borrow/lend teach/learn "
    "ascend/descend maximum/minimum max/min encode/decode encrypt/decrypt compress/decompress push/pull "
    "read/write upload/download north/south east/west mother/father son/daughter permanent/temporary "
    "debit/credit input/output internal/external public/private accept/reject attach/detach "
    "connect/disconnect lock/unlock load/unload employer/employee trainer/trainee positive/negative "
    "true/false early/late long/short cheap/expensive safe/dangerous male/women men/female "
    "mom/dad boyfriend/girlfriend brother/sister employee/contractor good/bad best/worst easy/difficult "
    "rich/poor fast/slow strong/weak improve/worsen cause/prevent cause/cure benefit/drawback "
    "advantage/disadvantage cost/benefit client/server sender/receiver request/response minor/major "
    "day/night morning/evening winter/summer young/old alive/dead front/back same/different "
    "synchronous/asynchronous ascending/descending horizontal/vertical day/week week/month month/year "
    "hour/minute minute/second hour/day"
)


def _opposites() -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for pair in _OPPOSED.split():
        one, other = map(meaning, pair.split("/"))
        found[one] = found.get(one, NONE) | {other}
        found[other] = found.get(other, NONE) | {one}
    return found


OPPOSITES = _opposites()
