"""OpenAI's own SDK, unmodified, against an OpenAI model and a Claude model."""

import asyncio
import base64
import time

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from .conftest import Process, to_fail

MODELS = ["gpt-4o", "claude-sonnet-4-5"]
PNG = base64.b64encode(b"\x89PNG not really").decode()
PDF = base64.b64encode(b"%PDF not really").decode()
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Oslo", "Rome"]}},
            "required": ["city"],
        },
    },
}
TIME = {
    "type": "function",
    "function": {"name": "get_clock", "parameters": {"type": "object", "properties": {}}},
}


@pytest.fixture
def client(gateway: Process) -> OpenAI:
    return OpenAI(base_url=f"{gateway.url}/v1", api_key="any", max_retries=0)


@pytest.fixture
def async_client(gateway: Process) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="any", max_retries=0)


def user(text: str) -> list:  # type: ignore[type-arg]
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize("model", MODELS)
def test_a_chat_is_answered_with_usage_and_the_gateways_account(client: OpenAI, model: str) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=model, messages=[{"role": "system", "content": "Be brief."}, *user("Hello there")]
    )
    answer = raw.parse()
    assert "Hello there" in (answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert raw.headers["x-gateway-provider"] in ("openai", "anthropic")
    assert raw.headers["x-gateway-attempts"] == "1"
    assert float(raw.headers["x-gateway-cost-usd"]) > 0
    assert answer.created > 1_600_000_000
    assert answer._request_id == raw.headers["x-request-id"]


@pytest.mark.parametrize("model", MODELS)
async def test_a_chat_is_answered_asynchronously(async_client: AsyncOpenAI, model: str) -> None:
    answer = await async_client.chat.completions.create(model=model, messages=user("Hello"))  # type: ignore[arg-type]
    assert "Hello" in (answer.choices[0].message.content or "")


@pytest.mark.parametrize("usage", [True, False])
@pytest.mark.parametrize("model", MODELS)
def test_a_stream_holds_the_same_text_and_usage_only_if_asked(
    client: OpenAI, model: str, usage: bool
) -> None:
    whole = client.chat.completions.create(model=model, messages=user("Tell me"))  # type: ignore[arg-type]
    options = {"stream_options": {"include_usage": True}} if usage else {}
    chunks = list(
        client.chat.completions.create(
            model=model,
            messages=user("Tell me"),
            stream=True,
            **options,  # type: ignore[arg-type]
        )
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    found = [c.usage for c in chunks if c.usage]
    assert len(found) == (1 if usage else 0)
    if usage:
        assert whole.usage is not None
        assert found[0].completion_tokens == whole.usage.completion_tokens


@pytest.mark.parametrize("model", MODELS)
async def test_a_stream_comes_asynchronously(async_client: AsyncOpenAI, model: str) -> None:
    stream = await async_client.chat.completions.create(
        model=model,
        messages=user("Tell me"),
        stream=True,  # type: ignore[arg-type]
    )
    text = "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])
    assert "Tell me" in text


@pytest.mark.parametrize("model", MODELS)
def test_tools_are_called_and_their_results_understood(client: OpenAI, model: str) -> None:
    messages = user("What is the weather in Oslo?")
    first = client.chat.completions.create(model=model, messages=messages, tools=[WEATHER])  # type: ignore[list-item]
    message = first.choices[0].message
    assert first.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls is not None
    call = message.tool_calls[0]
    assert call.function.arguments == '{"city":"Oslo"}'  # type: ignore[union-attr]
    second = client.chat.completions.create(
        model=model,
        tools=[WEATHER],  # type: ignore[list-item]
        messages=[
            *messages,
            message.model_dump(exclude_none=True),  # type: ignore[list-item]
            {"role": "tool", "tool_call_id": call.id, "content": "12 degrees and rain"},
        ],
    )
    assert "12 degrees and rain" in (second.choices[0].message.content or "")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_parallel_tool_calls_stay_apart(client: OpenAI, model: str, stream: bool) -> None:
    with (
        client.chat.completions.stream(
            model=model,
            messages=user("Call weather and clock in parallel"),  # type: ignore[arg-type]
            tools=[WEATHER, TIME],  # type: ignore[list-item]
        )
        if stream
        else _NoStream() as events
    ):
        if stream:
            message = events.get_final_completion().choices[0].message
        else:
            message = (
                client.chat.completions.create(
                    model=model,
                    messages=user("Call weather and clock in parallel"),  # type: ignore[arg-type]
                    tools=[WEATHER, TIME],  # type: ignore[list-item]
                )
                .choices[0]
                .message
            )
    calls = message.tool_calls or []
    assert [c.function.name for c in calls] == ["get_weather", "get_clock"]
    assert [c.function.arguments for c in calls] == ['{"city":"Oslo"}', "{}"]
    assert len({c.id for c in calls}) == 2


class _NoStream:
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


@pytest.mark.parametrize("model", MODELS)
def test_one_tool_call_at_most_where_parallel_ones_are_off(client: OpenAI, model: str) -> None:
    answer = client.chat.completions.create(
        model=model,
        messages=user("Call weather and clock"),  # type: ignore[arg-type]
        tools=[WEATHER, TIME],  # type: ignore[list-item]
        parallel_tool_calls=False,
        tool_choice="required",
    )
    assert len(answer.choices[0].message.tool_calls or []) == 1


class City(BaseModel):
    name: str
    inhabitants: int
    rivers: list[str]


@pytest.mark.parametrize("model", MODELS)
def test_structured_output_is_parsed_by_the_sdk(client: OpenAI, model: str) -> None:
    answer = client.chat.completions.parse(
        model=model,
        messages=user("Describe Rome"),
        response_format=City,  # type: ignore[arg-type]
    )
    assert isinstance(answer.choices[0].message.parsed, City)


def test_a_model_without_structured_output_is_made_to_give_it_by_a_tool(client: OpenAI) -> None:
    answer = client.chat.completions.parse(
        model="anthropic/claude-3-5-haiku-latest",
        messages=user("Describe Rome"),  # type: ignore[arg-type]
        response_format=City,
    )
    assert isinstance(answer.choices[0].message.parsed, City)
    assert answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("model", MODELS)
def test_images_and_documents_reach_the_model(client: OpenAI, model: str) -> None:
    answer = client.chat.completions.create(
        model=model,
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                    {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
                    {
                        "type": "file",
                        "file": {
                            "filename": "a.pdf",
                            "file_data": f"data:application/pdf;base64,{PDF}",
                        },
                    },
                ],
            }
        ],
    )
    text = answer.choices[0].message.content or ""
    assert "2 image(s)" in text
    assert "1 document(s)" in text


