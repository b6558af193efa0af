"""Embeddings and reranking of providers that do not speak OpenAI's format."""

import json
from typing import Any

import pytest

from ai_gateway.dialects.dialect import BadAnswer, RenderTarget
from ai_gateway.dialects.exchange import open_exchange
from ai_gateway.model.errors import GatewayError

TARGET = RenderTarget(model="m-upstream")


def sent(provider: str, operation: Any = "embeddings", **request: object) -> dict[str, Any]:
    body = json.dumps({"model": "m", **request}).encode()
    exchange = open_exchange(operation, "openai_chat", body, now=0)
    return json.loads(exchange.request(provider, TARGET).body)


def got(provider: str, answer: object, operation: Any = "embeddings", **request: object) -> Any:
    body = json.dumps({"model": "m", **request}).encode()
    exchange = open_exchange(operation, "openai_chat", body, now=0)
    return exchange.answer(provider, json.dumps(answer).encode())


def test_cohere_is_sent_texts_and_told_what_they_are_for() -> None:
    assert sent("cohere", input="a", dimensions=256, encoding_format="base64", user="u") == {
        "model": "m-upstream",
        "texts": ["a"],
        "embedding_types": ["float"],
        "input_type": "search_document",
        "output_dimension": 256,
    }
    assert (
        sent("cohere", input=["a", "b"], input_type="search_query")["input_type"] == "search_query"
    )


@pytest.mark.parametrize("given", [[1, 2, 3], [[1, 2], [3]], ["x"] * 97])
def test_what_cohere_cannot_embed_is_refused_by_name(given: object) -> None:
    with pytest.raises(GatewayError) as refused:
        sent("cohere", input=given)
    assert (refused.value.field, refused.value.status) == ("input", 400)


def test_coheres_answer_becomes_openais() -> None:
    answer = {
        "id": "x",
        "embeddings": {"float": [[0.5, -1.0], [0.25, 2.0]]},
        "meta": {"billed_units": {"input_tokens": 7}},
    }
    converted = got("cohere", answer, input=["a", "b"])
    assert json.loads(converted.body) == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [0.5, -1.0]},
            {"object": "embedding", "index": 1, "embedding": [0.25, 2.0]},
        ],
        "model": "m",
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }
    assert converted.usage is not None
    assert converted.usage.input_tokens == 7


def test_a_caller_who_asked_for_base64_gets_it_from_cohere_too() -> None:
    answer = {"embeddings": {"float": [[1.0]]}, "meta": {"billed_units": {"input_tokens": 1}}}
    converted = got("cohere", answer, input="a", encoding_format="base64")
    assert json.loads(converted.body)["data"][0]["embedding"] == "AACAPw=="


def test_what_is_no_answer_of_coheres_is_bad() -> None:
    with pytest.raises(BadAnswer):
        got("cohere", {"embeddings": []}, input="a")


def test_voyage_has_its_own_name_for_dimensions() -> None:
    assert sent("voyage", input="a", dimensions=256, encoding_format="float", user="u") == {
        "model": "m-upstream",
        "input": "a",
        "output_dimension": 256,
    }
    assert sent("voyage", input="a", encoding_format="base64")["encoding_format"] == "base64"


def test_voyages_reranking_differs_in_two_names() -> None:
    request = {"query": "q", "documents": ["a", "b"], "top_n": 1}
    assert sent("voyage", "rerank", **request) == {
        "model": "m-upstream",
        "query": "q",
        "documents": ["a", "b"],
        "top_k": 1,
    }
    answer = {
        "object": "list",
        "data": [{"relevance_score": 0.5, "index": 1, "document": "b"}],
        "model": "rerank-2.5",
        "usage": {"total_tokens": 9},
    }
    converted = got("voyage", answer, "rerank", **request)
    assert json.loads(converted.body) == {
        "model": "rerank-2.5",
        "results": [{"index": 1, "relevance_score": 0.5, "document": {"text": "b"}}],
        "usage": {"total_tokens": 9},
    }
