"""Answers given again: when, to whom, in what form, and never when they must not be."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import pytest

from tests.serving import (
    Answered,
    Got,
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

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
EMBEDDINGS = "/v1/embeddings"


def chat_answer(text: str = "four", **message: object) -> bytes:
    return json.dumps(
        {
            "id": "c1", "object": "chat.completion", "created": 7, "model": "gpt-4o-2024-08-06",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text, "refusal": None, **message}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
        }
    ).encode()  # fmt: skip


def event(**chunk: object) -> bytes:
    head = {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 7,
        "model": "gpt-4o-2024-08-06",
    }
    return b"data: " + json.dumps({**head, **chunk}).encode() + b"\n\n"


def delta(text: str, finish: str | None = None) -> bytes:
    return event(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": finish}])


USAGE = event(
    choices=[], usage={"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
)
DONE = b"data: [DONE]\n\n"
STREAM = (delta("fo"), delta("ur"), delta("", "stop"), USAGE, DONE)


def asked(content: str = "2+2?", **more: object) -> bytes:
    given = {
        "model": "gpt-4o",
        "max_tokens": 50,
        "messages": [{"role": "user", "content": content}],
    }
    return json.dumps({**given, **more}).encode()


@asynccontextmanager
async def cached(script: Script, **environ: str) -> AsyncGenerator[tuple[Provider, Running], None]:
    """Calls for gpt-4o are asked once where they fail, so that what is counted is what the cache does."""
    with TemporaryDirectory(prefix="caching-") as directory:
        config = Path(directory) / "gateway.yaml"
        config.write_text("routes: {gpt-4o: {targets: [{model: openai/gpt-4o}], retries: 0}}")
        async with (
            providing(script) as provider,
            serving({**in_front_of(provider), "CACHE_TTL": "5", **environ}, config) as running,
        ):
            yield provider, running


def how(got: Answered) -> str | None:
    return got.headers.get("x-gateway-cache")


def text_of(got: Answered) -> str:
    """The answer's text, in whatever form it came."""
    if not got.body.startswith((b"data:", b"event:")):
        found = json.loads(got.body)
        if "choices" in found:
            return found["choices"][0]["message"]["content"]
        return "".join(block["text"] for block in found["content"])
    text = ""
    for line in got.body.decode().splitlines():
        if not line.startswith("data: {"):
            continue
        found = json.loads(line[6:])
        for choice in found.get("choices", ()):
            text += choice["delta"].get("content") or ""
        if found.get("type") == "content_block_delta":
            text += found["delta"]["text"]
    return text


