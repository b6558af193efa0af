"""Files and batches: at a provider, shared by tenants who must not see each other; and the gateway's own."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError

from ai_gateway.pipeline import Pipeline
from tests.serving import Got, Running, answers, ask, in_front_of, post, providing, serving

KEYS = """
keys:
  a: {key: 'env:KEY_A', tenant: acme}
  b: {key: 'env:KEY_B', tenant: other}
"""
A, B = "sk-gw-aaaaaaaaaaaaaaaaaaaaaaaa", "sk-gw-bbbbbbbbbbbbbbbbbbbbbbbb"


@asynccontextmanager
async def two_tenants(
    tmp_path: Path, **environ: str
) -> AsyncGenerator[tuple[Running, AsyncOpenAI, AsyncOpenAI], None]:
    config = tmp_path / "gateway.yaml"
    config.write_text(KEYS)
    settings = {"KEY_A": A, "KEY_B": B, "DATA_DIR": str(tmp_path / "data"), **environ}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KEY_A", A)
        patch.setenv("KEY_B", B)
        async with serving(settings, config) as running:
            url = f"{running.url}/v1"
            async with (
                AsyncOpenAI(base_url=url, api_key=A, max_retries=0) as a,
                AsyncOpenAI(base_url=url, api_key=B, max_retries=0) as b,
            ):
                yield running, a, b


def lines(*bodies: dict[str, Any], url: str = "/v1/chat/completions") -> bytes:
    return b"\n".join(
        json.dumps({"custom_id": f"c{at}", "method": "POST", "url": url, "body": body}).encode()
        for at, body in enumerate(bodies)
    )


def chat(text: str, model: str = "gpt-4o") -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}]}


async def ended(client: AsyncOpenAI, id: str, seconds: float = 20) -> Any:
    async with asyncio.timeout(seconds):
        while True:
            batch = await client.batches.retrieve(id)
            if batch.status in ("completed", "failed", "cancelled", "expired"):
                return batch
            await asyncio.sleep(0.05)


async def test_a_batch_is_run_by_the_gateway_and_its_results_are_a_file(tmp_path: Path) -> None:
    async with two_tenants(tmp_path) as (_, a, _b):
        bodies = [chat(f"question {at}") for at in range(30)] + [{"model": "gpt-4o"}]
        file = await a.files.create(file=("in.jsonl", lines(*bodies)), purpose="batch")
        batch = await a.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h",
            metadata={"team": "search"},
        )  # fmt: skip
        done = await ended(a, batch.id)
        assert done.status == "completed"
        assert done.metadata == {"team": "search"}
        assert done.request_counts is not None
        assert (done.request_counts.total, done.request_counts.completed) == (31, 30)
        assert done.request_counts.failed == 1
        good = (await a.files.content(done.output_file_id)).text.splitlines()
        bad = (await a.files.content(done.error_file_id)).text.splitlines()
        results = {r["custom_id"]: r for r in map(json.loads, good)}
        assert len(results) == 30
        answer = results["c7"]["response"]
        assert answer["status_code"] == 200
        assert "question 7" in answer["body"]["choices"][0]["message"]["content"]
        (failed,) = map(json.loads, bad)
        assert failed["custom_id"] == "c30"
        assert failed["response"]["status_code"] == 400
        names = {f.filename for f in (await a.files.list()).data}
        assert "in.jsonl" in names
        assert {b.id for b in (await a.batches.list()).data} == {batch.id}
        assert (await a.files.delete(file.id)).deleted
        with pytest.raises(NotFoundError):
            await a.files.retrieve(file.id)


async def test_another_tenants_files_and_batches_do_not_exist(tmp_path: Path) -> None:
    async with two_tenants(tmp_path) as (_, a, b):
        file = await a.files.create(file=("in.jsonl", lines(chat("x"))), purpose="batch")
        batch = await a.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        for asked in (
            b.files.retrieve(file.id),
            b.files.content(file.id),
            b.files.delete(file.id),
            b.batches.retrieve(batch.id),
            b.batches.cancel(batch.id),
            b.batches.create(
                input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
            ),
        ):
            with pytest.raises(NotFoundError):
                await asked  # type: ignore[misc]
        assert (await b.files.list()).data == []
        assert (await b.batches.list()).data == []
        await ended(a, batch.id)


async def test_any_dialect_may_be_asked_in_a_batch(tmp_path: Path) -> None:
    body = {"model": "gpt-4o", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    async with two_tenants(tmp_path) as (_, a, _b):
        file = await a.files.create(
            file=("in.jsonl", lines(body, url="/v1/messages")), purpose="batch"
        )
        batch = await a.batches.create(
            input_file_id=file.id,
            endpoint="/v1/messages",
            completion_window="24h",  # type: ignore[arg-type]
        )
        done = await ended(a, batch.id)
        (line,) = (await a.files.content(done.output_file_id)).text.splitlines()
        assert json.loads(line)["response"]["body"]["type"] == "message"


BAD = [
    (b"", "empty_file"),
    (b"{", "invalid_line"),
    (lines(chat("x"), url="/v1/embeddings"), "invalid_line"),
    (lines(chat("x")) + b"\n" + lines(chat("y")), "invalid_line"),
    (lines({**chat("x"), "stream": True}), "invalid_line"),
]


@pytest.mark.parametrize(("content", "code"), BAD)
async def test_a_file_that_is_no_batch_fails_it_and_says_which_line(
    tmp_path: Path, content: bytes, code: str
) -> None:
    async with two_tenants(tmp_path) as (_, a, _b):
        file = await a.files.create(file=("in.jsonl", content), purpose="batch")
        batch = await a.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        done = await ended(a, batch.id)
        assert done.status == "failed"
        assert done.errors.data[0].code == code
        with pytest.raises(BadRequestError):
            await a.batches.create(
                input_file_id=file.id,
                endpoint="/v1/nothing",
                completion_window="24h",  # type: ignore[arg-type]
            )


async def test_a_batch_goes_on_after_a_restart_without_asking_twice_what_was_answered(
    tmp_path: Path,
) -> None:
    asked: list[str] = []

    async def slow(got: Got, writer: asyncio.StreamWriter) -> None:
        asked.append(json.loads(got.body)["messages"][0]["content"])
        await asyncio.sleep(0.05)
        await answers(json.dumps(ANSWER).encode())(got, writer)

    async with providing(slow) as provider:
        environ = in_front_of(provider)
        async with two_tenants(tmp_path, **environ) as (running, a, _b):
            held = {"x-gateway-provider": "gateway"}
            file = await a.files.create(
                file=("in.jsonl", lines(*(chat(f"q{at}") for at in range(60)))),
                purpose="batch", extra_headers=held,
            )  # fmt: skip
            batch = await a.batches.create(
                input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
            )
            async with asyncio.timeout(10):
                while len(asked) < 20:
                    await asyncio.sleep(0.01)
            assert running
        before = len(asked)
        assert before < 60
        async with two_tenants(tmp_path, **environ) as (_, a, _b):
            done = await ended(a, batch.id)
            assert (done.status, done.request_counts.completed) == ("completed", 60)
            text = (await a.files.content(done.output_file_id)).text
        assert len({json.loads(line)["custom_id"] for line in text.splitlines()}) == 60
        # Only what was under way when it stopped is asked again: at most the eight at once.
        assert len(asked) <= 60 + 8


ANSWER = {
    "id": "c", "object": "chat.completion", "created": 1, "model": "gpt-4o",
    "choices": [{"index": 0, "finish_reason": "stop",
                 "message": {"role": "assistant", "content": "yes"}}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}  # fmt: skip


async def test_a_batch_is_held_to_its_callers_limits_and_can_be_cancelled(tmp_path: Path) -> None:
    limits = {"RATE_LIMIT_CAPACITY": "10", "RATE_LIMIT_REFILL_RATE": "0.01"}
    async with two_tenants(tmp_path, **limits) as (_, a, _b):
        file = await a.files.create(
            file=("in.jsonl", lines(*(chat(f"q{at}") for at in range(40)))), purpose="batch"
        )
        batch = await a.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        await asyncio.sleep(1.5)
        under_way = await a.batches.retrieve(batch.id)
        assert under_way.status == "in_progress"
        assert under_way.request_counts is not None
        assert under_way.request_counts.completed == 10
        assert (await a.batches.cancel(batch.id)).status == "cancelling"
        done = await ended(a, batch.id)
        assert done.status == "cancelled"
        assert len((await a.files.content(done.output_file_id)).text.splitlines()) == 10


async def test_a_providers_files_are_told_apart_by_tenant(tmp_path: Path) -> None:
    async def openai(got: Got, writer: asyncio.StreamWriter) -> None:
        if got.method == "GET" and got.path == "/v1/files":
            body = {"object": "list", "has_more": False,
                    "data": [{"id": i, "object": "file"} for i in ("file-1", "file-theirs")]}  # fmt: skip
        elif got.path == "/v1/batches":
            body = {"id": "batch_1", "object": "batch", "status": "validating",
                    "input_file_id": "file-1"}  # fmt: skip
        elif got.path.startswith("/v1/batches/"):
            body = {"id": "batch_1", "object": "batch", "status": "completed",
                    "output_file_id": "file-out"}  # fmt: skip
        elif got.path.endswith("/content"):
            await answers(b"the content", content_type="application/octet-stream")(got, writer)
            return
        else:
            body = {"id": "file-1", "object": "file", "filename": "x", "purpose": "batch"}
        await answers(json.dumps(body).encode())(got, writer)

    async with (
        providing(openai) as provider,
        two_tenants(tmp_path, **in_front_of(provider)) as (_, a, b),
    ):
        file = await a.files.create(file=("in.jsonl", b"{}"), purpose="batch")
        assert file.id == "file-1"
        assert [f.id for f in (await a.files.list()).data] == ["file-1"]
        assert (await b.files.list()).data == []
        assert (await a.files.content("file-1")).text == "the content"
        batch = await a.batches.create(
            input_file_id="file-1", endpoint="/v1/chat/completions", completion_window="24h"
        )
        with pytest.raises(NotFoundError):
            await a.files.content("file-out")
        assert (await a.batches.retrieve(batch.id)).output_file_id == "file-out"
        assert (await a.files.content("file-out")).text == "the content"
        count = len(provider.got)
        for asked in (
            b.files.content("file-1"),
            b.files.content("file-out"),
            b.files.delete("file-1"),
            b.batches.retrieve("batch_1"),
        ):
            with pytest.raises(NotFoundError):
                await asked  # type: ignore[misc]
        assert len(provider.got) == count, "nothing of it reached the provider"


async def test_ids_cannot_climb_out_of_the_shelf(tmp_path: Path) -> None:
    async with two_tenants(tmp_path) as (running, _a, _b):
        for id in ("..%2f..%2fgateway.db", "file-gw-" + "0" * 32, "x" * 5000):
            got = await post(
                f"{running.url}/v1/batches",
                json.dumps({"input_file_id": id, "endpoint": "/v1/chat/completions"}).encode(),
                {"authorization": f"Bearer {A}"},
            )
            assert got.status == 404


ADMIN = "admin-key-for-tests-of-batches"


async def test_a_batch_stops_when_its_key_is_revoked_and_says_so(
    tmp_path: Path, database: dict[str, str]
) -> None:
    gone = asyncio.Event()
    asked_after = 0

    async def slow(got: Got, writer: asyncio.StreamWriter) -> None:
        nonlocal asked_after
        asked_after += gone.is_set()
        await asyncio.sleep(0.1)
        await answers(json.dumps(ANSWER).encode())(got, writer)

    async with (
        providing(slow) as provider,
        serving({**in_front_of(provider), "ADMIN_KEY": ADMIN, **database}) as running,
    ):
        issued = json.loads(
            (await ask("POST", running.url + "/admin/keys", {"name": "x"}, ADMIN)).body
        )
        other = json.loads(
            (await ask("POST", running.url + "/admin/keys", {"name": "y"}, ADMIN)).body
        )
        url = f"{running.url}/v1"
        async with AsyncOpenAI(base_url=url, api_key=issued["key"], max_retries=0) as client:
            file = await client.files.create(
                file=("in.jsonl", lines(*(chat(f"q{at}") for at in range(400)))),
                purpose="batch", extra_headers={"x-gateway-provider": "gateway"},
            )  # fmt: skip
            batch = await client.batches.create(
                input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
            )
            while len(provider.got) < 20:
                await asyncio.sleep(0.01)
        key = issued["details"]["id"]
        assert (await ask("DELETE", f"{running.url}/admin/keys/{key}", None, ADMIN)).status == 204
        await asyncio.sleep(1.5)
        gone.set()
        async with AsyncOpenAI(base_url=url, api_key=other["key"], max_retries=0) as client:
            done = await ended(client, batch.id)
            assert done.status == "failed"
            assert [error.code for error in done.errors.data] == ["key_not_valid"]
            counts = done.request_counts
            assert (counts.total, counts.completed > 0, counts.completed < 400) == (400, True, True)
            kept = (await client.files.content(done.output_file_id)).text.splitlines()
            assert len(kept) == counts.completed
    assert asked_after == 0


async def test_an_answer_on_many_lines_is_one_line_of_the_results(tmp_path: Path) -> None:
    pretty = json.dumps(ANSWER, indent=2).encode()
    async with (
        providing(answers(pretty)) as provider,
        two_tenants(tmp_path, **in_front_of(provider)) as (_, a, _b),
    ):
        file = await a.files.create(
            file=("in.jsonl", lines(chat("x"), chat("y"))), purpose="batch",
            extra_headers={"x-gateway-provider": "gateway"},
        )  # fmt: skip
        batch = await a.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        done = await ended(a, batch.id)
        results = (await a.files.content(done.output_file_id)).text.splitlines()
        assert [json.loads(line)["response"]["body"] for line in results] == [ANSWER, ANSWER]


async def test_a_cancellation_is_not_lost_to_whoever_writes_down_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ai_gateway.holdings.runner._WATCH_SECONDS", 0.0)

    async def slow(got: Got, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        await answers(json.dumps(ANSWER).encode())(got, writer)

    async with (
        providing(slow) as provider,
        two_tenants(tmp_path, **in_front_of(provider)) as (_, a, _b),
    ):
        for _ in range(4):
            file = await a.files.create(
                file=("in.jsonl", lines(*(chat(f"q{at}") for at in range(200)))), purpose="batch",
                extra_headers={"x-gateway-provider": "gateway"},
            )  # fmt: skip
            batch = await a.batches.create(
                input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
            )
            await asyncio.sleep(0.1)
            assert (await a.batches.cancel(batch.id)).status == "cancelling"
            assert (await ended(a, batch.id)).status == "cancelled"


async def test_a_line_that_fails_of_the_gateways_own_fault_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Pipeline.run

    async def faulty(self: Pipeline, request: Any, *more: Any) -> Any:
        if b"poison" in request.body:
            raise ZeroDivisionError
        return await whole(self, request, *more)

    monkeypatch.setattr(Pipeline, "run", faulty)
    async with two_tenants(tmp_path) as (_, a, _b):
        file = await a.files.create(
            file=("in.jsonl", lines(chat("good"), chat("poison"), chat("fine"))), purpose="batch"
        )
        batch = await a.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        done = await ended(a, batch.id)
        assert (done.status, done.request_counts.completed) == ("completed", 2)
        (bad,) = (await a.files.content(done.error_file_id)).text.splitlines()
        assert json.loads(bad)["error"]["code"] == "internal_error"


async def test_long_lists_come_in_pages(tmp_path: Path) -> None:
    async with two_tenants(tmp_path) as (running, a, b):
        made = [(await a.files.create(file=(f"{n}", b"x"), purpose="batch")).id for n in range(7)]
        await b.files.create(file=("theirs", b"x"), purpose="batch")
        paged = [file.id async for file in a.files.list(limit=3)]
        assert sorted(paged) == sorted(made)
        first = await a.files.list(limit=3)
        assert (len(first.data), first.has_more) == (3, True)
        assert [f.id for f in (await a.files.list(after=paged[5], limit=3)).data] == paged[6:]
        for wrong, status in (("limit=0", 400), ("limit=x", 400), ("after=file-gw-none", 404)):
            got = await ask("GET", f"{running.url}/v1/files?{wrong}", None, A)
            assert got.status == status, wrong


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"--x\r\n"),
        ("multipart/form-data; boundary=x", b"nothing of the kind"),
        ("multipart/form-data; boundary=x", b"--x\r\nbad header\r\n\r\n--x--"),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\ncontent-disposition: form-data; name=file\r\n",
        ),
        ("application/x-www-form-urlencoded", b"file=1&purpose=2"),
        ("text/plain", b"file"),
    ],
)
async def test_a_form_that_cannot_be_read_is_the_callers_fault(
    tmp_path: Path, content_type: str, body: bytes
) -> None:
    async with two_tenants(tmp_path) as (running, _a, _b):
        headers = {"authorization": f"Bearer {A}", "content-type": content_type}
        got = await post(f"{running.url}/v1/files", body, headers)
        assert got.status == 400, got.body
        assert json.loads(got.body)["error"]["type"] == "invalid_request_error"
