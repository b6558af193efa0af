"""Answers found by meaning: the nearest question's, unless something speaks against it."""

import asyncio
import json
import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.integration.test_caching import CHAT, MESSAGES, asked, chat_answer, how, text_of
from tests.serving import (
    Got,
    Provider,
    Running,
    answers,
    get,
    in_front_of,
    post,
    providing,
    serving,
)

RESET = "How do I reset my Gmail password?"
RESET_TOO = "How can I reset a Gmail password?"


def at(degrees: float) -> list[float]:
    return [math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), 0.0]


def closeness(similarity: float) -> float:
    """The angle, in degrees, of two vectors this similar."""
    return math.degrees(math.acos(similarity))


class Model:
    """A provider of embeddings by a table of angles, of answers that count up, and of verdicts."""

    def __init__(self, **angles: float) -> None:
        self.angles: dict[str, float] = {}
        self.chats: list[bytes] = []
        self.embedded: list[str] = []
        self.verdict = "yes"
        self.asked_to_verify = 0
        self.embedding_pause = 0.0
        self.embedding_status = 200

    async def __call__(self, got: Got, writer: asyncio.StreamWriter) -> None:
        given = json.loads(got.body)
        if got.path.endswith("/embeddings"):
            self.embedded.append(given["input"])
            await asyncio.sleep(self.embedding_pause)
            body = {
                "object": "list", "model": "e", "usage": {"prompt_tokens": 1, "total_tokens": 1},
                "data": [{"object": "embedding", "index": 0, "embedding": at(self.angles.get(given["input"], 0.0))}],
            }  # fmt: skip
            await answers(json.dumps(body).encode(), self.embedding_status)(got, writer)
            return
        if "<first>" in str(given["messages"]):
            self.asked_to_verify += 1
            await answers(chat_answer(self.verdict))(got, writer)
            return
        self.chats.append(got.body)
        await answers(chat_answer(f"answer {len(self.chats)}"))(got, writer)


@asynccontextmanager
async def meant(
    model: Model, cache: str = "", **environ: str
) -> AsyncGenerator[tuple[Provider, Running], None]:
    with TemporaryDirectory(prefix="semantic-") as directory:
        config = Path(directory) / "gateway.yaml"
        config.write_text(
            f"cache: {{mode: semantic, {cache} semantic: {{embedder: text-embedding-3-small, "
            "verifier: gpt-4o-mini, verify_within: 0.06, budget: 1}}"
        )
        async with (
            providing(model) as provider,
            serving({**in_front_of(provider), "CACHE_TTL": "5", **environ}, config) as running,
        ):
            yield provider, running


async def ask(
    running: Running, content: str, path: str = CHAT, **more: object
) -> "tuple[str | None, str]":
    got = await post(running.url + path, asked(content, **more))
    assert got.status == 200, got.body
    await asyncio.sleep(0.02)
    return how(got), text_of(got)


async def test_another_wording_of_a_question_is_answered_by_its_answer() -> None:
    model = Model()
    async with meant(model) as (_, running):
        assert await ask(running, RESET) == ("miss", "answer 1")
        assert await ask(running, RESET_TOO) == ("semantic", "answer 1")
        assert await ask(running, RESET_TOO, MESSAGES) == ("semantic", "answer 1")
        assert await ask(running, RESET_TOO, stream=True) == ("semantic", "answer 1")
        assert await ask(running, RESET) == ("hit", "answer 1")
    assert len(model.chats) == 1


async def test_a_hit_by_meaning_costs_nothing_and_tells_its_age() -> None:
    async with meant(Model()) as (_, running):
        await ask(running, RESET)
        got = await post(running.url + CHAT, asked(RESET_TOO))
    assert how(got) == "semantic"
    assert got.headers["x-gateway-cost-usd"] == "0"
    assert got.headers["age"] == "0"


@pytest.mark.parametrize(
    ("similarity", "expected"), [(0.99, "semantic"), (0.905, "semantic"), (0.895, "miss")]
)
async def test_only_a_near_one_answers(similarity: float, expected: str) -> None:
    model = Model()
    model.verdict = "no"
    model.angles = {RESET_TOO: closeness(similarity)}
    async with meant(model) as (_, running):
        await ask(running, RESET)
        assert (await ask(running, RESET_TOO))[0] == expected


async def test_the_policy_sets_how_near() -> None:
    model = Model()
    model.angles = {RESET_TOO: closeness(0.86)}
    async with meant(model, "threshold: 0.85,") as (_, running):
        await ask(running, RESET)
        assert (await ask(running, RESET_TOO))[0] == "semantic"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is new in Python 3.11?", "What is new in Python 3.12?"),
        ("What is the capital of France?", "What is the capital of Spain?"),
        ("Which fruits are safe for dogs?", "Which fruits are not safe for dogs?"),
        ("How do I reset the password?", "How do I reset the admin password?"),
    ],
)
async def test_what_makes_it_another_question_is_a_miss_however_near(one: str, other: str) -> None:
    async with meant(Model()) as (_, running):
        await ask(running, one)
        assert (await ask(running, other))[0] == "miss"


@pytest.mark.parametrize(
    "more",
    [
        {"model": "gpt-4o-mini"},
        {"temperature": 0.1},
        {"max_tokens": 51},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"response_format": {"type": "json_object"}},
        {"messages": [{"role": "system", "content": "Rhyme."}, {"role": "user", "content": RESET_TOO}]},
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hi"}, {"role": "user", "content": RESET_TOO}]},
    ],
    ids=str,
)  # fmt: skip
async def test_all_but_the_last_turns_words_must_be_the_same(more: dict[str, object]) -> None:
    async with meant(Model()) as (_, running):
        await ask(running, RESET)
        assert (await ask(running, RESET_TOO, **more))[0] == "miss"


