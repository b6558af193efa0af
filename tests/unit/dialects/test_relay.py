"""Same dialect on both sides: only what must change changes."""

import json
from contextlib import suppress

import pytest

from ai_gateway.dialects.dialect import BadAnswer, RenderTarget
from ai_gateway.dialects.openai_embeddings import pack, peek_embeddings, to_base64
from ai_gateway.dialects.registry import DIALECTS
from ai_gateway.model.errors import GatewayError, Untranslatable

CHAT, MESSAGES = DIALECTS["openai_chat"], DIALECTS["anthropic_messages"]
OPENAI = RenderTarget(model="gpt-4o", max_tokens_field="max_completion_tokens")
OTHER = RenderTarget(model="gpt-4o")
ODD = b'{"model":"gpt-4o", "messages":[{"role":"user","content":"\\u0041"}],"new_field":{"b":1.50,"a":[ ]}}'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n'
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"a \\"usage\\":{ b"},"finish_reason":null}],"usage":null}\n\n'
LAST = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}\n\n'
DONE = b"data: [DONE]\n\n"


def test_a_request_that_needs_no_change_is_the_same_bytes() -> None:
    assert CHAT.rewrite(CHAT.peek(ODD), ODD, OPENAI) is ODD


def test_another_model_name_changes_nothing_else() -> None:
    target = RenderTarget(model="other", max_tokens_field="max_completion_tokens")
    changed = CHAT.rewrite(CHAT.peek(ODD), ODD, target)
    assert b'"new_field":{"b":1.50,"a":[ ]}' in changed
    assert b"\\u0041" in changed
    assert json.loads(changed) == {**json.loads(ODD), "model": "other"}


def test_usage_is_asked_for_on_the_callers_behalf() -> None:
    body = b'{"model":"gpt-4o","messages":[{"role":"user","content":""}],"stream":true,"stream_options":{"x":1}}'
    changed = json.loads(CHAT.rewrite(CHAT.peek(body), body, OPENAI))
    assert changed["stream_options"] == {"x": 1, "include_usage": True}


def test_providers_that_know_only_max_tokens_get_it_under_that_name() -> None:
    body = b'{"model":"gpt-4o","messages":[{"role":"user","content":""}],"max_completion_tokens":5}'
    assert CHAT.rewrite(CHAT.peek(body), body, OPENAI) is body
    changed = json.loads(CHAT.rewrite(CHAT.peek(body), body, OTHER))
    assert changed["max_tokens"] == 5
    assert "max_completion_tokens" not in changed


def test_a_field_the_provider_refuses_is_dropped_if_it_says_nothing_else_refused() -> None:
    target = RenderTarget(model="gpt-4o", refused_fields=frozenset({"logprobs"}))
    for value, kept in ((b"false", True), (b"null", True), (b"true", False)):
        body = b'{"model":"gpt-4o","messages":[{"role":"user","content":""}],"logprobs":%s}' % value
        if kept:
            assert b"logprobs" not in CHAT.rewrite(CHAT.peek(body), body, target)
        else:
            with pytest.raises(Untranslatable) as caught:
                CHAT.rewrite(CHAT.peek(body), body, target)
            assert caught.value.field == "logprobs"


def test_a_field_the_provider_names_otherwise_is_sent_under_its_name() -> None:
    target = RenderTarget(model="gpt-4o", renamed_fields={"seed": "random_seed"})
    body = b'{"model":"gpt-4o","messages":[{"role":"user","content":""}],"seed":5}'
    changed = json.loads(CHAT.rewrite(CHAT.peek(body), body, target))
    assert changed["random_seed"] == 5
    assert "seed" not in changed


def test_a_deep_body_is_read_or_refused_however_it_is_spaced() -> None:
    for depth in range(700, 1100):
        for value in (b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth):
            body = b'{"model":"m" ,"messages":[{"role":"user","content":""}],"x":%s}' % value
            # Where the limit lies is Python's affair; beyond it is a refusal, never a fault.
            with suppress(GatewayError):
                CHAT.peek(body)