@pytest.mark.parametrize("model", MODELS)
def test_stop_strings_and_limits_end_an_answer(client: OpenAI, model: str) -> None:
    stopped = client.chat.completions.create(
        model=model,
        messages=user("x"),
        stop=["simulator"],  # type: ignore[arg-type]
    ).choices[0]
    assert stopped.finish_reason == "stop"
    assert "simulator" not in (stopped.message.content or "")
    limited = client.chat.completions.create(
        model=model,
        messages=user("x"),
        max_completion_tokens=3,  # type: ignore[arg-type]
    ).choices[0]
    assert limited.finish_reason == "length"


@pytest.mark.parametrize("model", MODELS)
def test_refusals_are_told(client: OpenAI, model: str) -> None:
    choice = client.chat.completions.create(
        model=model,
        messages=user("[[refuse]]"),  # type: ignore[arg-type]
    ).choices[0]
    assert "refuse" in (choice.message.refusal or choice.message.content or "")
    assert choice.message.refusal or choice.finish_reason == "content_filter"


def test_thinking_makes_a_round_trip_through_chat_with_its_signature(client: OpenAI) -> None:
    """The simulator refuses a thinking block whose signature is not its own."""
    first = client.chat.completions.create(
        model="claude-sonnet-4-5",
        messages=user("Think"),
        reasoning_effort="low",  # type: ignore[arg-type]
    )
    message = first.choices[0].message.model_dump(exclude_none=True)
    assert message["reasoning_content"]
    assert message["reasoning_signature"]
    second = client.chat.completions.create(
        model="claude-sonnet-4-5",
        reasoning_effort="low",
        messages=[*user("Think"), message, *user("Go on")],  # type: ignore[list-item]
    )
    assert "Go on" in (second.choices[0].message.content or "")


def test_several_choices_come_from_openai_and_are_refused_by_name_for_claude(
    client: OpenAI,
) -> None:
    answer = client.chat.completions.create(model="gpt-4o", messages=user("x"), n=2)  # type: ignore[arg-type]
    assert len(answer.choices) == 2
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="claude-sonnet-4-5", messages=user("x"), n=2)  # type: ignore[arg-type]
    assert caught.value.param == "n"


