"""Redaction: what must not be kept is not, and what is kept stays readable."""

import json
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_gateway.audit.bodies import Bodies
from ai_gateway.audit.redact import Redactor
from ai_gateway.model.audit import Captured, Redaction
from ai_gateway.personal_data import HINTS, SHAPES

SECRET = "sk-abcdefghijklmnop1234"


def redacted(body: bytes, **rules: object) -> tuple[str, dict[str, int]]:
    counts: dict[str, int] = {}
    text = Redactor(msgspec.convert(rules, Redaction)).redact(body, counts)
    return text, counts


@pytest.mark.parametrize(
    ("body", "rules", "kept", "counts"),
    [
        (b'{"a":"my key is ' + SECRET.encode() + b'"}', {}, '{"a":"my key is [SECRET]"}', {"secret": 1}),
        (b'{"a":"sk\\u002dabcdefghijklmnop1234"}', {}, '{"a":"[SECRET]"}', {"secret": 1}),
        (b'{"a": "plain",  "b":1}', {}, '{"a": "plain",  "b":1}', {}),
        (b'{"a":"x@example.com"}', {"personal_data": ["email"]}, '{"a":"[EMAIL]"}', {"email": 1}),
        (b'{"card":4111111111111111}', {"personal_data": ["credit_card"]}, '{"card":"[CREDIT_CARD]"}',
         {"credit_card": 1}),
        (b'{"x@example.com":1}', {"personal_data": ["email"]}, '{"[EMAIL]":1}', {"email": 1}),
        (b'{"Password":"p","deep":[{"api_TOKEN":{"a":1}}],"ok":"p"}', {"fields": ["password", "*_token"]},
         '{"Password":"[REDACTED]","deep":[{"api_TOKEN":"[REDACTED]"}],"ok":"p"}', {"fields": 2}),
        (b'{"a":"ACME-123456 and ACME-9"}', {"patterns": [r"ACME-\d{6}"]}, '{"a":"[REDACTED] and ACME-9"}',
         {"pattern 1": 1}),
        (b'{"a":"one\\ntwo"}', {"patterns": ["one\ntwo"]}, '{"a":"[REDACTED]"}', {"pattern 1": 1}),
        (b'{"cut": "' + SECRET.encode(), {}, '{"cut": "[SECRET]', {"secret": 1}),
        (b'{"cut": "x', {"fields": ["password"]}, "[REDACTED]", {"unreadable": 1}),
        (b"\xff\xfe", {}, "��", {}),
        (b"", {}, "", {}),
    ],
)  # fmt: skip
def test_what_rules_name_is_taken_out(
    body: bytes, rules: dict[str, object], kept: str, counts: dict[str, int]
) -> None:
    assert redacted(body, **rules) == (kept, counts)


_leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.just(SECRET)
_values = st.recursive(
    _leaves,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
)


@given(value=_values, ascii_only=st.booleans())
def test_no_json_hides_a_secret(value: object, ascii_only: bool) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    text, _ = redacted(body)
    assert SECRET not in text


def kept(body: bytes, *, most: int = 100, answer: bytes = b"", stream: bool = False):  # type: ignore[no-untyped-def]
    bodies = Bodies(Redactor(Redaction()), most)
    captured = Captured(bodies.captured_at_most)
    captured.add(answer)
    return bodies.keep("openai_chat", body, captured, stream=stream)


def test_long_bodies_are_cut_and_say_so() -> None:
    found = kept(b"x" * 300, answer=b"y" * 100)
    assert found.request == "x" * 100
    assert found.response == "y" * 100
    assert found.cut == "request: the first 100 of 300 bytes"
    huge = kept(b"", answer=b"z" * 1_000_000)
    assert huge.cut == "response: the first 100 of 1000000 bytes"


def test_a_secret_on_the_edge_of_the_cut_is_not_kept_by_half() -> None:
    body = b"x" * 90 + b" " + SECRET.encode() + b" " + b"y" * 200
    assert "sk-" not in kept(body).request


def test_text_that_no_database_takes_is_kept_in_other_words() -> None:
    assert kept(b"a\0b\xffc").request == "a�b�c"


STREAM = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"Hel"}}]}\n\n'
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"lo"}}]}\n\n'
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b"data: [DONE]\n\n"
)
ASKED = b'{"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":true}'


def test_a_stream_is_kept_as_the_answer_it_amounts_to() -> None:
    found = kept(ASKED, most=10_000, answer=STREAM, stream=True)
    answer = json.loads(found.response)
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"]["content"] == "Hello"
    assert found.cut is None


def test_a_stream_that_was_cut_is_kept_as_it_was_sent() -> None:
    found = kept(ASKED, most=10_000, answer=STREAM[:200], stream=True)
    assert found.response == STREAM[:200].decode()
    assert found.cut == "response: the stream as it was sent, since it is not whole"


@pytest.mark.parametrize("entity", HINTS)
@given(data=st.data())
def test_no_shape_is_found_without_one_of_its_hints(entity: str, data: st.DataObject) -> None:
    pattern, _ = SHAPES[entity]
    # What stands around it is not part of it.
    inner = re.sub(r"\(\?<?[!=][^()]*\)", "", pattern.pattern)
    text = data.draw(st.from_regex(re.compile(inner, re.ASCII), fullmatch=True))
    assert any(hint in text for hint in HINTS[entity])
