"""Pairs of questions out of audited calls."""

import json

import numpy as np
import pytest

from ai_gateway.caching.semantic.audited import alike, nearest, read_questions
from ai_gateway.caching.semantic.index import Vector, unit


def record(question: str, answer: str = "An answer.", **more: object) -> str:
    request = {"model": "m", "messages": [{"role": "user", "content": question}]}
    response = {
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}],
    }  # fmt: skip
    fields: dict[str, object] = {
        "id": "1", "tenant": "t", "operation": "chat", "dialect": "openai_chat", "status": 200,
        "requested_model": "m", "request": json.dumps(request), "response": json.dumps(response), "cut": None,
    }  # fmt: skip
    return json.dumps(fields | more)


def turned(degrees: float) -> Vector:
    return unit([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])


def test_each_question_is_read_once_with_its_answer() -> None:
    read = read_questions([record("One?", "1"), "", record("One?", "2"), record("Two?", "3")])
    assert read.records == 3
    assert [(q.text, q.answer) for q in read.found] == [("One?", "1"), ("Two?", "3")]


def test_the_audits_own_files_are_read_too() -> None:
    line = f'{{"chain":"c","seq":1,"hash":"h","record":{record("One?")}}}'
    assert [q.text for q in read_questions([line]).found] == ["One?"]


@pytest.mark.parametrize(
    "more",
    [
        {"operation": "embeddings"},
        {"status": 500},
        {"response": None},
        {"cut": "response: the first 10 of 20 bytes"},
        {"request": "no longer JSON"},
        {"dialect": "of another time"},
    ],
    ids=str,
)
def test_what_says_nothing_of_two_questions_is_left_out(more: dict[str, object]) -> None:
    read = read_questions([record("One?", "An answer.", **more)])
    assert (read.records, read.found) == (1, [])


def test_a_line_that_is_no_record_is_named() -> None:
    with pytest.raises(ValueError, match="line 2"):
        read_questions([record("One?"), "[]"])


def test_only_questions_that_the_semantic_cache_would_compare_are_paired() -> None:
    read = read_questions(
        [record("A"), record("B"), record("C", tenant="u"), record("D", requested_model="n")]
    )
    near = nearest(read.found, dict.fromkeys("ABCD", turned(0)), 0.5, 10)
    assert [(pair.one.text, pair.other.text) for pair in near] == [("A", "B")]


def test_the_nearest_come_first_and_what_is_too_far_is_no_pair() -> None:
    read = read_questions([record(text) for text in "ABC"])
    vectors = {"A": turned(0), "B": turned(10), "C": turned(30)}
    near = nearest(read.found, vectors, 0.9, 10)
    assert ["".join((pair.one.text, pair.other.text)) for pair in near] == ["AB", "BC"]
    assert nearest(read.found, vectors, 0.9, 1) == near[:1]


def test_without_a_verifier_answers_that_lie_close_are_taken_for_the_same() -> None:
    read = read_questions([record("A", "yes"), record("B", "yes, sure"), record("C", "no")])
    vectors = {text: turned(0) for text in "ABC"}
    vectors |= {"yes": turned(0), "yes, sure": turned(10), "no": turned(90)}
    judge = alike(vectors, 0.9)
    near = nearest(read.found, vectors, 0.5, 10)
    assert {pair.one.text + pair.other.text: judge(pair) for pair in near} == {
        "AB": True, "AC": False, "BC": False,
    }  # fmt: skip