async def test_in_a_conversation_the_last_turn_may_be_worded_otherwise() -> None:
    def turns(last: str) -> list[dict[str, str]]:
        return [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello!"},
            {"role": "user", "content": last},
        ]

    async with meant(Model()) as (_, running):
        await ask(running, "", messages=turns(RESET))
        assert (await ask(running, "", messages=turns(RESET_TOO)))[0] == "semantic"


IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}


@pytest.mark.parametrize(
    ("allowed", "expected"), [("", "miss"), ("semantic_for: [images],", "semantic")]
)
async def test_images_are_left_to_the_exact_cache_unless_said(allowed: str, expected: str) -> None:
    def turn(text: str) -> list[dict[str, object]]:
        return [{"role": "user", "content": [{"type": "text", "text": text}, IMAGE]}]

    async with meant(Model(), allowed) as (_, running):
        await ask(running, "", messages=turn(RESET))
        assert (await ask(running, "", messages=turn(RESET_TOO)))[0] == expected


async def test_an_embedding_that_comes_too_late_is_a_miss_and_serves_the_next() -> None:
    model = Model()
    model.embedding_pause = 1.2
    async with meant(model) as (_, running):
        assert (await ask(running, RESET))[0] == "miss"
        await asyncio.sleep(0.5)
        model.embedding_pause = 0.0
        assert (await ask(running, RESET_TOO))[0] == "semantic"


async def test_without_an_embedder_every_look_is_a_miss_and_no_error() -> None:
    model = Model()
    model.embedding_status = 400
    async with meant(model) as (_, running):
        assert (await ask(running, RESET))[0] == "miss"
        assert (await ask(running, RESET_TOO))[0] == "miss"


async def test_a_near_miss_is_verified_aside_and_the_next_is_answered() -> None:
    model = Model()
    third = "How may I reset my Gmail password?"
    model.angles = {RESET_TOO: closeness(0.87), third: -closeness(0.88)}
    async with meant(model) as (_, running):
        await ask(running, RESET)
        assert (await ask(running, RESET_TOO))[0] == "miss"
        assert model.asked_to_verify == 1
        assert await ask(running, third) == ("semantic", "answer 1")


async def test_a_near_miss_that_proves_different_stays_a_miss_and_is_not_asked_about_again() -> (
    None
):
    model = Model()
    model.verdict = "no"
    third = "How may I reset my Gmail password?"
    model.angles = {RESET_TOO: closeness(0.88), third: -closeness(0.87)}
    async with meant(model) as (_, running):
        await ask(running, RESET)
        await ask(running, RESET_TOO)
        before = model.asked_to_verify
        assert (await ask(running, third))[0] == "miss"
    assert before == 1
    # Against the second question it lies far off; against the first it is known to be too far.
    assert model.asked_to_verify == 1


async def test_identical_calls_at_once_are_embedded_once() -> None:
    model = Model()
    async with meant(model) as (_, running):
        await asyncio.gather(*(post(running.url + CHAT, asked(RESET)) for _ in range(20)))
    assert model.embedded == [RESET]
    assert len(model.chats) == 1


async def test_one_tenants_answer_is_never_anothers(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model()
    with TemporaryDirectory(prefix="semantic-") as directory:
        config = Path(directory) / "gateway.yaml"
        config.write_text(
            "cache: {mode: semantic, semantic: {embedder: text-embedding-3-small}}\n"
            "keys:\n"
            "  a: {tenant: one, key: env:KEY_A}\n"
            "  b: {tenant: two, key: env:KEY_B}\n"
        )
        keys = {"KEY_A": "gw-" + "a" * 40, "KEY_B": "gw-" + "b" * 40}
        for name, value in keys.items():
            monkeypatch.setenv(name, value)
        async with (
            providing(model) as provider,
            serving({**in_front_of(provider), **keys, "CACHE_TTL": "5"}, config) as running,
        ):

            def by(key: str) -> dict[str, str]:
                return {"authorization": f"Bearer {keys[key]}"}

            first = await post(running.url + CHAT, asked(RESET), by("KEY_A"))
            await asyncio.sleep(0.02)
            other = await post(running.url + CHAT, asked(RESET_TOO), by("KEY_B"))
            exact = await post(running.url + CHAT, asked(RESET), by("KEY_B"))
            own = await post(running.url + CHAT, asked(RESET_TOO), by("KEY_A"))
    assert [how(got) for got in (first, other, own)] == ["miss", "miss", "semantic"]
    assert (text_of(other), text_of(exact), text_of(own)) == ("answer 2", "answer 2", "answer 1")


async def test_a_hit_that_is_reported_as_wrong_is_evicted() -> None:
    model = Model()
    async with meant(model) as (_, running):
        await ask(running, RESET)
        hit = await post(running.url + CHAT, asked(RESET_TOO))
        report = {"call_id": hit.headers["x-gateway-call-id"], "bad_cache_hit": True}
        told = await post(running.url + "/v1/feedback", json.dumps(report).encode())
        unknown = await post(
            running.url + "/v1/feedback", b'{"call_id": "0", "bad_cache_hit": true}'
        )
        again = await ask(running, RESET_TOO)
        metrics = (await get(running.url + "/metrics")).body
    assert how(hit) == "semantic"
    assert (told.status, unknown.status) == (204, 404)
    assert again == ("miss", "answer 2")
    assert b'cache_semantic_lookups_total{outcome="bad_hit"} 1' in metrics
