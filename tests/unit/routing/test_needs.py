"""What a call needs, and which models will do."""

import json

import pytest

from ai_gateway.catalogue.models import ModelFacts
from ai_gateway.dialects.exchange import open_exchange
from ai_gateway.routing.needs import NOTHING, conversation_key, limits_of, needs_for, shortcomings

from .candidates import candidate

BLIND = ModelFacts(provider="p", name="m", vision=False, tools=False, reasoning=False)
SMALL = ModelFacts(provider="p", name="m", context_tokens=1000)
USER = {"role": "user", "content": "hello"}
IMAGE = {
    "role": "user",
    "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}],
}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def shortcoming(facts: ModelFacts, **body: object) -> str | None:
    given = json.dumps({"model": "m", "messages": [USER], **body}).encode()
    exchange = open_exchange("chat", "openai_chat", given, now=0)
    needs = needs_for(exchange, given, limits_of([candidate("a", facts=facts)]))
    return shortcomings(facts, needs)


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"messages": [IMAGE]}, "vision"),
        ({"tools": [TOOL]}, "tools"),
        ({"reasoning_effort": "high"}, "reasoning"),
        ({}, None),
        ({"reasoning_effort": "none"}, None),
    ],
)
def test_a_model_known_to_lack_an_ability_is_left_out(
    body: dict[str, object], word: str | None
) -> None:
    found = shortcoming(BLIND, **body)
    assert found is None if word is None else word in str(found)
    assert shortcoming(ModelFacts(provider="p", name="m"), **body) is None


def test_a_call_is_read_only_where_an_ability_it_may_ask_for_is_lacking() -> None:
    given = json.dumps({"model": "m", "messages": [USER], "tools": [TOOL]}).encode()
    exchange = open_exchange("chat", "openai_chat", given, now=0)
    thoughtless = ModelFacts(provider="p", name="m", reasoning=False)
    assert needs_for(exchange, given, limits_of([candidate("a", facts=thoughtless)])) is NOTHING
    assert needs_for(exchange, given, limits_of([candidate("a", facts=BLIND)])).tools


def test_a_call_must_fit_the_context() -> None:
    assert shortcoming(SMALL, messages=[{"role": "user", "content": "word " * 500}]) is None
    assert "context" in str(
        shortcoming(SMALL, messages=[{"role": "user", "content": "word " * 1000}])
    )


def test_a_conversation_keeps_its_key_as_it_grows() -> None:
    def key(*messages: dict[str, object]) -> str:
        body = json.dumps({"model": "m", "messages": list(messages)}).encode()
        return conversation_key(open_exchange("chat", "openai_chat", body, now=0).chat)  # type: ignore[attr-defined]

    system = {"role": "system", "content": "be brief"}
    first = key(system, USER)
    assert key(system, USER, {"role": "assistant", "content": "hi"}, USER) == first
    assert key(system, {"role": "user", "content": "other"}) != first
