"""A stored answer: the bytes that were sent to whoever asked first, and their account."""

import zlib
from decimal import Decimal
from re import compile as pattern

import msgspec
from msgspec import Struct

from ai_gateway.dialects.dialect import BadAnswer
from ai_gateway.model.answer import Answer, StopReason
from ai_gateway.model.call import Outcome
from ai_gateway.model.content import Refusal
from ai_gateway.model.usage import Usage

from .forms import Form, answer_of

COMPRESSED_FROM = 4096
"""Bytes from which a shared entry is compressed: below, it gains less than it costs."""

GOOD_STOPS: frozenset[StopReason | None] = frozenset({"stop", "stop_sequence", "tool_calls"})

_refusal = pattern(rb'"refusal"\s*:\s*(?!null|"refusal")')
"""A refusal with words in it. Inside a text its quotes would be escaped, so only a member matches."""


class Entry(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    form: Form
    body: bytes
    provider: str
    model: str
    answered_model: str | None
    usage: Usage
    stop: StopReason | None
    cost: Decimal | None
    """What it cost, and so what a hit saves; None where no price is known."""
    notes: tuple[str, ...]
    stored: float
    """Unix seconds."""
    tenant: str
    requested_model: str

    def age(self, now: float) -> float:
        """Never negative, however clocks differ."""
        return max(0.0, now - self.stored)


def is_good(outcome: Outcome, form: Form, body: bytes, *, truncated: bool = False) -> bool:
    """Whether an answer, sent whole and well, is fit to be given again: complete, and no refusal.
    With `truncated`, one that ended at the output limit is too."""
    if outcome.error is not None or outcome.status != 200 or outcome.target is None:
        return False
    if form.operation != "chat":
        return True
    if outcome.stop not in GOOD_STOPS and not (truncated and outcome.stop == "length"):
        return False
    at = body.find(b'"refusal"')
    if at < 0 or _refusal.search(body, at) is None:
        return True
    try:
        answer: Answer = answer_of(form, body)
    except BadAnswer:
        return False
    return not any(isinstance(part, Refusal) and part.text for part in answer.parts)


def entry_of(outcome: Outcome, form: Form, body: bytes, now: float) -> Entry:
    """`outcome` has a target: it was answered."""
    assert outcome.target is not None
    assert outcome.caller is not None
    return Entry(
        form=form,
        body=body,
        provider=outcome.target.provider,
        model=outcome.target.model,
        answered_model=outcome.answered_model,
        usage=outcome.usage,
        stop=outcome.stop,
        cost=outcome.cost,
        notes=outcome.notes,
        stored=now,
        tenant=outcome.caller.tenant,
        requested_model=outcome.requested_model,
    )


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode
_PLAIN, _DEFLATED = b"1", b"2"
"""The first byte: the version of the layout and whether it is compressed."""


def to_bytes(entry: Entry) -> bytes:
    data = _encode(entry)
    if len(data) < COMPRESSED_FROM:
        return _PLAIN + data
    return _DEFLATED + zlib.compress(data, 1)


def from_bytes(data: bytes) -> Entry | None:
    """None for what this version cannot read: another version's, or damaged."""
    try:
        match data[:1]:
            case b"1":
                return _decode(memoryview(data)[1:])
            case b"2":
                return _decode(zlib.decompress(memoryview(data)[1:]))
            case _:
                return None
    except (msgspec.DecodeError, zlib.error, UnicodeDecodeError):
        return None
