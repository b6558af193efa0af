"""Responses that are continued: by the provider that holds them, or from the gateway's own store."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from openai import APIStatusError, AsyncOpenAI, BadRequestError, NotFoundError

from tests.integration.test_files_and_batches import two_tenants
from tests.serving import Got, answers, providing, serving

CLAUDE = "claude-sonnet-4-5"


def messages_answer(text: str) -> bytes:
    return json.dumps(
        {
            "id": "msg_1", "type": "message", "role": "assistant", "model": CLAUDE,
            "content": [{"type": "text", "text": text}], "stop_reason": "end_turn",
            "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1},
        }
    ).encode()  # fmt: skip


class Provider:
    """OpenAI and Anthropic at one address."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []

    async def __call__(self, got: Got, writer: asyncio.StreamWriter) -> None:
        if got.path.endswith("/messages"):
            self.asked.append(json.loads(got.body))
            await answers(messages_answer(f"answer {len(self.asked)}"))(got, writer)
            return
        self.keys.append(f"{got.method} {got.path} {got.headers['authorization']}")
        if got.method == "POST" and got.path == "/v1/responses":
            self.asked.append(json.loads(got.body))
        body = {
            "id": f"resp_{len(self.asked)}", "object": "response", "created_at": 1, "status": "completed",
            "model": "gpt-4o", "output": [], "parallel_tool_calls": True, "tool_choice": "auto",
            "tools": [], "error": None, "incomplete_details": None, "instructions": None,
            "metadata": {}, "temperature": 1.0, "top_p": 1.0,
        }  # fmt: skip
        await answers(json.dumps(body).encode())(got, writer)


def behind(port: int, **more: str) -> dict[str, str]:
    url = f"http://127.0.0.1:{port}/v1"
    return {
        "OPENAI_API_KEY": "sk-one,sk-two,sk-three", "OPENAI_BASE_URL": url,
        "ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": url, **more,
    }  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
async def test_a_translated_conversation_goes_on_from_the_gateways_store(
    tmp_path: Path, stream: bool
) -> None:
    settings = {"DATA_DIR": str(tmp_path)}
    async with serving(settings) as running:
        client = AsyncOpenAI(base_url=f"{running.url}/v1", api_key="any", max_retries=0)
        if stream:
            first_id = ""
            async for event in await client.responses.create(
                model=CLAUDE, input="My name is Ada.", stream=True
            ):
                if event.type == "response.completed":
                    first_id = event.response.id
        else:
            first_id = (await client.responses.create(model=CLAUDE, input="My name is Ada.")).id
        second = await client.responses.create(
            model=CLAUDE, input="What is my name?", previous_response_id=first_id
        )
        assert second.output_text
        kept = await client.responses.retrieve(second.id)
        assert kept.output_text == second.output_text
        items = await client.responses.input_items.list(second.id)
        texts = [json.dumps(item.to_dict()) for item in items.data]
        assert "My name is Ada." in texts[0]
        assert "What is my name?" in texts[-1]
        assert len(texts) == 3
        await client.responses.delete(second.id)
        with pytest.raises(NotFoundError):
            await client.responses.retrieve(second.id)


async def test_the_provider_is_sent_the_whole_conversation_and_may_be_another(
    tmp_path: Path,
) -> None:
    provider = Provider()
    async with providing(provider) as at:
        settings = behind(at.port, DATA_DIR=str(tmp_path))
        async with serving(settings) as running:
            client = AsyncOpenAI(base_url=f"{running.url}/v1", api_key="any", max_retries=0)
            one = await client.responses.create(model=CLAUDE, input="one", instructions="Be brief.")
            two = await client.responses.create(
                model=CLAUDE,
                input=[{"role": "user", "content": "two"}],
                previous_response_id=one.id,
            )
            await client.responses.create(
                model="gpt-4o", input="three", previous_response_id=two.id
            )
        # What was kept survives the process.
        async with serving(settings) as running:
            client = AsyncOpenAI(base_url=f"{running.url}/v1", api_key="any", max_retries=0)
            await client.responses.create(model=CLAUDE, input="four", previous_response_id=two.id)
    texts = [
        [_text(m) for m in asked.get("messages", asked.get("input"))] for asked in provider.asked
    ]
    assert texts == [
        ["one"],
        ["one", "answer 1", "two"],
        ["one", "answer 1", "two", "answer 2", "three"],
        ["one", "answer 1", "two", "answer 2", "four"],
    ]
    assert "previous_response_id" not in provider.asked[2]


