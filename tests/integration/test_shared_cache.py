"""Two replicas on one Redis: what one was answered the other need not ask."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.integration.test_caching import (
    CHAT,
    DONE,
    EMBEDDINGS,
    FORMS,
    STREAM,
    asked,
    chat_answer,
    delta,
    embed,
    how,
    slowly,
    text_of,
    texts,
    when_told,
)
from tests.integration.test_semantic_cache import RESET, RESET_TOO, Model, ask, meant
from tests.redis_server import RedisServer, redis_server
from tests.serving import (
    Provider,
    Running,
    Script,
    answers,
    delete,
    in_front_of,
    post,
    providing,
    serving,
    streams,
)

ROUTE = "routes: {gpt-4o: {targets: [{model: openai/gpt-4o}], retries: 0}}\n"


@asynccontextmanager
async def replicas(
    script: Script, directory: Path, redis: RedisServer, count: int = 2, **environ: str
) -> AsyncGenerator[tuple[Provider, list[Running]], None]:
    config = directory / "gateway.yaml"
    config.write_text(ROUTE)
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(providing(script))
        given = {
            **in_front_of(provider), "CACHE_TTL": "5", "REDIS_ADDR": redis.address,
            "RATE_LIMIT_CAPACITY": "0", **environ,
        }  # fmt: skip
        yield (
            provider,
            [await stack.enter_async_context(serving(given, config)) for _ in range(count)],
        )


@pytest.mark.parametrize("then", FORMS)
async def test_one_replicas_answer_is_a_hit_on_the_other(then: str, tmp_path: Path) -> None:
    with redis_server() as redis:
        async with replicas(answers(chat_answer()), tmp_path, redis) as (provider, (one, other)):
            first = await post(one.url + CHAT, asked())
            await asyncio.sleep(0.05)
            path, more = FORMS[then]
            again = await post(other.url + path, asked(**more))
    assert (how(first), how(again)) == ("miss", "hit")
    assert text_of(again) == "four"
    assert len(provider.got) == 1


async def test_a_large_answer_is_kept_compressed_and_given_again_to_the_letter(
    tmp_path: Path,
) -> None:
    body = chat_answer("word " * 20_000)
    with redis_server() as redis:
        async with replicas(answers(body), tmp_path, redis) as (_, (one, other)):
            await post(one.url + CHAT, asked())
            await asyncio.sleep(0.05)
            again = await post(other.url + CHAT, asked())
            key = redis.tell("KEYS", "gw:*:cache:*").split(b"\r\n")[2].decode()
            size = int(redis.tell("STRLEN", key)[1:].strip())
    assert (how(again), again.body) == ("hit", body)
    assert size < len(body) / 20


async def test_identical_calls_over_replicas_are_asked_once(tmp_path: Path) -> None:
    go = asyncio.Event()
    with redis_server() as redis:
        async with replicas(when_told(chat_answer(), go), tmp_path, redis) as (provider, both):
            tasks = [asyncio.create_task(post(both[n % 2].url + CHAT, asked())) for n in range(40)]
            await asyncio.sleep(0.4)
            go.set()
            got = await asyncio.gather(*tasks)
            later = await post(both[0].url + CHAT, asked())
    assert len(provider.got) == 1
    assert sorted(str(how(one)) for one in got) == ["joined"] * 39 + ["miss"]
    assert {one.body for one in got} == {chat_answer()}
    assert how(later) == "hit"


async def test_a_stream_is_asked_for_once_over_replicas(tmp_path: Path) -> None:
    go = asyncio.Event()
    body = asked(stream=True)
    with redis_server() as redis:
        async with replicas(slowly(*STREAM, go=go), tmp_path, redis) as (provider, (one, other)):
            first = asyncio.create_task(post(one.url + CHAT, body))
            await asyncio.sleep(0.2)
            second = asyncio.create_task(post(other.url + CHAT, body))
            await asyncio.sleep(0.2)
            go.set()
            got = [await first, await second]
    assert len(provider.got) == 1
    assert [how(one) for one in got] == ["miss", "joined"]
    assert got[0].body == got[1].body


async def test_when_asking_fails_another_replica_asks(tmp_path: Path) -> None:
    go = asyncio.Event()
    with redis_server() as redis:
        async with replicas(when_told(b"{}", go, 500), tmp_path, redis) as (provider, (one, other)):
            first = asyncio.create_task(post(one.url + CHAT, asked()))
            await asyncio.sleep(0.2)
            second = asyncio.create_task(post(other.url + CHAT, asked()))
            await asyncio.sleep(0.2)
            provider.script = answers(chat_answer())
            go.set()
            got = [await first, await second]
    assert [one.status for one in got] == [500, 200]
    assert len(provider.got) == 2


async def test_an_answer_that_is_not_kept_is_asked_for_by_each(tmp_path: Path) -> None:
    cut = chat_answer().replace(b'"stop"', b'"length"')
    with redis_server() as redis:
        async with replicas(answers(cut), tmp_path, redis) as (provider, both):
            got = await asyncio.gather(*(post(each.url + CHAT, asked()) for each in both))
    assert len(provider.got) == 2
    assert {one.status for one in got} == {200}


async def test_with_redis_gone_every_call_is_a_miss_and_none_fails(tmp_path: Path) -> None:
    with redis_server() as redis:
        async with replicas(answers(chat_answer()), tmp_path, redis) as (_provider, (one, other)):
            await post(one.url + CHAT, asked())
            redis.kill()
            gone = [await post(each.url + CHAT, asked()) for each in (one, other, one)]
            redis.start()
            for _ in range(100):
                await asyncio.sleep(0.05)
                await post(one.url + CHAT, asked())
                back = await post(other.url + CHAT, asked())
                if how(back) == "hit":
                    break
    assert [(g.status, how(g)) for g in gone] == [(200, "miss")] * 3
    assert how(back) == "hit"


async def test_an_entry_that_cannot_be_read_is_a_miss(tmp_path: Path) -> None:
    with redis_server() as redis:
        async with replicas(answers(chat_answer()), tmp_path, redis) as (_provider, (one, other)):
            await post(one.url + CHAT, asked())
            await asyncio.sleep(0.05)
            key = redis.tell("KEYS", "gw:*:cache:*").split(b"\r\n")[2].decode()
            redis.tell("SET", key, "2nonsense")
            again = await post(other.url + CHAT, asked())
    assert (again.status, how(again)) == (200, "miss")


async def test_texts_embedded_on_one_replica_are_known_on_the_other(tmp_path: Path) -> None:
    with redis_server() as redis:
        async with replicas(embed, tmp_path, redis) as (provider, (one, other)):
            await post(one.url + EMBEDDINGS, texts("a", "bb"))
            await asyncio.sleep(0.05)
            some = await post(other.url + EMBEDDINGS, texts("bb", "ccc"))
    assert json.loads(provider.got[-1].body)["input"] == ["ccc"]
    assert how(some) == "miss"


async def test_a_stream_that_is_cut_leaves_nothing_to_the_other_replica(tmp_path: Path) -> None:
    with redis_server() as redis:
        async with replicas(streams(delta("fo")), tmp_path, redis) as (provider, (one, other)):
            await post(one.url + CHAT, asked(stream=True))
            provider.script = streams(*STREAM[:3], DONE)
            again = await post(other.url + CHAT, asked(stream=True))
    assert (how(again), text_of(again)) == ("miss", "four")


# By meaning


async def test_a_question_met_on_one_replica_is_answered_by_meaning_on_the_other(
    tmp_path: Path,
) -> None:
    model = Model()
    with redis_server() as redis:
        async with (
            meant(model, REDIS_ADDR=redis.address) as (_, one),
            meant(model, REDIS_ADDR=redis.address) as (_, other),
        ):
            assert await ask(one, RESET) == ("miss", "answer 1")
            await asyncio.sleep(0.6)
            assert await ask(other, RESET_TOO) == ("semantic", "answer 1")
        # One that starts later learns what the others know.
        async with meant(model, REDIS_ADDR=redis.address) as (_, late):
            await asyncio.sleep(0.6)
            assert await ask(late, RESET_TOO) == ("semantic", "answer 1")
    assert len(model.chats) == 1


async def test_with_redis_gone_looks_by_meaning_are_misses_and_come_back_with_it() -> None:
    model = Model()
    with redis_server() as redis:
        async with (
            meant(model, REDIS_ADDR=redis.address) as (_, one),
            meant(model, REDIS_ADDR=redis.address) as (_, other),
        ):
            await ask(one, RESET)
            redis.kill()
            assert (await ask(one, RESET_TOO))[0] == "miss"
            assert (await ask(other, RESET))[0] == "miss"
            redis.start()
            found = None
            for _ in range(60):
                await asyncio.sleep(0.1)
                await ask(one, RESET)
                found = (await ask(other, RESET_TOO))[0]
                if found in ("semantic", "hit"):
                    break
    assert found in ("semantic", "hit")


ADMIN = "admin-key-of-this-test-0123456789"


async def test_a_purge_reaches_every_replica(tmp_path: Path) -> None:
    with redis_server() as redis:
        async with replicas(
            answers(chat_answer()), tmp_path, redis, ADMIN_KEY=ADMIN, ACCESS="open"
        ) as (provider, (one, other)):
            await post(one.url + CHAT, asked())
            await post(one.url + CHAT, asked("3+3?"))
            await asyncio.sleep(0.05)
            purged = await delete(other.url + "/admin/cache?model=gpt-4o", ADMIN)
            again = await post(one.url + CHAT, asked())
    assert (purged.status, json.loads(purged.body)) == (200, {"answers": 2})
    assert how(again) == "miss"
    assert len(provider.got) == 3
