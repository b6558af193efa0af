"""Anthropic's own SDK, unmodified, against a Claude model and an OpenAI model."""

import base64

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic
from pydantic import BaseModel

from .conftest import Process, to_fail

MODELS = ["claude-sonnet-4-5", "gpt-4o"]
PNG = base64.b64encode(b"\x89PNG not really").decode()
PDF = base64.b64encode(b"%PDF not really").decode()
WEATHER = {
    "name": "get_weather",
    "description": "The weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Oslo", "Rome"]}},
        "required": ["city"],
    },
}
CLOCK = {"name": "get_clock", "input_schema": {"type": "object", "properties": {}}}


@pytest.fixture
def client(gateway: Process) -> Anthropic:
    return Anthropic(base_url=gateway.url, api_key="any", max_retries=0)


@pytest.fixture
def async_client(gateway: Process) -> AsyncAnthropic:
    return AsyncAnthropic(base_url=gateway.url, api_key="any", max_retries=0)


def user(text: str) -> list:  # type: ignore[type-arg]
    return [{"role": "user", "content": text}]


def text_of(message) -> str:  # type: ignore[no-untyped-def]
    return "".join(block.text for block in message.content if block.type == "text")


@pytest.mark.parametrize("model", MODELS)
def test_a_message_is_answered_with_usage(client: Anthropic, model: str) -> None:
    message = client.messages.create(
        model=model, max_tokens=100, system="Be brief.", messages=user("Hello there")
    )
    assert "Hello there" in text_of(message)
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0
    assert message.id.startswith("msg_")
    assert message._request_id is not None
    assert message._request_id.startswith("req_")


@pytest.mark.parametrize("model", MODELS)
async def test_a_message_is_answered_asynchronously(
    async_client: AsyncAnthropic, model: str
) -> None:
    message = await async_client.messages.create(model=model, max_tokens=99, messages=user("Hi"))
    assert "Hi" in text_of(message)


@pytest.mark.parametrize("model", MODELS)
def test_a_stream_adds_up_to_the_same_message(client: Anthropic, model: str) -> None:
    whole = client.messages.create(model=model, max_tokens=100, messages=user("Tell me"))
    with client.messages.stream(model=model, max_tokens=100, messages=user("Tell me")) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == text_of(whole) == text_of(final)
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert final.usage.input_tokens == whole.usage.input_tokens


@pytest.mark.parametrize("model", MODELS)
async def test_a_stream_comes_asynchronously(async_client: AsyncAnthropic, model: str) -> None:
    async with async_client.messages.stream(
        model=model, max_tokens=100, messages=user("Tell me")
    ) as stream:
        assert "Tell me" in "".join([text async for text in stream.text_stream])


@pytest.mark.parametrize("model", MODELS)
def test_tools_are_called_and_their_results_understood(client: Anthropic, model: str) -> None:
    messages = user("What is the weather in Oslo?")
    first = client.messages.create(model=model, max_tokens=99, messages=messages, tools=[WEATHER])
    assert first.stop_reason == "tool_use"
    call = next(block for block in first.content if block.type == "tool_use")
    assert call.input == {"city": "Oslo"}
    second = client.messages.create(
        model=model,
        max_tokens=99,
        tools=[WEATHER],
        messages=[
            *messages,
            {"role": "assistant", "content": first.content},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": call.id, "content": "12 degrees"}
                ],
            },
        ],
    )
    assert "12 degrees" in text_of(second)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_parallel_tool_calls_stay_apart(client: Anthropic, model: str, stream: bool) -> None:
    asked = {
        "model": model,
        "max_tokens": 200,
        "messages": user("Call weather and clock in parallel"),
        "tools": [WEATHER, CLOCK],
    }
    if stream:
        with client.messages.stream(**asked) as events:  # type: ignore[arg-type]
            message = events.get_final_message()
    else:
        message = client.messages.create(**asked)  # type: ignore[call-overload]
    calls = [block for block in message.content if block.type == "tool_use"]
    assert [c.name for c in calls] == ["get_weather", "get_clock"]
    assert [c.input for c in calls] == [{"city": "Oslo"}, {}]
    assert len({c.id for c in calls}) == 2


class City(BaseModel):
    name: str
    inhabitants: int


@pytest.mark.parametrize("model", MODELS)
def test_structured_output_is_parsed_by_the_sdk(client: Anthropic, model: str) -> None:
    message = client.messages.parse(
        model=model, max_tokens=200, messages=user("Describe Rome"), output_format=City
    )
    assert isinstance(message.parsed_output, City)