async def call(running: Running, body: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A call on a connection of its own, which the test reads, or drops, as it likes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port, limit=65536)
    head = (
        f"POST {CHAT} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    return reader, writer


async def test_the_same_question_is_asked_once_and_answered_to_the_letter() -> None:
    async with cached(answers(chat_answer())) as (provider, running):
        first = await post(running.url + CHAT, asked())
        again = await post(running.url + CHAT, asked())
    assert len(provider.got) == 1
    assert (how(first), how(again)) == ("miss", "hit")
    assert first.body == again.body == chat_answer()
    assert "age" not in first.headers
    assert again.headers["age"] == "0"
    assert first.headers["x-gateway-cost-usd"] == "0.0035"
    assert again.headers["x-gateway-cost-usd"] == "0"
    assert again.headers["x-gateway-model"] == "gpt-4o"
    assert again.headers["x-gateway-attempts"] == "0"


async def test_a_stream_is_given_again_to_the_letter() -> None:
    async with cached(streams(*STREAM)) as (provider, running):
        first = await post(running.url + CHAT, asked(stream=True))
        again = await post(running.url + CHAT, asked(stream=True))
    assert len(provider.got) == 1
    assert first.body == again.body == b"".join(e for e in STREAM if e is not USAGE)
    assert how(again) == "hit"


FORMS = {
    "chat": (CHAT, {}),
    "chat stream": (CHAT, {"stream": True}),
    "chat stream with usage": (CHAT, {"stream": True, "stream_options": {"include_usage": True}}),
    "messages": (MESSAGES, {}),
    "messages stream": (MESSAGES, {"stream": True}),
}


@pytest.mark.parametrize("first", FORMS)
@pytest.mark.parametrize("then", FORMS)
async def test_an_answer_is_given_again_in_every_other_form(first: str, then: str) -> None:
    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        streamed = json.loads(got.body).get("stream")
        await (streams(*STREAM) if streamed else answers(chat_answer()))(got, writer)

    async with cached(script) as (provider, running):
        path, more = FORMS[first]
        one = await post(running.url + path, asked(**more))
        path, more = FORMS[then]
        other = await post(running.url + path, asked(**more))
        third = await post(running.url + path, asked(**more))
    assert len(provider.got) == 1
    assert how(other) == "hit"
    assert text_of(one) == text_of(other) == "four"
    assert third.body == other.body
    tells_usage = then != "chat stream"
    assert (b"1000" in other.body) == tells_usage


async def test_who_asks_does_not_count_but_what_is_asked_does() -> None:
    async with cached(answers(chat_answer())) as (provider, running):
        await post(running.url + CHAT, asked())
        same = await post(running.url + CHAT, asked(user="u", metadata={"a": "b"}))
        other = await post(running.url + CHAT, asked("3+3?"))
        hotter = await post(running.url + CHAT, asked(temperature=0.3))
    assert (how(same), how(other), how(hotter)) == ("hit", "miss", "miss")
    assert len(provider.got) == 3


def truncated(reason: str) -> bytes:
    return chat_answer().replace(b'"stop"', f'"{reason}"'.encode())


NOT_KEPT: dict[str, Script] = {
    "truncated": answers(truncated("length")),
    "filtered": answers(truncated("content_filter")),
    "refused": answers(chat_answer("", refusal="I will not.")),
    "an error": answers(b'{"error":{"message":"no"}}', 400),
    "a fault": answers(b'{"error":{"message":"no"}}', 500),
    "unreadable": answers(b'{"choices":'),
    "a stream cut short": streams(delta("fo")),
    "a stream that fails": streams(delta("fo"), b'data: {"error":{"message":"no"}}\n\n'),
    "a truncated stream": streams(delta("fo"), delta("", "length"), DONE),
    "a stream that refuses": streams(
        event(choices=[{"index": 0, "delta": {"refusal": "I will not."}, "finish_reason": None}]), delta("", "stop"), DONE
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NOT_KEPT)
async def test_what_is_not_whole_and_good_is_never_given_again(case: str) -> None:
    body = asked(stream="stream" in case)
    async with cached(NOT_KEPT[case]) as (provider, running):
        await post(running.url + CHAT, body)
        provider.script = streams(*STREAM) if "stream" in case else answers(chat_answer())
        again = await post(running.url + CHAT, body)
    assert len(provider.got) == 2
    assert how(again) == "miss"
    assert text_of(again) == "four"


async def test_a_stream_whose_caller_leaves_is_never_given_again() -> None:
    async with cached(streams(*STREAM, pause=0.05)) as (provider, running):
        reader, writer = await call(running, asked(stream=True))
        await reader.readuntil(STREAM[0])
        writer.close()
        await asyncio.sleep(0.1)
        assert provider.closed == 1
        again = await post(running.url + CHAT, asked(stream=True))
    assert how(again) == "miss"
    assert len(provider.got) == 2


DIRECTIVES = {
    "no-store": ("bypass", "hit"),
    "no-cache": ("bypass", "hit"),
    "max-age=0, private": ("hit", "hit"),
    "max-age=60": ("hit", "hit"),
    "public": ("hit", "hit"),
}


@pytest.mark.parametrize("given", DIRECTIVES)
async def test_callers_say_whether_a_stored_answer_will_do(given: str) -> None:
    async with cached(answers(chat_answer())) as (provider, running):
        await post(running.url + CHAT, asked())
        provider.script = answers(chat_answer("changed"))
        told = await post(running.url + CHAT, asked(), {"cache-control": given})
        after = await post(running.url + CHAT, asked())
    expected = "miss" if given.startswith("max-age=0") else DIRECTIVES[given][0]
    assert (how(told), how(after)) == (expected, DIRECTIVES[given][1])
    assert text_of(told) == ("four" if expected == "hit" else "changed")
    # no-store leaves what is stored alone; no-cache puts the new answer in its place.
    assert text_of(after) == ("four" if expected == "hit" or given == "no-store" else "changed")


async def test_a_max_age_that_is_no_number_is_refused_by_name() -> None:
    async with cached(answers(chat_answer())) as (provider, running):
        got = await post(running.url + CHAT, asked(), {"cache-control": "max-age=soon"})
    assert got.status == 400
    assert json.loads(got.body)["error"]["param"] == "Cache-Control"
    assert provider.got == []


async def test_no_time_to_live_means_no_cache() -> None:
    async with cached(answers(chat_answer()), CACHE_TTL="0") as (provider, running):
        first = await post(running.url + CHAT, asked())
        await post(running.url + CHAT, asked())
    assert len(provider.got) == 2
    assert how(first) is None


# Joining


def slowly(*pieces: bytes, go: asyncio.Event) -> Script:
    """A stream of which the first piece comes at once and the rest when told."""

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        )
        writer.write(pieces[0])
        await writer.drain()
        await go.wait()
        for piece in pieces[1:]:
            writer.write(piece)
            await writer.drain()

    return script


def when_told(body: bytes, go: asyncio.Event, status: int = 200) -> Script:
    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        await answers(body, status)(got, writer)

    return script


async def soon(calls: int, running: Running, provider: Provider) -> None:
    """Until all of the calls are under way."""
    for _ in range(200):
        await asyncio.sleep(0.01)
        metrics = running.gateway.metrics
        if metrics.in_flight == calls and provider.got:
            return
    raise AssertionError("the calls did not get under way")


async def test_identical_calls_at_once_are_asked_once() -> None:
    go = asyncio.Event()
    async with cached(when_told(chat_answer(), go)) as (provider, running):
        tasks = [asyncio.create_task(post(running.url + CHAT, asked())) for _ in range(50)]
        await soon(len(tasks), running, provider)
        go.set()
        got = await asyncio.gather(*tasks)
    assert len(provider.got) == 1
    assert sorted(str(how(one)) for one in got) == ["joined"] * 49 + ["miss"]
    assert {one.body for one in got} == {chat_answer()}
    assert sum(float(one.headers["x-gateway-cost-usd"]) for one in got) == 0.0035


@pytest.mark.parametrize("then", FORMS)
async def test_a_late_caller_of_any_form_joins_a_stream(then: str) -> None:
    go = asyncio.Event()
    path, more = FORMS[then]
    async with cached(slowly(*STREAM, go=go)) as (provider, running):
        first = asyncio.create_task(post(running.url + CHAT, asked(stream=True)))
        await soon(1, running, provider)
        second = asyncio.create_task(post(running.url + path, asked(**more)))
        await soon(2, running, provider)
        go.set()
        one, other = await asyncio.gather(first, second)
    assert len(provider.got) == 1
    assert (how(one), how(other)) == ("miss", "joined")
    assert text_of(one) == text_of(other) == "four"


async def test_a_late_caller_of_a_stream_gets_at_once_what_has_come_so_far() -> None:
    go = asyncio.Event()
    async with cached(slowly(*STREAM, go=go)) as (provider, running):
        first = asyncio.create_task(post(running.url + CHAT, asked(stream=True)))
        await soon(1, running, provider)
        reader, writer = await call(running, asked(stream=True))
        await reader.readuntil(STREAM[0])
        go.set()
        await reader.readuntil(b"[DONE]")
        writer.close()
        await first
    assert len(provider.got) == 1


async def test_those_who_joined_get_their_answer_though_the_first_caller_leaves() -> None:
    go = asyncio.Event()
    async with cached(slowly(*STREAM, go=go)) as (provider, running):
        reader, writer = await call(running, asked(stream=True))
        await reader.readuntil(STREAM[0])
        second = asyncio.create_task(post(running.url + CHAT, asked(stream=True)))
        await soon(2, running, provider)
        writer.close()
        await asyncio.sleep(0.05)
        assert provider.closed == 0
        go.set()
        other = await second
        assert text_of(other) == "four"
        again = await post(running.url + CHAT, asked(stream=True))
    assert how(again) == "hit"
    assert len(provider.got) == 1
    assert provider.closed == 1


async def test_those_who_wait_for_a_whole_answer_get_it_though_the_first_caller_leaves() -> None:
    go = asyncio.Event()
    async with cached(when_told(chat_answer(), go)) as (provider, running):
        _, writer = await call(running, asked())
        await soon(1, running, provider)
        second = asyncio.create_task(post(running.url + CHAT, asked()))
        await soon(2, running, provider)
        writer.close()
        await asyncio.sleep(0.05)
        assert provider.closed == 0
        go.set()
        other = await second
        again = await post(running.url + CHAT, asked())
    assert (how(other), other.body) == ("joined", chat_answer())
    assert how(again) == "hit"
    assert len(provider.got) == 1


@pytest.mark.parametrize("stream", [True, False])
async def test_when_all_have_left_the_provider_is_let_go(stream: bool) -> None:
    go = asyncio.Event()
    script = slowly(*STREAM, go=go) if stream else when_told(chat_answer(), go)
    async with cached(script) as (provider, running):
        calls = [await call(running, asked(stream=stream)) for _ in range(3)]
        await soon(3, running, provider)
        for number, (_, writer) in enumerate(calls):
            assert provider.closed == 0, number
            writer.close()
            await asyncio.sleep(0.02)
        for _ in range(100):
            if not running.gateway.metrics.in_flight:
                break
            await asyncio.sleep(0.02)
        assert running.gateway.metrics.in_flight == 0
        await asyncio.sleep(0.1)
        go.set()
        await asyncio.sleep(0.1)
        assert provider.closed == 1


async def test_a_failure_is_the_first_callers_own_and_one_of_the_others_asks_again() -> None:
    go = asyncio.Event()
    fails = when_told(b'{"error":{"message":"no"}}', go, 500)

    async with cached(fails) as (provider, running):
        tasks = [asyncio.create_task(post(running.url + CHAT, asked())) for _ in range(20)]
        await soon(len(tasks), running, provider)
        provider.script = answers(chat_answer())
        go.set()
        got = await asyncio.gather(*tasks)
    assert len(provider.got) == 2
    assert sorted(one.status for one in got) == [200] * 19 + [500]
    assert sorted(str(how(one)) for one in got if one.status == 200) == ["joined"] * 18 + ["miss"]


async def test_a_refusal_of_the_question_itself_is_everybodys() -> None:
    go = asyncio.Event()
    refusal = b'{"error":{"message":"no such thing","type":"invalid_request_error","param":"x","code":null}}'
    async with cached(when_told(refusal, go, 400)) as (provider, running):
        tasks = [asyncio.create_task(post(running.url + CHAT, asked())) for _ in range(5)]
        await soon(len(tasks), running, provider)
        go.set()
        got = await asyncio.gather(*tasks)
    assert len(provider.got) == 1
    assert {one.status for one in got} == {400}
    assert all("no such thing" in json.loads(one.body)["error"]["message"] for one in got)


async def test_a_provider_that_keeps_failing_is_asked_twice_however_many_wait() -> None:
    go = asyncio.Event()
    async with cached(when_told(b'{"error":{"message":"no"}}', go, 500)) as (provider, running):
        tasks = [asyncio.create_task(post(running.url + CHAT, asked())) for _ in range(20)]
        await soon(len(tasks), running, provider)
        go.set()
        got = await asyncio.gather(*tasks)
    assert len(provider.got) == 2
    assert {one.status for one in got} == {500}


async def test_a_slow_first_reader_does_not_hold_the_others_up() -> None:
    many = (delta("x" * 2000),) * 300
    async with cached(streams(*many, *STREAM, pause=0.001)) as (provider, running):
        body = asked(stream=True)
        reader, writer = await call(running, body)
        await reader.readline()
        other = await asyncio.wait_for(post(running.url + CHAT, body), 10)
        writer.close()
    assert how(other) == "joined"
    assert text_of(other).endswith("four")
    assert len(provider.got) == 1


# Embeddings


def vector_of(text: str) -> list[float]:
    return [float(len(text)), 0.5]


async def embed(got: Got, writer: asyncio.StreamWriter) -> None:
    texts = json.loads(got.body)["input"]
    texts = [texts] if isinstance(texts, str) else texts
    data = [
        {"object": "embedding", "index": i, "embedding": vector_of(t)} for i, t in enumerate(texts)
    ]
    usage = {"prompt_tokens": 4 * len(texts), "total_tokens": 4 * len(texts)}
    body = json.dumps(
        {"object": "list", "data": data, "model": "text-embedding-3-small", "usage": usage}
    )
    await answers(body.encode())(got, writer)


def texts(*given: str, **more: object) -> bytes:
    return json.dumps({"model": "text-embedding-3-small", "input": given, **more}).encode()


async def test_of_a_batch_only_the_texts_not_known_are_asked_for() -> None:
    async with cached(embed) as (provider, running):
        await post(running.url + EMBEDDINGS, texts("a", "bb"))
        some = await post(running.url + EMBEDDINGS, texts("ccc", "bb", "dddd", "a"))
        all_known = await post(running.url + EMBEDDINGS, texts("dddd", "a"))
        alone = await post(
            running.url + EMBEDDINGS, b'{"model":"text-embedding-3-small","input":"bb"}'
        )
        other = await post(running.url + EMBEDDINGS, texts("a", dimensions=2))
    assert [json.loads(got.body)["input"] for got in provider.got] == [
        ["a", "bb"],
        ["ccc", "dddd"],
        ["a"],
    ]
    assert (how(some), how(all_known), how(alone), how(other)) == ("miss", "hit", "hit", "miss")
    assert "2 of 4 inputs" in some.headers["x-gateway-notes"]
    found = json.loads(some.body)
    assert [one["embedding"] for one in found["data"]] == [
        vector_of(t) for t in ("ccc", "bb", "dddd", "a")
    ]
    assert [one["index"] for one in found["data"]] == [0, 1, 2, 3]
    assert json.loads(all_known.body)["usage"] == {"prompt_tokens": 8, "total_tokens": 8}
    assert float(all_known.headers["x-gateway-cost-usd"]) == 0


async def test_a_failed_batch_is_handed_on_and_nothing_of_it_kept() -> None:
    async with cached(embed) as (provider, running):
        await post(running.url + EMBEDDINGS, texts("a"))
        provider.script = answers(b'{"error":{"message":"no"}}', 429)
        failed = await post(running.url + EMBEDDINGS, texts("a", "bb"))
        provider.script = embed
        again = await post(running.url + EMBEDDINGS, texts("bb"))
    assert failed.status == 429
    assert how(again) == "miss"


# Forgetting

ADMIN = "admin-key-of-this-test-0123456789"


@pytest.mark.parametrize(
    ("which", "answers_gone"),
    [("", 3), ("?model=gpt-4o", 2), ("?model=nobody", 0), ("?tenant=default", 3), ("?tenant=nobody", 0)],
)  # fmt: skip
async def test_what_is_stored_can_be_forgotten(which: str, answers_gone: int) -> None:
    async with cached(answers(chat_answer()), ADMIN_KEY=ADMIN, ACCESS="open") as (_, running):
        for body in (asked(), asked("3+3?"), asked(model="gpt-4o-mini")):
            await post(running.url + CHAT, body)
        purged = await delete(running.url + "/admin/cache" + which, ADMIN)
        again = await post(running.url + CHAT, asked())
    assert (purged.status, json.loads(purged.body)) == (200, {"answers": answers_gone})
    assert how(again) == ("miss" if answers_gone else "hit")


async def test_one_answer_can_be_forgotten_by_its_key() -> None:
    async with cached(answers(chat_answer()), ADMIN_KEY=ADMIN, ACCESS="open") as (_, running):
        await post(running.url + CHAT, asked("3+3?"))
        key = (await post(running.url + CHAT, asked())).headers["x-gateway-cache-key"]
        first = await delete(f"{running.url}/admin/cache/{quote(key)}", ADMIN)
        second = await delete(f"{running.url}/admin/cache/{quote(key)}", ADMIN)
        other = await post(running.url + CHAT, asked("3+3?"))
        again = await post(running.url + CHAT, asked())
    assert (first.status, second.status) == (204, 404)
    assert (how(other), how(again)) == ("hit", "miss")
