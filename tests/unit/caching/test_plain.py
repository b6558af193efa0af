"""The short way to a plain text's question leads to the same question as the long way."""

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.json import encode

from ai_gateway.caching.forms import form_of
from ai_gateway.caching.plain import plain_content
from ai_gateway.caching.question import Question, question_of, whole_question
from ai_gateway.dialects.registry import DIALECTS


def both_ways(body: bytes, dialect: str) -> tuple[Question | None, Question | None, bool]:
    """(as it is asked, the long way, whether the short way was taken)"""
    form = form_of("chat", dialect, False, False)
    peeked = DIALECTS[dialect].peek(body)

    def parse() -> Any:
        return DIALECTS[dialect].parse_request(body)

    short = plain_content(dialect, body)
    asked = question_of(form, peeked.model, b"", body, parse)
    return asked, whole_question(form, peeked.model, b"", body, parse), short is not None


texts = st.text(max_size=20)
shares = st.floats(0, 1) | st.integers(0, 1)
chat_bodies = st.fixed_dictionaries(
    {
        "model": st.just("gpt-4o"),
        "messages": st.lists(
            st.fixed_dictionaries(
                {
                    "role": st.sampled_from(["system", "developer", "user", "assistant"]),
                    "content": texts,
                }
            ),
            min_size=1,
            max_size=5,
        ),
    },
    optional={
        "temperature": shares,
        "top_p": shares,
        "max_tokens": st.integers(1, 9),
        "max_completion_tokens": st.integers(1, 9),
        "seed": st.integers(-5, 5),
        "stream": st.booleans(),
        "user": texts,
    },
)
message_bodies = st.fixed_dictionaries(
    {
        "model": st.just("claude"),
        "max_tokens": st.integers(1, 9),
        "messages": st.lists(
            st.fixed_dictionaries(
                {"role": st.sampled_from(["user", "assistant"]), "content": texts}
            ),
            min_size=1,
            max_size=5,
        ),
    },
    optional={
        "system": texts,
        "temperature": shares,
        "top_p": shares,
        "top_k": st.integers(1, 9),
        "stream": st.booleans(),
    },
)


def is_read_in_one_way(body: dict[str, Any]) -> bool:
    """No escapes, and no text that could be taken for a member's name, such as the word content alone."""
    told, count = encode(body), len(body["messages"])
    names = told.count(b'"role"') == told.count(b'"content"') == count
    return b"\\u" not in told and names


@given(body=chat_bodies)
@example(body={"model": "m", "messages": [{"role": "user", "content": "content"}]})
@settings(max_examples=300, deadline=None)
def test_a_plain_chat_is_the_same_question_both_ways(body: dict[str, Any]) -> None:
    asked, whole, short = both_ways(encode(body), "openai_chat")
    assert asked == whole
    two_limits = "max_tokens" in body and "max_completion_tokens" in body
    assert short is (is_read_in_one_way(body) and not two_limits)


@given(body=message_bodies)
@example(body={"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "role"}]})
@settings(max_examples=300, deadline=None)
def test_a_plain_message_is_the_same_question_both_ways(body: dict[str, Any]) -> None:
    asked, whole, short = both_ways(encode(body), "anthropic_messages")
    assert asked == whole
    assert short is is_read_in_one_way(body)


MESSAGES = '"messages":[{"role":"user","content":"hi"}]'


@pytest.mark.parametrize(
    "body",
    [
        '{"model":"m","messages":[{"role":"user","content":"hi","content":"no"}]}',
        '{"model":"m","messages":[{"role":"user","content":"hi","co\\u006etent":"no"}]}',
        '{"model":"m","messages":[{"role":"system","role":"user","content":"hi"}]}',
        '{"model":"m","messages":[{"role":"user","content":"role"},{"role":"user","content":"x"}]}',
        '{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]}',
        '{"model":"m","messages":[{"role":"user","content":"hi","name":"me"}]}',
        '{"model":"m","messages":[{"role":"tool","tool_call_id":"1","content":"hi"}]}',
        '{"model":"m","temperature":null,' + MESSAGES + "}",
        '{"model":"m","tools":[],' + MESSAGES + "}",
        '{"model":"m","n":2,' + MESSAGES + "}",
        '{"model":"m","something_new":1,' + MESSAGES + "}",
        '{"model":"m","max_tokens":5,"max_completion_tokens":6,' + MESSAGES + "}",
    ],
)
def test_what_is_more_than_text_or_could_be_read_twice_goes_the_long_way(body: str) -> None:
    asked, whole, short = both_ways(body.encode(), "openai_chat")
    assert not short
    assert asked == whole


def test_a_text_that_quotes_the_names_of_members_is_still_plain() -> None:
    body = encode(
        {"model": "m", "messages": [{"role": "user", "content": 'say "role" and "content"'}]}
    )
    asked, whole, short = both_ways(body, "openai_chat")
    assert short
    assert asked == whole