@pytest.mark.parametrize("model", MODELS)
def test_images_and_documents_reach_the_model(client: Anthropic, model: str) -> None:
    message = client.messages.create(
        model=model,
        max_tokens=200,
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look"},
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": PNG},
                    },
                    {
                        "type": "image",
                        "source": {"type": "url", "url": "https://example.org/a.png"},
                    },
                    {
                        "type": "document",
                        "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                    },
                ],
            }
        ],
    )
    assert "2 image(s)" in text_of(message)
    assert "1 document(s)" in text_of(message)


@pytest.mark.parametrize("model", MODELS)
def test_stop_sequences_and_limits_end_an_answer(client: Anthropic, model: str) -> None:
    stopped = client.messages.create(
        model=model, max_tokens=99, messages=user("x"), stop_sequences=["simulator"]
    )
    assert "simulator" not in text_of(stopped)
    assert stopped.stop_reason == ("stop_sequence" if model.startswith("claude") else "end_turn")
    limited = client.messages.create(model=model, max_tokens=3, messages=user("x"))
    assert limited.stop_reason == "max_tokens"


@pytest.mark.parametrize("model", MODELS)
def test_refusals_are_told(client: Anthropic, model: str) -> None:
    message = client.messages.create(model=model, max_tokens=99, messages=user("[[refuse]]"))
    assert message.stop_reason == "refusal"


def test_thinking_keeps_its_signature_over_two_turns(client: Anthropic) -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    with client.messages.stream(
        model="claude-sonnet-4-5",
        max_tokens=2000,
        thinking=thinking,  # type: ignore[arg-type]
        messages=user("Think"),
    ) as stream:
        first = stream.get_final_message()
    assert [block.type for block in first.content] == ["thinking", "text"]
    second = client.messages.create(
        model="claude-sonnet-4-5",
        max_tokens=2000,
        thinking=thinking,  # type: ignore[arg-type]
        messages=[
            *user("Think"),
            {"role": "assistant", "content": first.content},
            *user("Go on"),
        ],
    )
    assert "Go on" in text_of(second)


def test_prompt_cache_marks_pass_and_are_noted_where_they_mean_nothing(client: Anthropic) -> None:
    system = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    for model, noted in (("claude-sonnet-4-5", False), ("gpt-4o", True)):
        raw = client.messages.with_raw_response.create(
            model=model,
            max_tokens=50,
            system=system,  # type: ignore[arg-type]
            messages=user("x"),
        )
        assert ("cache_control" in raw.headers.get("x-gateway-notes", "")) is noted


@pytest.mark.parametrize("model", MODELS)
def test_tokens_are_counted_or_estimated(client: Anthropic, model: str) -> None:
    count = client.messages.count_tokens(model=model, messages=user("Four words of text"))
    assert 3 <= count.input_tokens <= 20


def test_top_k_is_refused_by_name_where_it_cannot_be_said(client: Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="top_k"):
        client.messages.create(
            model="gpt-4o", max_tokens=9, messages=user("x"), extra_body={"top_k": 5}
        )


def test_models_are_listed(client: Anthropic) -> None:
    assert any(model.id.startswith("anthropic/claude-") for model in client.models.list())


def test_errors_are_the_sdks_own_exceptions(client: Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="no model"):
        client.messages.create(model="nothing-like-it", max_tokens=9, messages=user("x"))
    with pytest.raises(anthropic.BadRequestError, match="messages"):
        client.messages.create(model="claude-sonnet-4-5", max_tokens=9, messages=[])
    with pytest.raises(anthropic.BadRequestError, match="temperature"):
        client.messages.create(
            model="claude-sonnet-4-5",
            max_tokens=9,
            messages=user("x"),
            extra_body={"temperature": 3},
        )


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("429", anthropic.RateLimitError),
        ("529", anthropic.InternalServerError),
        ("401", anthropic.InternalServerError),
        ("500", anthropic.InternalServerError),
    ],
)
@pytest.mark.parametrize("model", ["simulator-anthropic/claude-sonnet-4-5", "simulator/gpt-4o"])
def test_a_failing_provider_becomes_the_right_exception(
    client: Anthropic, model: str, kind: str, error: type[anthropic.APIStatusError]
) -> None:
    headers = {"x-simulator-error-rate": "1", "x-simulator-error-kind": kind}
    with pytest.raises(error):
        client.messages.create(
            model=to_fail(model), max_tokens=9, messages=user("x"), extra_headers=headers
        )


@pytest.mark.parametrize("model", ["simulator-anthropic/claude-sonnet-4-5", "simulator/gpt-4o"])
def test_a_stream_that_breaks_off_raises(client: Anthropic, model: str) -> None:
    with (
        pytest.raises(anthropic.APIError),
        client.messages.stream(
            model=to_fail(model),
            max_tokens=99,
            messages=user("x"),
            extra_headers={"x-simulator-cut-after-events": "5"},
        ) as stream,
    ):
        stream.get_final_message()
