"""The question of a call that is nothing but text, read in a tenth of the time that a whole call takes.

Most calls are: a model, turns of text, a few numbers. What this reads gives exactly the content that
`question.py` works out from the call in no dialect; anything beyond it is left to that.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec import Raw, Struct
from msgspec.json import Decoder


class _ChatMessage(Struct, forbid_unknown_fields=True):
    role: Literal["system", "developer", "user", "assistant"]
    content: str


class _Turn(Struct, forbid_unknown_fields=True):
    role: Literal["user", "assistant"]
    content: str


class _Dialect(Struct, frozen=True):
    messages: "Decoder[list[_ChatMessage]] | Decoder[list[_Turn]]"
    numbers: Mapping[str, tuple[str, "Decoder[float] | Decoder[int]"]]
    """By their names in the dialect: the name that counts, and how they are read."""
    system: bool
    """The system prompt stands beside the messages."""


_float, _int, _text = Decoder(float), Decoder(int), Decoder(str)
_DIALECTS = {
    "openai_chat": _Dialect(
        Decoder(list[_ChatMessage]),
        {
            "temperature": ("temperature", _float),
            "top_p": ("top_p", _float),
            "max_tokens": ("max_tokens", _int),
            "max_completion_tokens": ("max_tokens", _int),
            "seed": ("seed", _int),
        },
        system=False,
    ),
    "anthropic_messages": _Dialect(
        Decoder(list[_Turn]),
        {
            "temperature": ("temperature", _float),
            "top_p": ("top_p", _float),
            "top_k": ("top_k", _int),
            "max_tokens": ("max_tokens", _int),
        },
        system=True,
    ),
}
_LONGEST_BODY = 256 * 1024
"""Beyond it, looking the body through costs more than it saves."""


def plain_content(
    dialect: str, fields: Mapping[str, Raw], body: bytes, untold: frozenset[str]
) -> tuple[list[list[str]], dict[str, float]] | None:
    """(turns, what was set); None where the call is more than text, or could be read in two ways.

    `fields`: the body's members at the top, none of them twice.
    """
    known = _DIALECTS.get(dialect)
    # In a body without \\u a name can be written in one way only, so that counting them finds any
    # member given twice.
    if known is None or b"\\u" in body or len(body) > _LONGEST_BODY:
        return None
    numbers = known.numbers
    set_: dict[str, float] = {}
    system = ""
    messages: list[_ChatMessage] | list[_Turn] = []
    try:
        for name, raw in fields.items():
            if name == "messages":
                messages = known.messages.decode(raw)
            elif name == "model" or name in untold:
                pass
            elif name in numbers:
                counts_as, decoder = numbers[name]
                value = decoder.decode(raw)
                if counts_as in set_ or (counts_as == "max_tokens" and value < 1):
                    return None
                set_[counts_as] = value
            elif name == "system" and known.system:
                system = _text.decode(raw)
            else:
                return None
    except msgspec.DecodeError:
        return None
    told = bytes(fields["messages"])
    if told.count(b'"role"') != len(messages) or told.count(b'"content"') != len(messages):
        return None
    turns: list[list[str]] = [["system", system]] if system else []
    role = "system" if system else ""
    for message in messages:
        of = "system" if message.role == "developer" else message.role
        if of != role:
            role = of
            turns.append([of])
        turns[-1].append(message.content)
    return turns, set_
