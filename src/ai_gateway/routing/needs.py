"""What a call needs of a model, and why a candidate will not do."""

from collections.abc import Sequence
from hashlib import blake2b

from msgspec import Struct
from msgspec.json import encode

from ai_gateway.catalogue.models import ModelFacts, Price
from ai_gateway.dialects.exchange import ChatExchange, Exchange
from ai_gateway.dialects.token_estimate import estimate_tokens
from ai_gateway.model.chat import Chat
from ai_gateway.model.content import Document, Image, Part, ToolResult
from ai_gateway.model.errors import GatewayError

from .strategies import Candidate

_FEWEST_BYTES_PER_TOKEN = 2
_MARKS = {
    "tools": (b'"tools"', b'"functions"'),
    "vision": (b"image", b"Image", b"document", b"file", b"inline"),
    "reasoning": (b"reason", b"think"),
    "structured_output": (b"schema", b"Schema"),
}
"""Without any of them no dialect asks for the ability; a look too many does no harm."""


class Needs(Struct, frozen=True, kw_only=True):
    tools: bool = False
    vision: bool = False
    reasoning: bool = False
    structured_output: bool = False
    input_tokens: int = 0
    """Estimated."""


NOTHING = Needs()


def needs_of(chat: Chat) -> Needs:
    return Needs(
        tools=bool(chat.tools),
        vision=any(_seen(part) for message in chat.messages for part in message.parts),
        reasoning=chat.reasoning is not None
        and chat.reasoning.mode != "disabled"
        and chat.reasoning.effort not in ("none", "minimal"),
        structured_output=chat.response_format is not None
        and chat.response_format.kind == "json_schema",
        input_tokens=estimate_tokens(chat),
    )


def _seen(part: Part) -> bool:
    match part:
        case Image() | Document(text=None):
            return True
        case ToolResult():
            return any(isinstance(inner, Image) for inner in part.parts)
        case _:
            return False


def shortcomings(facts: ModelFacts, needs: Needs) -> str | None:
    """What the model cannot do that the call needs; None where nothing speaks against it. Of what is
    not known nothing is assumed."""
    for ability in _MARKS:
        if getattr(needs, ability) and getattr(facts, ability) is False:
            return f"the model offers no {ability.replace('_', ' ')}"
    if facts.context_tokens is not None and needs.input_tokens > facts.context_tokens:
        return (
            f"the call's about {needs.input_tokens} tokens do not fit its context of "
            f"{facts.context_tokens}"
        )
    return None


class Limits(Struct, frozen=True, kw_only=True):
    """What of a call must be known before its candidates can be told apart."""

    marks: tuple[bytes, ...]
    """What a call's body holds that asks for an ability which one of them is known to lack."""
    least_context: int | None


def limits_of(candidates: Sequence[Candidate]) -> Limits:
    facts = [c.destination.facts for c in candidates]
    contexts = [f.context_tokens for f in facts if f.context_tokens is not None]
    return Limits(
        marks=tuple(
            mark
            for ability, marks in _MARKS.items()
            if any(getattr(f, ability) is False for f in facts)
            for mark in marks
        ),
        least_context=min(contexts, default=None),
    )


def dearest_of(candidates: Sequence[Candidate]) -> tuple[ModelFacts, ...]:
    """Without those that another one outdoes in both prices and in length."""
    found: list[ModelFacts] = []
    for facts in dict.fromkeys(c.destination.facts for c in candidates):
        if not any(_outdoes(other, facts) for other in found):
            found = [other for other in found if not _outdoes(facts, other)]
            found.append(facts)
    return tuple(found)


def _outdoes(one: ModelFacts, other: ModelFacts) -> bool:
    """Whether no call can cost more, or be longer, with the other one."""
    if other.max_output_tokens is not None and (
        one.max_output_tokens is None or one.max_output_tokens < other.max_output_tokens
    ):
        return False
    if other.prices is None:
        return True
    if one.prices is None:
        return False
    pairs = ((one.prices.input, other.prices.input), (one.prices.output, other.prices.output))
    return all(_at_least(mine, theirs) for mine, theirs in pairs)


def _at_least(mine: Price | None, theirs: Price | None) -> bool:
    if theirs is None:
        return True
    return mine is not None and not theirs.tiers and mine.base >= theirs.base


def needs_for(exchange: Exchange, body: bytes, limits: Limits) -> Needs:
    """Reads the call as far as its candidates differ in what they can do; mostly that is not at all."""
    least = limits.least_context
    if least is None or len(body) <= least * _FEWEST_BYTES_PER_TOKEN:
        for mark in limits.marks:
            if mark in body:
                break
        else:
            return NOTHING
    if not isinstance(exchange, ChatExchange):
        return NOTHING
    try:
        return needs_of(exchange.chat)
    except GatewayError:
        # What only its own dialect can say is relayed, or refused where it must be translated.
        return NOTHING


def conversation_key(chat: Chat) -> str:
    """What stays the same while a conversation grows: all up to its first message by the user."""
    digest = blake2b(digest_size=16)
    for message in chat.messages:
        digest.update(encode(message.parts))
        if message.role == "user":
            break
    return digest.hexdigest()
