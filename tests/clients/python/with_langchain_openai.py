"""langchain-openai, unmodified: Chat and Responses, structured answers, tools, embeddings, errors."""

import json
import sys

import openai
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

base_url, model = sys.argv[1:]


class City(BaseModel):
    """A city."""

    name: str
    people: int


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


def client(name: str = model, **more: object) -> ChatOpenAI:
    return ChatOpenAI(model=name, base_url=f"{base_url}/v1", api_key="any", max_retries=0, **more)


chat = client()
whole = chat.invoke("Hello from LangChain")
chunks = list(chat.stream("Hello from LangChain", stream_usage=True))
streamed = sum(chunks[1:], chunks[0])

asked = [HumanMessage("What is the weather in Oslo?")]
called = chat.bind_tools([get_weather]).invoke(asked)
call = called.tool_calls[0]
result = ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])
after = chat.bind_tools([get_weather]).invoke([*asked, called, result])

try:
    client("missing-model").invoke("Hello")
    error = ""
except openai.NotFoundError as refused:
    error = str(refused.status_code)

embeddings = OpenAIEmbeddings(
    model="text-embedding-3-small",
    base_url=f"{base_url}/v1",
    api_key="any",
    check_embedding_ctx_length=False,
)
print(
    json.dumps(
        {
            "whole": whole.text,
            "streamed": streamed.text,
            "usage": [
                whole.usage_metadata["total_tokens"],
                streamed.usage_metadata["total_tokens"],
            ],
            "tool": call["name"],
            "after": after.text,
            "structured": chat.with_structured_output(City).invoke("A city, please").model_dump(),
            "by_tool": chat.with_structured_output(City, method="function_calling")
            .invoke("A city, please")
            .model_dump(),
            "responses": client(use_responses_api=True).invoke("Hello from LangChain").text,
            "error": error,
            "dimensions": len(embeddings.embed_query("a text")),
        }
    )
)
