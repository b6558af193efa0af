"""Google's own SDK, unmodified, against models of every dialect."""

import base64
from typing import Any

import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from .conftest import Process

# Relayed in Gemini's dialect; translated to Chat, Responses and Messages.
MODELS = ["gemini-2.5-flash", "gpt-4o", "o3-pro", "claude-sonnet-4-5"]
WEATHER = types.FunctionDeclaration(
    name="get_weather",
    description="The weather of a city",
    parameters=types.Schema(
        type=types.Type.OBJECT,
        properties={"city": types.Schema(type=types.Type.STRING, enum=["Oslo", "Rome"])},
        required=["city"],
    ),
)
TOOLS: list[Any] = [types.Tool(function_declarations=[WEATHER])]


@pytest.fixture
def client(gateway: Process) -> genai.Client:
    return genai.Client(
        api_key="any", vertexai=False, http_options=types.HttpOptions(base_url=gateway.url)
    )


@pytest.mark.parametrize("model", MODELS)
def test_a_text_is_answered_with_usage(client: genai.Client, model: str) -> None:
    answer = client.models.generate_content(
        model=model,
        contents="Hello there",
        config=types.GenerateContentConfig(system_instruction="Be brief.", temperature=0.5),
    )
    assert "Hello there" in (answer.text or "")
    assert answer.candidates is not None
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    usage = answer.usage_metadata
    assert usage is not None
    assert usage.total_token_count == (usage.prompt_token_count or 0) + (
        usage.candidates_token_count or 0
    )


@pytest.mark.parametrize("model", MODELS)
def test_a_stream_comes_in_pieces_and_tells_its_usage(client: genai.Client, model: str) -> None:
    chunks = list(client.models.generate_content_stream(model=model, contents="Hello there"))
    assert len(chunks) > 3
    assert "Hello there" in "".join(chunk.text or "" for chunk in chunks)
    last = chunks[-1]
    assert last.candidates is not None
    assert last.candidates[0].finish_reason == types.FinishReason.STOP
    assert last.usage_metadata is not None
    assert last.usage_metadata.total_token_count


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_is_called_and_its_result_is_read(
    client: genai.Client, model: str, streamed: bool
) -> None:
    config = types.GenerateContentConfig(
        tools=TOOLS,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    chat = client.chats.create(model=model, config=config)
    if streamed:
        parts = [
            part
            for chunk in chat.send_message_stream("What is the weather?")
            for part in (chunk.candidates or [])[0].content.parts or []  # type: ignore[union-attr]
        ]
        call = next(part.function_call for part in parts if part.function_call)
    else:
        call = (chat.send_message("What is the weather?").function_calls or [])[0]
    assert (call.name, call.args) == ("get_weather", {"city": "Oslo"})
    again = chat.send_message(
        types.Part(
            function_response=types.FunctionResponse(
                id=call.id, name="get_weather", response={"output": "rain"}
            )
        )
    )
    assert "rain" in (again.text or "")


@pytest.mark.parametrize("model", MODELS)
def test_the_sdk_calls_a_python_function_by_itself(client: genai.Client, model: str) -> None:
    def get_weather(city: str) -> str:
        """The weather of a city."""
        return f"rain on {city}"

    answer = client.models.generate_content(
        model=model,
        contents="What is the weather?",
        config=types.GenerateContentConfig(tools=[get_weather]),
    )
    assert "rain on" in (answer.text or "")


class Person(BaseModel):
    name: str
    age: int


@pytest.mark.parametrize("model", MODELS)
def test_a_structured_answer_is_parsed(client: genai.Client, model: str) -> None:
    answer = client.models.generate_content(
        model=model,
        contents="Who?",
        config=types.GenerateContentConfig(
            response_mime_type="application/json", response_schema=Person
        ),
    )
    assert isinstance(answer.parsed, Person)


@pytest.mark.parametrize("model", MODELS)
def test_images_and_files_arrive(client: genai.Client, model: str) -> None:
    answer = client.models.generate_content(
        model=model,
        contents=[
            "Look",
            types.Part.from_bytes(data=b"\x89PNG not really", mime_type="image/png"),
            types.Part.from_bytes(data=b"%PDF not really", mime_type="application/pdf"),
        ],
    )
    assert "1 image(s)" in (answer.text or "")
    assert "1 document(s)" in (answer.text or "")


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "claude-sonnet-4-5", "o3-pro"])
def test_thoughts_go_back_to_who_thought(client: genai.Client, model: str) -> None:
    config = types.GenerateContentConfig(
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=2000)
    )
    for streamed in (False, True):
        chat = client.chats.create(model=model, config=config)
        if streamed:
            parts = [
                part
                for chunk in chat.send_message_stream("Hello")
                for part in (chunk.candidates or [])[0].content.parts or []  # type: ignore[union-attr]
            ]
        else:
            content = (chat.send_message("Hello").candidates or [])[0].content
            parts = [] if content is None else content.parts or []
        assert any(part.thought for part in parts)
        assert "And?" in (chat.send_message("And?").text or "")


@pytest.mark.parametrize("model", MODELS)
def test_an_answer_cut_for_length_says_so(client: genai.Client, model: str) -> None:
    answer = client.models.generate_content(
        model=model,
        contents="Hello " * 20,
        config=types.GenerateContentConfig(max_output_tokens=16),
    )
    assert (answer.candidates or [])[0].finish_reason == types.FinishReason.MAX_TOKENS


def test_errors_are_the_sdks_own(client: genai.Client) -> None:
    with pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(model="nobody/nothing", contents="Hi")
    assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")
    with pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(
            model="claude-sonnet-4-5",
            contents="Hi",
            config=types.GenerateContentConfig(seed=5),
        )
    assert caught.value.code == 400
    assert "seed" in str(caught.value.details)


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "claude-sonnet-4-5", "gpt-4o"])
def test_tokens_are_counted(client: genai.Client, model: str) -> None:
    assert (client.models.count_tokens(model=model, contents="Hello there").total_tokens or 0) > 0


@pytest.mark.parametrize("model", ["gemini-embedding-001", "text-embedding-3-small"])
def test_texts_become_vectors(client: genai.Client, model: str) -> None:
    found = client.models.embed_content(
        model=model,
        contents=["one", "two"],
        config=types.EmbedContentConfig(output_dimensionality=8),
    )
    assert found.embeddings is not None
    assert [len(each.values or []) for each in found.embeddings] == [8, 8]


def test_models_are_listed(client: genai.Client) -> None:
    names = [model.name for model in client.models.list()]
    assert "models/gemini/gemini-2.5-flash" in names


async def test_the_async_client_streams_as_well(client: genai.Client) -> None:
    stream = await client.aio.models.generate_content_stream(
        model="claude-sonnet-4-5", contents="Hello there"
    )
    texts = [chunk.text or "" async for chunk in stream]
    assert "Hello there" in "".join(texts)


def test_openais_sdk_reaches_geminis_embeddings(gateway: Process) -> None:
    from openai import OpenAI

    client = OpenAI(base_url=f"{gateway.url}/v1", api_key="any")
    for encoding in ("float", "base64"):
        found: Any = client.embeddings.create(
            model="gemini-embedding-001",
            input=["one", "two"],
            dimensions=8,
            encoding_format=encoding,  # type: ignore[arg-type]
        )
        vector = found.data[1].embedding
        assert len(vector if isinstance(vector, list) else base64.b64decode(vector)) in (8, 32)