def test_an_answer_with_an_odd_field_is_still_an_answer() -> None:
    choices = '"choices":[{"index":0,"message":{"content":"x"},"finish_reason":"stop"}]'
    odd = f'{{{choices},"model":7,"usage":{{"prompt_tokens":"3"}}}}'.encode()
    assert CHAT.peek_answer(odd).usage is None
    for body in (b'{"choices":[],"model":7}', b'{"choices":{},"model":7}', b'{"choices":[{}'):
        with pytest.raises(BadAnswer):
            CHAT.peek_answer(body)


def test_usage_among_events_that_cannot_be_told_apart_hides_none_of_them() -> None:
    watcher = CHAT.watch(True)
    mixed = b": a comment\r\n\r\n" + EVENT + USAGE
    assert watcher.feed(mixed) + watcher.end() == mixed
    assert watcher.usage is not None


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_usage_is_hidden_only_from_those_who_did_not_ask(size: int) -> None:
    data = EVENT * 3 + LAST + USAGE + DONE
    for hide, expected in ((False, data), (True, EVENT * 3 + LAST + DONE)):
        watcher = CHAT.watch(hide)
        out = b"".join(watcher.feed(data[i : i + size]) for i in range(0, len(data), size))
        assert out + watcher.end() == expected
        assert watcher.usage is not None
        assert watcher.usage.output_tokens == 4
        assert watcher.complete


def test_words_in_a_models_text_do_not_mislead_the_watcher() -> None:
    watcher = CHAT.watch(True)
    assert watcher.feed(EVENT) == EVENT
    assert not watcher.complete
    assert watcher.failure is None


def test_half_an_event_is_never_relayed() -> None:
    watcher = CHAT.watch(False)
    assert watcher.feed(EVENT + EVENT[:30]) == EVENT
    assert watcher.end() == b""
    assert not watcher.complete


def test_an_error_in_a_stream_is_noticed() -> None:
    watcher = CHAT.watch(False)
    watcher.feed(EVENT + b'data: {"error":{"message":"m","code":429}}\n\n')
    assert watcher.failure is not None
    assert watcher.failure.kind == "rate_limited"
    other = MESSAGES.watch(False)
    other.feed(
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"m"}}\n\n'
    )
    assert other.failure is not None
    assert other.failure.kind == "overloaded"


BAD_EMBEDDINGS = [
    (b'{"model":"m"}', "input"),
    (b'{"model":"m","input":""}', "input"),
    (b'{"model":"m","input":[]}', "input"),
    (b'{"model":"m","input":["a",5]}', "input[1]"),
    (b'{"model":"m","input":["a",""]}', "input[1]"),
    (b'{"model":"m","input":{}}', "input"),
    (b'{"model":"m","input":"a","encoding_format":"hex"}', "encoding_format"),
    (b'{"model":"m","input":"a","dimensions":0}', "dimensions"),
]


@pytest.mark.parametrize(("body", "field"), BAD_EMBEDDINGS)
def test_bad_embeddings_requests_name_the_field(body: bytes, field: str) -> None:
    with pytest.raises(GatewayError) as caught:
        peek_embeddings(body)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("given", "count"), [('"a"', 1), ('["a","b"]', 2), ("[1,2,3]", 1), ("[[1],[2]]", 2)]
)
def test_inputs_are_counted_in_every_form(given: str, count: int) -> None:
    assert peek_embeddings(b'{"model":"m","input":%s}' % given.encode()).inputs == count


def test_floats_are_packed_for_callers_who_asked_for_base64() -> None:
    body = b'{"object":"list","data":[{"index":0,"embedding":[0.5,-1.0]}],"usage":{"x":1}}'
    packed = json.loads(to_base64(body))
    assert packed["data"][0]["embedding"] == pack([0.5, -1.0]) == "AAAAPwAAgL8="
    assert packed["usage"] == {"x": 1}
    done = b'{"data":[{"embedding":"AAAAPw=="}]}'
    assert to_base64(done) is done
