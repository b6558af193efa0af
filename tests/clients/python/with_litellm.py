"""LiteLLM's SDK, unmodified, with the gateway as its OpenAI and as its Anthropic."""

import json
import sys
from typing import Any

import litellm
from pydantic import BaseModel

base_url, model = sys.argv[1:]
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


class City(BaseModel):
    name: str
    people: int


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {
        "model": f"openai/{model}",
        "api_base": f"{base_url}/v1",
        "api_key": "any",
        "num_retries": 0,
        "messages": [{"role": "user", "content": text}],
        **more,
    }


whole = litellm.completion(**asked("Hello from LiteLLM"))
chunks = list(litellm.completion(**asked("Hello from LiteLLM", stream=True)))
called = litellm.completion(**asked("weather", tools=[TOOL], tool_choice="required"))
structured = litellm.completion(**asked("A city, please", response_format=City))
in_messages = litellm.completion(
    **asked("Hello from LiteLLM", model=f"anthropic/{model}", api_base=base_url, max_tokens=500)
)
responses = litellm.responses(
    model=f"openai/{model}", api_base=f"{base_url}/v1", api_key="any", input="Hello from LiteLLM"
)
embedded = litellm.embedding(
    model="openai/text-embedding-3-small",
    api_base=f"{base_url}/v1",
    api_key="any",
    input=["a text", "another"],
)
try:
    litellm.completion(**asked("Hello", model="openai/missing-model"))
    error = ""
except litellm.NotFoundError as refused:
    error = str(refused.status_code)

print(
    json.dumps(
        {
            "whole": whole.choices[0].message.content,
            "streamed": "".join(c.choices[0].delta.content or "" for c in chunks),
            "usage": [whole.usage.total_tokens] * 2,
            "tool": called.choices[0].message.tool_calls[0].function.name,
            "structured": json.loads(structured.choices[0].message.content),
            "in_messages": in_messages.choices[0].message.content,
            "responses": responses.output[-1].content[0].text,
            "error": error,
            "dimensions": len(embedded.data[1]["embedding"]),
        }
    )
)
