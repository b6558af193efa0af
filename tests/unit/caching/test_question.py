"""Which calls are the same question, and which must never be taken for one."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.json import encode
from msgspec.structs import replace

from ai_gateway.caching.forms import form_of
from ai_gateway.caching.question import Question, question_of, telling_headers
from ai_gateway.dialects.dialect import RenderTarget
from ai_gateway.dialects.registry import DIALECTS
from ai_gateway.model.chat import Chat, Tool
from ai_gateway.model.content import Message, Text
from tests.unit.dialects.chats import chats

pytestmark = pytest.mark.apart

DIALECT_NAMES = ["openai_chat", "anthropic_messages"]


def question(
    body: Any,
    dialect: str = "openai_chat",
    headers: bytes = b"",
    stream: bool = False,
    model: str | None = None,
) -> Question | None:
    data = body if isinstance(body, bytes) else encode(body)
    form = form_of("chat", dialect, stream, False)
    peeked = DIALECTS[dialect].peek(data)
    model = model or peeked.model
    return question_of(form, model, headers, data, lambda: DIALECTS[dialect].parse_request(data))


def of_chat(chat: Chat, dialect: str) -> bytes:
    target = RenderTarget(model=chat.model, developer_role=True)
    found = question(DIALECTS[dialect].render_request(chat, target).body, dialect)
    assert found is not None
    assert found.portable
    return found.digest


@given(chat=chats())
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_a_question_is_the_same_in_every_dialect(chat: Chat) -> None:
    assert len({of_chat(chat, name) for name in DIALECT_NAMES}) == 1


@given(chat=chats(), user=st.none() | st.just("someone"), stream=st.booleans())
@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_who_asks_and_whether_it_streams_do_not_count(
    chat: Chat, user: str | None, stream: bool
) -> None:
    other = replace(chat, user=user, stream=stream)
    for name in DIALECT_NAMES:
        assert of_chat(chat, name) == of_chat(other, name)


def changes(chat: Chat) -> dict[str, Chat]:
    """The chat, changed in one way each; every one asks something else."""
    more = Message(role="user", parts=(Text(text="and?"),))
    return {
        "model": replace(chat, model="another"),
        "a turn more": replace(chat, messages=(*chat.messages, Message(role="assistant", parts=(Text(text="x"),)))),
        "a part more": replace(chat, messages=(*chat.messages, more)),
        "a system prompt": replace(chat, messages=(Message(role="system", parts=(Text(text="Be brief!"),)), *chat.messages)),
        "a tool more": replace(chat, tools=(*chat.tools, Tool(name="zz_other"))),
        "output limit": replace(chat, max_tokens=(chat.max_tokens or 0) + 1),
        "temperature": replace(chat, temperature=0.25),
        "top_p": replace(chat, top_p=0.25),
        "stop": replace(chat, stop=(*chat.stop, "zz-stop")),
    }  # fmt: skip


@given(chat=chats())
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_whatever_may_change_the_answer_counts(chat: Chat) -> None:
    for name in DIALECT_NAMES:
        asked = of_chat(chat, name)
        for change, other in changes(chat).items():
            assert of_chat(other, name) != asked, change


ASKED = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0.5}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "number"}}}
FUNCTION = {"name": "f", "description": "d", "parameters": SCHEMA}
TOOL = {"type": "function", "function": FUNCTION}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1, "b": 2}'}}
USED = [
    *ASKED["messages"],  # type: ignore[misc]
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "42"},
]

SAME: dict[str, tuple[object, object]] = {
    "order of members": (ASKED, dict(reversed(ASKED.items()))),
    "spacing": (encode(ASKED), b'{ "model": "m",\n "messages" : [ {"content":"Hi","role":"user"} ], "temperature":0.50 }'),
    "escapes": (ASKED, encode(ASKED).replace(b"Hi", b"\\u0048i")),
    "stream": (ASKED, {**ASKED, "stream": True, "stream_options": {"include_usage": True}}),
    "user": (ASKED, {**ASKED, "user": "someone"}),
    "metadata": (ASKED, {**ASKED, "metadata": {"trace": "1"}}),
    "prompt cache": (ASKED, {**ASKED, "prompt_cache_key": "k", "safety_identifier": "s"}),
    "null": (ASKED, {**ASKED, "top_p": None, "unheard_of": None}),
    "defaults": (ASKED, {**ASKED, "n": 1, "logprobs": False, "presence_penalty": 0, "response_format": {"type": "text"}}),
    "text as parts": (ASKED, {**ASKED, "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]}),
    "names of limits": ({**ASKED, "max_tokens": 9}, {**ASKED, "max_completion_tokens": 9}),
    "order in a schema": (
        {**ASKED, "tools": [TOOL]},
        {**ASKED, "tools": [{"function": dict(reversed(FUNCTION.items())), "type": "function"}]},
    ),
    "spacing in arguments": (
        {**ASKED, "messages": USED, "tools": [TOOL]},
        encode({**ASKED, "messages": USED, "tools": [TOOL]}).replace(b'{\\"a\\": 1, \\"b\\": 2}', b'{\\"b\\":2,\\"a\\":1}'),
    ),
    "tool choice auto": ({**ASKED, "tools": [TOOL]}, {**ASKED, "tools": [TOOL], "tool_choice": "auto", "parallel_tool_calls": True}),
    "order of stops": ({**ASKED, "stop": ["a", "b"]}, {**ASKED, "stop": ["b", "a"]}),
}  # fmt: skip


@pytest.mark.parametrize("case", SAME)
def test_what_does_not_change_the_answer_does_not_count(case: str) -> None:
    one, other = SAME[case]
    assert question(one) == question(other)
    assert question(one) is not None


def asked(**changed: object) -> dict[str, object]:
    return {**ASKED, **changed}


def turns(*texts: tuple[str, object]) -> dict[str, object]:
    return asked(messages=[{"role": role, "content": content} for role, content in texts])


PICTURE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
TEXT = {"type": "text", "text": "Hi"}

DIFFERENT: dict[str, tuple[object, object]] = {
    "model": (ASKED, asked(model="m2")),
    "model named by its provider": (ASKED, asked(model="openai/m")),
    "a space": (ASKED, turns(("user", "Hi "))),
    "case": (ASKED, turns(("user", "hi"))),
    "system prompt": (turns(("system", "A"), ("user", "Hi")), turns(("system", "B"), ("user", "Hi"))),
    "system prompt gone": (turns(("system", "A"), ("user", "Hi")), ASKED),
    "system prompt as the user's words": (turns(("system", "A"), ("user", "Hi")), turns(("user", "A"), ("user", "Hi"))),
    "texts cut elsewhere": (turns(("user", [TEXT, TEXT])), turns(("user", "HiHi"))),
    "an earlier turn": (turns(("user", "1"), ("assistant", "2"), ("user", "Hi")), turns(("user", "1"), ("assistant", "3"), ("user", "Hi"))),
    "who is named": (ASKED, asked(messages=[{"role": "user", "content": "Hi", "name": "Bo"}])),
    "tools": (asked(tools=[TOOL]), asked(tools=[{"type": "function", "function": {**FUNCTION, "name": "g"}}])),
    "a tool's description": (asked(tools=[TOOL]), asked(tools=[{"type": "function", "function": {**FUNCTION, "description": "e"}}])),
    "a tool's schema": (asked(tools=[TOOL]), asked(tools=[{"type": "function", "function": {**FUNCTION, "parameters": {"type": "object"}}}])),
    "no tools": (asked(tools=[TOOL]), ASKED),
    "tool choice": (asked(tools=[TOOL]), asked(tools=[TOOL], tool_choice="required")),
    "which tool": (asked(tools=[TOOL], tool_choice="required"), asked(tools=[TOOL], tool_choice={"type": "function", "function": {"name": "f"}})),
    "parallel calls": (asked(tools=[TOOL]), asked(tools=[TOOL], parallel_tool_calls=False)),
    "a tool's result": (asked(messages=USED), asked(messages=[*USED[:-1], {**USED[-1], "content": "43"}])),
    "a call's arguments": (asked(messages=USED), asked(messages=[USED[0], {"role": "assistant", "content": None, "tool_calls": [{**CALL, "function": {"name": "f", "arguments": "{}"}}]}, USED[2]])),
    "an image": (turns(("user", [TEXT, PICTURE])), turns(("user", [TEXT]))),
    "another image": (turns(("user", [TEXT, PICTURE])), turns(("user", [TEXT, {"type": "image_url", "image_url": {"url": "https://example.org/b.png"}}]))),
    "an image's detail": (turns(("user", [TEXT, PICTURE])), turns(("user", [TEXT, {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}}]))),
    "a media type": (turns(("user", [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}])), turns(("user", [{"type": "image_url", "image_url": {"url": "data:image/gif;base64,AAAA"}}]))),
    "temperature": (ASKED, asked(temperature=0.6)),
    "temperature unsaid": (asked(temperature=1), {k: v for k, v in ASKED.items() if k != "temperature"}),
    "seed": (ASKED, asked(seed=1)),
    "penalties": (ASKED, asked(frequency_penalty=1)),
    "logit bias": (ASKED, asked(logit_bias={"1": 2})),
    "how many answers": (ASKED, asked(n=2)),
    "log probabilities": (ASKED, asked(logprobs=True)),
    "how many log probabilities": (asked(logprobs=True, top_logprobs=1), asked(logprobs=True, top_logprobs=2)),
    "format": (ASKED, asked(response_format={"type": "json_object"})),
    "schema": (
        asked(response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}),
        asked(response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}),
    ),
    "reasoning": (asked(reasoning_effort="low"), asked(reasoning_effort="high")),
    "a field nobody knows": (ASKED, asked(unheard_of=1)),
    "its value": (asked(unheard_of=1), asked(unheard_of=2)),
    "a member of a message nobody knows": (ASKED, asked(messages=[{"role": "user", "content": "Hi", "prefix": True}])),
    "a member of a part nobody knows": (turns(("user", [TEXT])), turns(("user", [{**TEXT, "unheard_of": 1}]))),
    "a member of a tool nobody knows": (asked(tools=[TOOL]), asked(tools=[{**TOOL, "unheard_of": 1}])),
    "a hosted tool": (asked(tools=[{"type": "web_search"}]), asked(tools=[{"type": "web_search", "size": 1}])),
    "audio": (asked(modalities=["text"]), asked(modalities=["text", "audio"])),
    "reasoning details of a router": (
        turns(("user", "1"), ("assistant", "2"), ("user", "Hi")),
        asked(messages=[{"role": "user", "content": "1"}, {"role": "assistant", "content": "2", "reasoning_details": [{"text": "t"}]}, {"role": "user", "content": "Hi"}]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DIFFERENT)
def test_what_may_change_the_answer_makes_another_question(case: str) -> None:
    one, other = DIFFERENT[case]
    found, other_found = question(one), question(other)
    assert found is not None
    assert other_found is not None
    assert found.digest != other_found.digest


NOT_PORTABLE: list[dict[str, object]] = [
    {"n": 2}, {"logprobs": True}, {"unheard_of": 1}, {"modalities": ["text"]},
    {"tools": [{"type": "web_search"}]},
    {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]}]},
    {"messages": [{"role": "function", "name": "f", "content": "1"}, {"role": "user", "content": "Hi"}]},
]  # fmt: skip


@pytest.mark.parametrize("said", NOT_PORTABLE, ids=str)
def test_what_only_one_dialect_can_say_is_answered_only_in_its_own_form(
    said: dict[str, object],
) -> None:
    whole, streamed = question(asked(**said)), question(asked(**said), stream=True)
    assert whole is not None
    assert streamed is not None
    assert not whole.portable
    assert whole.digest != streamed.digest


@pytest.mark.parametrize(
    "said", [{"previous_response_id": "r"}, {"conversation": "c"}, {"background": True}]
)
def test_a_call_on_what_the_provider_keeps_is_no_question_for_a_cache(
    said: dict[str, object],
) -> None:
    assert question(asked(**said)) is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","messages":[{"role":"user","content":"evil","content":"Hi"}]}',
        b'{"model":"m","messages":[{"role":"user","content":"Hi"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","type":"string"}}}]}',
    ],
)
def test_a_body_that_gives_a_member_twice_is_never_cached(body: bytes) -> None:
    assert question(body) is None


def test_headers_that_change_what_a_provider_does_count() -> None:
    body = encode({**ASKED, "max_tokens": 9})
    beta = telling_headers({b"anthropic-beta": b"b, a"})
    assert beta == telling_headers({b"anthropic-beta": b"a,b"})
    plain = question(body, "anthropic_messages")
    with_beta = question(body, "anthropic_messages", beta)
    assert plain is not None
    assert with_beta is not None
    assert plain.digest != with_beta.digest


TOLD = {
    "openai_chat": {"model": "m", "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}], "max_tokens": 9, "temperature": 0.5},
    "anthropic_messages": {"model": "m", "system": "Be brief.", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9, "temperature": 0.5},
    "openai_responses": {"model": "m", "instructions": "Be brief.", "input": "Hi", "max_output_tokens": 9, "temperature": 0.5, "metadata": {"a": "b"}},
    "gemini": {"systemInstruction": {"parts": [{"text": "Be brief."}]}, "contents": [{"role": "user", "parts": [{"text": "Hi"}]}], "generationConfig": {"maxOutputTokens": 9, "temperature": 0.5}},
}  # fmt: skip


@pytest.mark.parametrize("dialect", TOLD)
def test_every_dialect_that_callers_speak_can_ask_the_same(dialect: str) -> None:
    assert set(TOLD) == set(DIALECTS)
    assert question(TOLD[dialect], dialect, model="m") == question(TOLD["openai_chat"], model="m")


def test_a_response_that_is_to_be_kept_is_answered_only_in_its_own_dialect() -> None:
    found = question({**TOLD["openai_responses"], "store": True}, "openai_responses")
    assert found is not None
    assert not found.portable