def _text(message: dict[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


async def test_what_a_provider_holds_goes_back_to_it_by_the_same_credential(tmp_path: Path) -> None:
    provider = Provider()
    async with (
        providing(provider) as at,
        serving(behind(at.port, DATA_DIR=str(tmp_path))) as running,
    ):
        client = AsyncOpenAI(base_url=f"{running.url}/v1", api_key="any", max_retries=0)
        for number in range(3):
            one = await client.responses.create(model="gpt-4o", input=f"hello {number}")
            await client.responses.create(
                model="gpt-4o", input="on", previous_response_id=one.id, store=False
            )
            await client.responses.retrieve(one.id)
            await client.responses.cancel(one.id)
            await client.responses.input_items.list(one.id)
        with pytest.raises(BadRequestError, match="held by openai"):
            await client.responses.create(model=CLAUDE, input="x", previous_response_id=one.id)
    rounds = [provider.keys[at : at + 5] for at in range(0, 15, 5)]
    for calls in rounds:
        assert len({call.rsplit(" ", 1)[1] for call in calls}) == 1
    assert len({calls[0].rsplit(" ", 1)[1] for calls in rounds}) == 3, "credentials take turns"
    assert provider.asked[1]["previous_response_id"] == "resp_1"


async def test_another_tenants_response_does_not_exist(tmp_path: Path) -> None:
    provider = Provider()
    async with (
        providing(provider) as at,
        two_tenants(tmp_path, **behind(at.port)) as (_, a, b),
    ):
        for model in ("gpt-4o", CLAUDE):
            mine = await a.responses.create(model=model, input="secret")
            count = len(provider.keys) + len(provider.asked)
            for asked in (
                b.responses.retrieve(mine.id),
                b.responses.delete(mine.id),
                b.responses.cancel(mine.id),
                b.responses.create(model=model, input="x", previous_response_id=mine.id),
            ):
                with pytest.raises(NotFoundError):
                    await asked
            assert len(provider.keys) + len(provider.asked) == count
        with pytest.raises(BadRequestError, match="conversation"):
            await b.responses.create(model="gpt-4o", input="x", conversation="conv_theirs")


async def test_what_must_not_be_stored_is_not(tmp_path: Path) -> None:
    for settings, store in (({}, False), ({"RESPONSE_STORE_HOURS": "0"}, True)):
        async with serving({"DATA_DIR": str(tmp_path), **settings}) as running:
            client = AsyncOpenAI(base_url=f"{running.url}/v1", api_key="any", max_retries=0)
            one = await client.responses.create(model=CLAUDE, input="canary-prompt", store=store)
            with pytest.raises(NotFoundError):
                await client.responses.retrieve(one.id)
            with pytest.raises(BadRequestError, match="previous_response_id"):
                await client.responses.create(model=CLAUDE, input="x", previous_response_id=one.id)
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"canary-prompt" not in kept


async def test_a_conversation_grows_no_further_than_a_request_may(tmp_path: Path) -> None:
    settings = {"DATA_DIR": str(tmp_path), "MAX_BODY_BYTES": "20000"}
    async with serving(settings) as running:
        client = AsyncOpenAI(base_url=f"{running.url}/v1", api_key="any", max_retries=0)
        one = await client.responses.create(model=CLAUDE, input="x" * 9000)
        two = await client.responses.create(
            model=CLAUDE, input="y" * 300, previous_response_id=one.id
        )
        with pytest.raises(APIStatusError) as refused:
            await client.responses.create(
                model=CLAUDE, input="z" * 15_000, previous_response_id=two.id
            )
        assert refused.value.status_code == 413
        assert refused.value.code == "conversation_too_large"
