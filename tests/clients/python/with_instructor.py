"""Instructor, unmodified, over OpenAI's SDK and Anthropic's: one answer, and a list as it comes."""

import json
import sys

import anthropic
import instructor
import openai
from pydantic import BaseModel

base_url, model = sys.argv[1:]


class City(BaseModel):
    name: str
    people: int


messages = [{"role": "user", "content": "A city, please"}]
sdk = openai.OpenAI(base_url=f"{base_url}/v1", api_key="any", max_retries=0)
found: dict[str, object] = {}
for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA):
    client = instructor.from_openai(sdk, mode=mode)
    city = client.chat.completions.create(model=model, response_model=City, messages=messages)
    found[mode.value] = city.model_dump()

client = instructor.from_openai(sdk)
found["list"] = [
    city.model_dump()
    for city in client.chat.completions.create_iterable(
        model=model, response_model=City, messages=messages, stream=True
    )
]
found["partial"] = list(
    client.chat.completions.create_partial(model=model, response_model=City, messages=messages)
)[-1].model_dump()

claude = instructor.from_anthropic(
    anthropic.Anthropic(base_url=base_url, api_key="any", max_retries=0)
)
found["anthropic"] = claude.messages.create(
    model=model, max_tokens=500, response_model=City, messages=messages
).model_dump()
print(json.dumps(found))
