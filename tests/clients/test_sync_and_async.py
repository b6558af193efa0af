"""What an application does all day, by both official SDKs, by their synchronous and asynchronous
clients, on both providers."""

import asyncio
import inspect
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import anthropic
import openai
import pytest
from anthropic import Anthropic, AsyncAnthropic
from openai import AsyncOpenAI, OpenAI

from . import test_anthropic as messages
from . import test_openai as chat
from .conftest import Process, to_fail

PROVIDERS = {"openai": "gpt-4o", "anthropic": "claude-sonnet-4-5"}
SIMULATED = {"openai": "simulator/gpt-4o", "anthropic": "simulator-anthropic/claude-sonnet-4-5"}

both_providers = pytest.mark.parametrize("provider", PROVIDERS)


@pytest.fixture(params=["sync", "async"])
def by_openai(request: pytest.FixtureRequest, gateway: Process) -> Any:
    made = OpenAI if request.param == "sync" else AsyncOpenAI
    return made(base_url=f"{gateway.url}/v1", api_key="any", max_retries=0)


@pytest.fixture(params=["sync", "async"])
def by_anthropic(request: pytest.FixtureRequest, gateway: Process) -> Any:
    made = Anthropic if request.param == "sync" else AsyncAnthropic
    return made(base_url=gateway.url, api_key="any", max_retries=0)


async def done(given: Any) -> Any:
    """What either client gives: at once, or once awaited."""
    return await given if inspect.isawaitable(given) else given


async def pieces(stream: Any) -> AsyncIterator[Any]:
    if hasattr(stream, "__aiter__"):
        async for piece in stream:
            yield piece
    else:
        for piece in stream:
            yield piece


async def settled(gateway: Process, request_id: str) -> dict[str, object]:
    """The call's line in the log."""
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        for line in gateway.lines():
            if line.get("request_id") == request_id:
                return line
        await asyncio.sleep(0.05)
    raise AssertionError("the call was not settled within three seconds")


@both_providers
async def test_chat_and_stream_say_the_same(by_openai: Any, provider: str) -> None:
    asked: dict[str, Any] = {"model": PROVIDERS[provider], "messages": chat.user("Tell me")}
    whole = await done(by_openai.chat.completions.create(**asked))
    stream = await done(by_openai.chat.completions.create(**asked, stream=True))
    text = [c.choices[0].delta.content or "" async for c in pieces(stream) if c.choices]
    assert "".join(text) == whole.choices[0].message.content


@both_providers
async def test_messages_and_stream_say_the_same(by_anthropic: Any, provider: str) -> None:
    asked: dict[str, Any] = {"model": PROVIDERS[provider], "messages": messages.user("Tell me")}
    whole = await done(by_anthropic.messages.create(**asked, max_tokens=99))
    stream = await done(by_anthropic.messages.create(**asked, max_tokens=99, stream=True))
    text = [e.delta.text async for e in pieces(stream) if e.type == "content_block_delta"]
    assert "".join(text) == messages.text_of(whole)


@both_providers
async def test_chats_tools_are_called_in_parallel_and_answered(
    by_openai: Any, provider: str
) -> None:
    asked = chat.user("Call weather and clock in parallel")
    tools = [chat.WEATHER, chat.TIME]
    create, model = by_openai.chat.completions.create, PROVIDERS[provider]
    first = await done(create(model=model, messages=asked, tools=tools))
    message = first.choices[0].message
    assert [c.function.name for c in message.tool_calls] == ["get_weather", "get_clock"]
    results = [
        {"role": "tool", "tool_call_id": c.id, "content": f"said {c.function.name}"}
        for c in message.tool_calls
    ]
    history = [*asked, message.model_dump(exclude_none=True), *results]
    second = await done(create(model=model, messages=history, tools=tools))
    assert "said get_weather; said get_clock" in second.choices[0].message.content


@both_providers
async def test_messages_tools_are_called_in_parallel_and_answered(
    by_anthropic: Any, provider: str
) -> None:
    asked = messages.user("Call weather and clock in parallel")
    given = {"model": PROVIDERS[provider], "max_tokens": 99}
    tools = [messages.WEATHER, messages.CLOCK]
    first = await done(by_anthropic.messages.create(**given, messages=asked, tools=tools))
    calls = [block for block in first.content if block.type == "tool_use"]
    assert [c.name for c in calls] == ["get_weather", "get_clock"]
    results = [
        {"type": "tool_result", "tool_use_id": c.id, "content": f"said {c.name}"} for c in calls
    ]
    history = [
        *asked,
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": results},
    ]
    second = await done(by_anthropic.messages.create(**given, messages=history, tools=tools))
    assert "said get_weather; said get_clock" in messages.text_of(second)


