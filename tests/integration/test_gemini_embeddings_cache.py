"""Gemini's embeddings, kept text by text as OpenAI's are; from any provider."""

import asyncio
import json

import pytest

from tests.integration.test_caching import cached, embed, how
from tests.serving import Answered, Got, Running, answers, post

NATIVE, OTHER = "gemini-embedding-001", "text-embedding-3-small"


async def native(got: Got, writer: asyncio.StreamWriter) -> None:
    """As Google's batchEmbedContents answers, with a vector that tells the text's length."""
    requests = json.loads(got.body)["requests"]
    found = [
        {"values": [float(len(r["content"]["parts"][0]["text"])), 0.5, float("taskType" in r)]}
        for r in requests
    ]
    await answers(json.dumps({"embeddings": found}).encode())(got, writer)


def request(text: str, **more: object) -> dict[str, object]:
    return {"content": {"parts": [{"text": text}]}, **more}


async def batch(running: Running, *texts: str, model: str = NATIVE, **more: object) -> Answered:
    body = {"requests": [request(text, model=f"models/{model}", **more) for text in texts]}
    url = f"{running.url}/v1beta/models/{model}:batchEmbedContents"
    return await post(url, json.dumps(body).encode())


async def one(running: Running, text: str, model: str = NATIVE, **more: object) -> Answered:
    url = f"{running.url}/v1beta/models/{model}:embedContent"
    return await post(url, json.dumps(request(text, **more)).encode())


def asked(got: Got) -> list[str]:
    return [r["content"]["parts"][0]["text"] for r in json.loads(got.body)["requests"]]


def values(got: Answered) -> list[list[float]]:
    return [found["values"] for found in json.loads(got.body)["embeddings"]]


async def test_of_a_batch_only_the_texts_not_known_are_asked_for() -> None:
    async with cached(native) as (provider, running):
        await batch(running, "a", "bb")
        some = await batch(running, "ccc", "bb", "dddd", "a")
        all_known = await batch(running, "dddd", "a")
        alone = await one(running, "bb")
        other = await one(running, "bb", taskType="RETRIEVAL_QUERY")
    assert [asked(got) for got in provider.got] == [["a", "bb"], ["ccc", "dddd"], ["bb"]]
    assert [how(got) for got in (some, all_known, alone, other)] == ["miss", "hit", "hit", "miss"]
    assert values(some) == [[3, 0.5, 0], [2, 0.5, 0], [4, 0.5, 0], [1, 0.5, 0]]
    assert values(all_known) == [[4, 0.5, 0], [1, 0.5, 0]]
    assert json.loads(alone.body) == {"embedding": {"values": [2, 0.5, 0]}}
    assert json.loads(other.body)["embedding"]["values"] == [2, 0.5, 1]
    assert "2 of 4 inputs" in some.headers["x-gateway-notes"]


async def test_one_alone_is_known_in_a_batch() -> None:
    async with cached(native) as (provider, running):
        first = await one(running, "a")
        both = await batch(running, "a", "bb")
    assert [asked(got) for got in provider.got] == [["a"], ["bb"]]
    assert values(both) == [json.loads(first.body)["embedding"]["values"], [2, 0.5, 0]]


async def test_another_makers_vectors_are_kept_in_geminis_words() -> None:
    async with cached(embed) as (provider, running):
        first = await batch(running, "a", "bb", model=OTHER)
        again = await batch(running, "bb", "a", model=OTHER)
        part = await batch(running, "bb", "ccc", model=OTHER)
    assert [json.loads(got.body)["input"] for got in provider.got] == [["a", "bb"], ["ccc"]]
    assert (how(first), how(again), how(part)) == ("miss", "hit", "miss")
    assert values(again) == values(first)[::-1] == [[2, 0.5], [1, 0.5]]
    assert values(part) == [[2, 0.5], [3, 0.5]]


@pytest.mark.parametrize("body", [b'{"embeddings": []}', b"no JSON"])
async def test_what_cannot_be_read_is_not_kept(body: bytes) -> None:
    async with cached(native) as (provider, running):
        provider.script = answers(body)
        await batch(running, "a")
        provider.script = native
        again = await batch(running, "a")
    assert (again.status, how(again), values(again)) == (200, "miss", [[1, 0.5, 0]])
