"""OpenAI's own SDK, unmodified, by `client.responses`, against models of every dialect."""

import base64
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from .conftest import Process

# Relayed in Responses; translated to Chat, Messages and Gemini.
MODELS = ["gpt-4o", "groq/llama-3.3-70b", "claude-sonnet-4-5", "gemini-2.5-flash"]
PNG = base64.b64encode(b"\x89PNG not really").decode()
PDF = base64.b64encode(b"%PDF not really").decode()
WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Oslo", "Rome"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


@pytest.fixture
def client(gateway: Process) -> OpenAI:
    return OpenAI(base_url=f"{gateway.url}/v1", api_key="any", max_retries=0)


@pytest.mark.parametrize("model", MODELS)
def test_a_text_is_answered_with_usage(client: OpenAI, model: str) -> None:
    answer = client.responses.create(model=model, input="Hello there", instructions="Be brief.")
    assert "Hello there" in answer.output_text
    assert answer.status == "completed"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens > 0


@pytest.mark.parametrize("model", MODELS)
def test_a_stream_has_its_events_in_order_and_numbered(client: OpenAI, model: str) -> None:
    events = list(client.responses.create(model=model, input="Hello there", stream=True))
    assert [e.sequence_number for e in events] == list(range(len(events)))
    kinds = [e.type for e in events]
    order = [kind for i, kind in enumerate(kinds) if i == 0 or kinds[i - 1] != kind]
    assert order == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    last = events[-1]
    assert last.type == "response.completed"
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert last.response.output_text == text
    assert "Hello there" in text


@pytest.mark.parametrize("model", MODELS)
def test_the_sdks_own_stream_helper_gathers_the_answer(client: OpenAI, model: str) -> None:
    with client.responses.stream(model=model, input="Hello there") as stream:
        for _ in stream:
            pass
        assert "Hello there" in stream.get_final_response().output_text


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_is_called_and_its_result_is_read(
    client: OpenAI, model: str, streamed: bool
) -> None:
    asked: list[Any] = [{"role": "user", "content": "What is the weather?"}]
    if streamed:
        with client.responses.stream(model=model, input=asked, tools=[WEATHER]) as stream:
            list(stream)
            answer: Any = stream.get_final_response()
    else:
        answer = client.responses.create(model=model, input=asked, tools=[WEATHER])
    call = next(item for item in answer.output if item.type == "function_call")
    assert (call.name, call.arguments.replace(" ", "")) == ("get_weather", '{"city":"Oslo"}')
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    again = client.responses.create(
        model=model,
        input=[*asked, call.model_dump(exclude={"parsed_arguments"}, exclude_none=True), result],
        tools=[WEATHER],
    )
    assert "rain" in again.output_text


@pytest.mark.parametrize("model", MODELS)
def test_several_tools_are_called_at_once(client: OpenAI, model: str) -> None:
    answer = client.responses.create(
        model=model, input="In parallel: what is the weather?", tools=[WEATHER]
    )
    calls = [item for item in answer.output if item.type == "function_call"]
    assert len({call.call_id for call in calls}) == 2


class Person(BaseModel):
    name: str
    age: int


@pytest.mark.parametrize("model", MODELS)
def test_a_structured_answer_is_parsed(client: OpenAI, model: str) -> None:
    answer = client.responses.parse(model=model, input="Who?", text_format=Person)
    assert isinstance(answer.output_parsed, Person)


@pytest.mark.parametrize("model", MODELS)
def test_images_and_files_arrive(client: OpenAI, model: str) -> None:
    content: list[Any] = [
        {"type": "input_text", "text": "Look"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"},
        {
            "type": "input_file",
            "filename": "a.pdf",
            "file_data": f"data:application/pdf;base64,{PDF}",
        },
    ]
    answer = client.responses.create(model=model, input=[{"role": "user", "content": content}])
    assert "1 image(s)" in answer.output_text
    assert "1 document(s)" in answer.output_text


@pytest.mark.parametrize("model", ["gpt-4o", "claude-sonnet-4-5", "gemini-2.5-flash"])
def test_reasoning_goes_back_to_who_reasoned(client: OpenAI, model: str) -> None:
    asked: list[Any] = [{"role": "user", "content": "Hello"}]
    options: Any = {"reasoning": {"effort": "low", "summary": "auto"}}
    answer = client.responses.create(
        model=model, input=asked, include=["reasoning.encrypted_content"], **options
    )
    assert answer.output[0].type == "reasoning"
    said = [item.model_dump(exclude_none=True) for item in answer.output]
    again = client.responses.create(
        model=model, input=[*asked, *said, {"role": "user", "content": "And?"}], **options
    )
    assert "And?" in again.output_text


@pytest.mark.parametrize("model", MODELS)
def test_an_answer_cut_for_length_is_incomplete(client: OpenAI, model: str) -> None:
    answer = client.responses.create(model=model, input="Hello " * 20, max_output_tokens=16)
    assert answer.status == "incomplete"
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "max_output_tokens"


@pytest.mark.parametrize("model", ["missing-model", "groq/missing-model", "claude-missing-", "x"])
def test_errors_are_the_sdks_own(client: OpenAI, model: str) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.responses.create(model=model, input="Hi", temperature=3)
    assert caught.value.status_code == 400
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="nobody/nothing", input="Hi")


def test_state_that_is_kept_nowhere_is_refused_by_name(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(
            model="claude-sonnet-4-5", input="Hi", previous_response_id="resp_1"
        )
    assert caught.value.param == "previous_response_id"


async def test_the_async_client_streams_as_well(gateway: Process) -> None:
    client = AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="any", max_retries=0)
    stream = await client.responses.create(
        model="claude-sonnet-4-5", input="Hello there", stream=True
    )
    kinds = [event.type async for event in stream]
    assert kinds[-1] == "response.completed"


def test_a_model_that_openai_serves_in_responses_alone_answers_chat_callers(
    client: OpenAI,
) -> None:
    answer = client.chat.completions.create(
        model="o3-pro", messages=[{"role": "user", "content": "Hello there"}]
    )
    assert "Hello there" in (answer.choices[0].message.content or "")
