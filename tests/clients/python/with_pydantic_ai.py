"""Pydantic AI, unmodified, by its OpenAI (Chat and Responses), Anthropic and Google models."""

import asyncio
import json
import sys

from pydantic import BaseModel
from pydantic_ai import Agent, ModelHTTPError, NativeOutput
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider

base_url, model = sys.argv[1:]
openai = OpenAIProvider(base_url=f"{base_url}/v1", api_key="any")
MODELS = {
    "chat": OpenAIChatModel(model, provider=openai),
    "responses": OpenAIResponsesModel(model, provider=openai),
    "messages": AnthropicModel(model, provider=AnthropicProvider(api_key="any", base_url=base_url)),
    "gemini": GoogleModel(model, provider=GoogleProvider(api_key="any", base_url=base_url)),
}


class City(BaseModel):
    name: str
    people: int


async def through(name: str) -> dict[str, object]:
    agent = Agent(MODELS[name])
    tools: list[str] = []

    async def get_weather(city: str) -> str:
        """The weather of a city."""
        tools.append("get_weather")
        return f"sunny in {city}"

    whole = await agent.run("Hello from Pydantic AI")
    async with agent.run_stream("Hello from Pydantic AI") as stream:
        streamed = await stream.get_output()
        usage = stream.usage
    after = await Agent(MODELS[name], tools=[get_weather]).run("What is the weather in Oslo?")
    by_tool = await Agent(MODELS[name], output_type=City).run("A city, please")
    # By its own profile only Claude takes a schema in Messages.
    native = name != "messages" or model.startswith("claude")
    wanted = NativeOutput(City) if native else City
    structured = await Agent(MODELS[name], output_type=wanted).run("A city, please")
    return {
        "whole": whole.output,
        "streamed": streamed,
        "usage": [whole.usage.total_tokens, usage.total_tokens],
        "tool": tools[0],
        "after": after.output,
        "by_tool": by_tool.output.model_dump(),
        "structured": structured.output.model_dump(),
    }


async def main() -> None:
    said = {name: await through(name) for name in MODELS}
    try:
        await Agent(OpenAIChatModel("missing-model", provider=openai)).run("Hello")
        error = ""
    except ModelHTTPError as refused:
        error = str(refused.status_code)
    print(json.dumps({"dialects": said, "error": error}))


asyncio.run(main())