@both_providers
async def test_structured_output_is_parsed(
    by_openai: Any, by_anthropic: Any, provider: str
) -> None:
    model = PROVIDERS[provider]
    answer = await done(
        by_openai.chat.completions.parse(
            model=model, messages=chat.user("Describe Rome"), response_format=chat.City
        )
    )
    assert isinstance(answer.choices[0].message.parsed, chat.City)
    message = await done(
        by_anthropic.messages.parse(
            model=model,
            max_tokens=99,
            messages=messages.user("Describe Rome"),
            output_format=messages.City,
        )
    )
    assert isinstance(message.parsed_output, messages.City)


@both_providers
async def test_images_are_seen(by_openai: Any, by_anthropic: Any, provider: str) -> None:
    model = PROVIDERS[provider]
    url = {"url": f"data:image/png;base64,{chat.PNG}"}
    content: list[Any] = [{"type": "image_url", "image_url": url}, {"type": "text", "text": "Look"}]
    answer = await done(
        by_openai.chat.completions.create(
            model=model, messages=[{"role": "user", "content": content}]
        )
    )
    assert "1 image(s)" in answer.choices[0].message.content
    source = {"type": "base64", "media_type": "image/png", "data": messages.PNG}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "Look"}]
    message = await done(
        by_anthropic.messages.create(
            model=model, max_tokens=99, messages=[{"role": "user", "content": content}]
        )
    )
    assert "1 image(s)" in messages.text_of(message)


async def test_embeddings_are_given_in_batches_and_sizes(by_openai: Any) -> None:
    for form in ("float", "base64"):
        answer = await done(
            by_openai.embeddings.create(
                model="text-embedding-3-small",
                input=["one", "two"],
                dimensions=32,
                encoding_format=form,
            )
        )
        assert len(answer.data) == 2
    # Unless told otherwise the SDK asks for base64 and unpacks it.
    answer = await done(
        by_openai.embeddings.create(model="text-embedding-3-small", input="one", dimensions=32)
    )
    assert len(answer.data[0].embedding) == 32


@both_providers
@pytest.mark.parametrize("kind", ["429", "500"])
async def test_a_failing_provider_raises(
    by_openai: Any, by_anthropic: Any, provider: str, kind: str
) -> None:
    headers = {"x-simulator-error-rate": "1", "x-simulator-error-kind": kind}
    model = to_fail(SIMULATED[provider])
    error = {"429": "RateLimitError", "500": "InternalServerError"}[kind]
    with pytest.raises(getattr(openai, error)):
        await done(
            by_openai.chat.completions.create(
                model=model, messages=chat.user("x"), extra_headers=headers
            )
        )
    with pytest.raises(getattr(anthropic, error)):
        await done(
            by_anthropic.messages.create(
                model=model, max_tokens=9, messages=messages.user("x"), extra_headers=headers
            )
        )


@both_providers
async def test_time_outs_are_the_gateways_or_the_sdks_own(
    by_openai: Any, by_anthropic: Any, provider: str
) -> None:
    model, asked = to_fail(SIMULATED[provider]), chat.user("x")
    slow = {"x-simulator-first-token-ms": "3000"}
    limited = {**slow, "x-gateway-timeout-ms": "150"}
    create = by_openai.chat.completions.create
    with pytest.raises(openai.InternalServerError) as told:
        await done(create(model=model, messages=asked, extra_headers=limited))
    assert told.value.status_code == 504
    with pytest.raises(openai.APITimeoutError):
        await done(create(model=model, messages=asked, extra_headers=slow, timeout=0.15))
    given = {"model": model, "max_tokens": 9, "messages": asked}
    with pytest.raises(anthropic.InternalServerError) as warned:
        await done(by_anthropic.messages.create(**given, extra_headers=limited))
    assert warned.value.status_code == 504
    with pytest.raises(anthropic.APITimeoutError):
        await done(by_anthropic.messages.create(**given, extra_headers=slow, timeout=0.15))


@both_providers
async def test_leaving_in_mid_stream_ends_the_call(
    by_openai: Any, by_anthropic: Any, provider: str, gateway: Process
) -> None:
    for create, more in (
        (by_openai.chat.completions.create, {}),
        (by_anthropic.messages.create, {"max_tokens": 9000}),
    ):
        request_id = f"leaving-{uuid4()}"
        stream = await done(
            create(
                model=SIMULATED[provider],
                messages=chat.user("x"),
                stream=True,
                extra_headers={
                    "x-simulator-answer-tokens": "500",
                    "x-simulator-tokens-per-second": "50",
                    "x-request-id": request_id,
                },
                **more,
            )
        )
        async for _ in pieces(stream):
            break
        await done(stream.close())
        line = await settled(gateway, request_id)
        assert line["error"] == "cancelled"
