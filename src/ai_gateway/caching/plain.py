"""The question of a call that is nothing but text, read in a tenth of the time that a whole call takes.

Most calls are: a model, turns of text, a few numbers. What this reads gives exactly the content that
`question.py` works out from the call in no dialect; anything beyond it is left to that.
"""

from typing import Annotated, Literal

from msgspec import UNSET, DecodeError, Meta, Raw, Struct, UnsetType
from msgspec.json import Decoder

from ai_gateway.dialects.raw import ABSENT


class Untold(Struct, kw_only=True):
    """Top-level fields of any dialect that do not change the answer."""

    stream: Raw = ABSENT
    stream_options: Raw = ABSENT
    user: Raw = ABSENT
    metadata: Raw = ABSENT
    safety_identifier: Raw = ABSENT
    prompt_cache_key: Raw = ABSENT
    prompt_cache_retention: Raw = ABSENT
    cache_control: Raw = ABSENT


class Numbers(Struct, frozen=True):
    """What was set, by the names that count. What is left out is not told at all."""

    temperature: float | UnsetType = UNSET
    top_p: float | UnsetType = UNSET
    top_k: int | UnsetType = UNSET
    max_tokens: int | UnsetType = UNSET
    seed: int | UnsetType = UNSET


class _Turn(Struct, forbid_unknown_fields=True):
    role: Literal["user", "assistant"]
    content: str


class _ChatTurn(Struct, forbid_unknown_fields=True):
    role: Literal["system", "developer", "user", "assistant"]
    content: str


_Limit = Annotated[int, Meta(ge=1)] | UnsetType


class _Messages(Untold, forbid_unknown_fields=True):
    model: Raw
    messages: list[_Turn]
    system: str = ""
    temperature: float | UnsetType = UNSET
    top_p: float | UnsetType = UNSET
    top_k: int | UnsetType = UNSET
    max_tokens: _Limit = UNSET

    def numbers(self) -> Numbers | None:
        return Numbers(self.temperature, self.top_p, self.top_k, self.max_tokens)


class _Chat(Untold, forbid_unknown_fields=True):
    model: Raw
    messages: list[_ChatTurn]
    temperature: float | UnsetType = UNSET
    top_p: float | UnsetType = UNSET
    max_tokens: _Limit = UNSET
    max_completion_tokens: _Limit = UNSET
    seed: int | UnsetType = UNSET

    @property
    def system(self) -> str:
        """It is among the messages."""
        return ""

    def numbers(self) -> Numbers | None:
        """None where two limits are set."""
        most = self.max_tokens
        if most is UNSET:
            most = self.max_completion_tokens
        elif self.max_completion_tokens is not UNSET:
            return None
        return Numbers(self.temperature, self.top_p, UNSET, most, self.seed)


_DECODERS: "dict[str, Decoder[_Chat] | Decoder[_Messages]]" = {
    "openai_chat": Decoder(_Chat),
    "anthropic_messages": Decoder(_Messages),
}
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
"""What is one role under two names."""
_LONGEST_BODY = 256 * 1024
"""Beyond it, looking the body through costs more than it saves."""


def plain_content(dialect: str, body: bytes) -> tuple[list[list[str]], Numbers] | None:
    """(turns, what was set); None where the call is more than text, or could be read in two ways.

    `body`: without a member at the top that is given twice.
    """
    decoder = _DECODERS.get(dialect)
    # In a body without \\u a name can be written in one way only, so that counting them finds any
    # member given twice.
    if decoder is None or len(body) > _LONGEST_BODY or (b"\\" in body and b"\\u" in body):
        return None
    try:
        call = decoder.decode(body)
    except DecodeError:
        return None
    messages = call.messages
    count = len(messages)
    if body.count(b'"role"') != count or body.count(b'"content"') != count:
        return None
    numbers = call.numbers()
    if numbers is None:
        return None
    system = call.system
    turns: list[list[str]] = [["system", system]] if system else []
    role = "system" if system else ""
    for message in messages:
        of = _ROLES[message.role]
        if of == role:
            turns[-1].append(message.content)
        else:
            role = of
            turns.append([of, message.content])
    return turns, numbers