@pytest.mark.parametrize("asked", ["float", "base64", None])
def test_embeddings_come_in_every_form(client: OpenAI, asked: str | None) -> None:
    options = {} if asked is None else {"encoding_format": asked}
    answer = client.embeddings.create(
        model="text-embedding-3-small",
        input=["one", "two", "three"],
        dimensions=64,
        **options,  # type: ignore[arg-type]
    )
    assert len(answer.data) == 3
    assert answer.usage.prompt_tokens > 0
    if asked != "base64":
        vector = answer.data[0].embedding
        assert len(vector) == 64
        assert abs(sum(v * v for v in vector) - 1) < 1e-5


def test_models_are_listed_and_found(client: OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert "openai/gpt-4o" in names
    assert any(name.startswith("anthropic/claude-") for name in names)
    assert client.models.retrieve("gpt-4o").owned_by == "openai"


def test_errors_are_the_sdks_own_exceptions(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="gpt-4o"):
        client.chat.completions.create(model="gpt4o", messages=user("x"))  # type: ignore[arg-type]
    with pytest.raises(openai.NotFoundError, match="XAI_API_KEY"):
        client.chat.completions.create(model="xai/grok-4", messages=user("x"))  # type: ignore[arg-type]
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="gpt-4o", messages="hello")  # type: ignore[call-overload]
    assert caught.value.param == "messages"
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="openai/missing-1", messages=user("x"))  # type: ignore[arg-type]
    assert missing.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("kind", "error", "status"),
    [
        ("429", openai.RateLimitError, 429),
        ("500", openai.InternalServerError, 500),
        ("503", openai.InternalServerError, 503),
        ("401", openai.InternalServerError, 502),
        ("403", openai.InternalServerError, 502),
        ("html", openai.InternalServerError, 502),
        ("reset", openai.InternalServerError, 502),
    ],
)
@pytest.mark.parametrize("model", ["simulator/gpt-4o", "simulator-anthropic/claude-sonnet-4-5"])
def test_a_failing_provider_becomes_the_right_exception(
    client: OpenAI, model: str, kind: str, error: type[openai.APIStatusError], status: int
) -> None:
    headers = {
        "x-simulator-error-rate": "1",
        "x-simulator-error-kind": kind,
        "x-simulator-retry-after": "2",
    }
    with pytest.raises(error) as caught:
        client.chat.completions.create(
            model=to_fail(model),
            messages=user("x"),  # type: ignore[arg-type]
            extra_headers=headers,
        )
    assert caught.value.status_code == status
    if kind == "429":
        assert caught.value.response.headers["retry-after"] == "2"


def test_a_stream_that_breaks_off_raises(client: OpenAI) -> None:
    for model in ("simulator/gpt-4o", "simulator-anthropic/claude-sonnet-4-5"):
        with pytest.raises(openai.APIError) as caught:
            for _ in client.chat.completions.create(
                model=to_fail(model),
                messages=user("x"),  # type: ignore[arg-type]
                stream=True,
                extra_headers={"x-simulator-cut-after-events": "5"},
            ):
                pass
        assert caught.value.code in ("stream_cut", "upstream_reset")


def test_a_callers_time_limit_is_kept(client: OpenAI) -> None:
    started = time.monotonic()
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(
            model=to_fail("simulator/gpt-4o"),
            messages=user("x"),  # type: ignore[arg-type]
            extra_headers={"x-simulator-first-token-ms": "5000", "x-gateway-timeout-ms": "200"},
        )
    assert caught.value.status_code == 504
    assert time.monotonic() - started < 2


def test_the_sdks_own_time_out_works(client: OpenAI) -> None:
    with pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(
            model=to_fail("simulator/gpt-4o"),
            messages=user("x"),  # type: ignore[arg-type]
            timeout=0.2,
            extra_headers={"x-simulator-first-token-ms": "3000"},
        )


async def test_leaving_in_mid_stream_cancels_the_call(
    async_client: AsyncOpenAI, gateway: Process
) -> None:
    stream = await async_client.chat.completions.create(
        model="simulator/gpt-4o",
        messages=user("x"),  # type: ignore[arg-type]
        stream=True,
        extra_headers={
            "x-simulator-answer-tokens": "500",
            "x-simulator-tokens-per-second": "50",
            "x-request-id": "leaving-early",
        },
    )
    async for _ in stream:
        break
    await stream.close()
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        lines = [line for line in gateway.lines() if line.get("request_id") == "leaving-early"]
        if lines:
            assert lines[0]["error"] == "cancelled"
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the call was not settled within two seconds")
