"""Pairs of questions out of audited calls, for want of labelled ones.

Of the calls kept in full, the last turns that the semantic cache would compare (the same tenant, model,
system prompt, earlier turns, settings) are paired with their nearest. Whether two of them want the same
answer nobody has said; a verifier is asked, or their answers are compared. Either is a judge that errs.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
import numpy as np
from msgspec import Raw, Struct

from ai_gateway.caching.forms import Form
from ai_gateway.caching.question import meaning_of
from ai_gateway.dialects.dialect import BadAnswer
from ai_gateway.dialects.registry import DIALECTS
from ai_gateway.model.content import Text
from ai_gateway.model.errors import GatewayError

from .index import Vector

NEIGHBOURS = 4
"""Of each question, how many of its nearest are looked at."""
LONGEST_ANSWER = 2000
"""Characters of an answer that are compared."""


class _Record(Struct):
    """Of an AuditRecord, what it takes."""

    tenant: str
    operation: str
    dialect: str
    status: int | None = None
    requested_model: str = ""
    request: str | None = None
    response: str | None = None
    cut: str | None = None


class _Line(Struct):
    """One of the audit's own files holds records within links of their chain."""

    record: Raw


class Question(Struct, frozen=True):
    group: tuple[str, bytes]
    """Tenant and fingerprint."""
    text: str
    answer: str


class Near(Struct, frozen=True):
    one: Question
    other: Question
    similarity: float


class Questions(Struct):
    found: list[Question]
    records: int
    """How many there were in all."""


_record = msgspec.json.Decoder(_Record).decode
_line = msgspec.json.Decoder(_Line).decode


def read_questions(lines: Iterable[str]) -> Questions:
    """Each question once. Raises ValueError naming a line that is no record."""
    found: dict[tuple[tuple[str, bytes], str], Question] = {}
    records = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = _record(_line(line).record if line.startswith('{"chain"') else line)
        except msgspec.DecodeError as error:
            raise ValueError(f"line {number}: {error}") from None
        records += 1
        question = _question(record)
        if question is not None:
            found.setdefault((question.group, question.text), question)
    return Questions(list(found.values()), records)


def _question(record: _Record) -> Question | None:
    dialect = DIALECTS.get(record.dialect)
    if record.operation != "chat" or record.status != 200 or dialect is None:
        return None
    if record.request is None or record.response is None or record.cut is not None:
        return None
    try:
        chat = dialect.parse_request(record.request.encode())
        answer = dialect.parse_answer(record.response.encode())
    except (GatewayError, BadAnswer):
        return None
    form = Form("chat", record.dialect)
    meaning = meaning_of(chat, form, record.requested_model, ())
    if meaning is None:
        return None
    told = "".join(part.text for part in answer.parts if isinstance(part, Text))
    if not told.strip():
        return None
    return Question((record.tenant, meaning.fingerprint), meaning.text, told[:LONGEST_ANSWER])


def nearest(
    questions: Sequence[Question], vectors: Mapping[str, Vector], least: float, most: int
) -> list[Near]:
    """Of every group the pairs at least so similar, the nearest first; `most` in all."""
    groups: defaultdict[tuple[str, bytes], list[Question]] = defaultdict(list)
    for question in questions:
        groups[question.group].append(question)
    pairs: list[Near] = []
    for members in groups.values():
        rows = np.stack([vectors[member.text] for member in members])
        seen: set[tuple[int, int]] = set()
        for at, row in enumerate(rows):
            similar = rows @ row
            similar[at] = -1.0
            for other in np.argsort(-similar)[:NEIGHBOURS]:
                to = int(other)
                pair = (min(at, to), max(at, to))
                if similar[to] < least or pair in seen:
                    continue
                seen.add(pair)
                pairs.append(Near(members[pair[0]], members[pair[1]], float(similar[to])))
    return sorted(pairs, key=lambda pair: -pair.similarity)[:most]


def alike(vectors: Mapping[str, Vector], least: float) -> Callable[[Near], bool]:
    """A judge for want of a verifier: the answers lie at least so close. Two samples of one model's
    answer to the same question do; so do answers that differ in a number, which is where it errs."""

    def judged(pair: Near) -> bool:
        return float(vectors[pair.one.answer] @ vectors[pair.other.answer]) >= least

    return judged
