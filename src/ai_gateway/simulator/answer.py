"""What the simulator would say, in no wire format."""

# pyright: basic
# Free JSON, as a client may write it, is read here; typing each shape would say nothing more.

import re
from math import ceil
from typing import Any

from msgspec import Struct
from msgspec.json import encode

from .schema_example import example

_SAYS = 'This is the AI Gateway simulator, not a real model. You said: "{}"'
_MOST_QUOTED = 200
_CHARACTERS_PER_TOKEN = 4


class Asked(Struct, kw_only=True):
    """What of a request decides the answer."""

    model: str
    last_text: str = ""
    images: int = 0
    documents: int = 0
    tool_results: list[str] = []
    tools: list[tuple[str, Any]] = []
    """(name, JSON Schema of the arguments)"""
    tool_choice: str = "auto"
    """`auto`, `none`, `required`, or `tool:<name>`."""
    parallel: bool = True
    schema: Any = None
    """The JSON Schema of a structured answer."""
    json_object: bool = False
    stop: list[str] = []
    max_tokens: int | None = None
    thinking: bool = False
    prompt_characters: int = 0
    answer_tokens: int = 0


class Said(Struct, kw_only=True):
    text: str = ""
    thinking: str = ""
    refusal: bool = False
    calls: list[tuple[str, str, Any]] = []
    """(id, name, arguments)"""
    stop: str = "stop"
    """`stop`, `length`, `tool_calls`, `refusal`, or `sequence:<string>`."""
    input_tokens: int = 0
    output_tokens: int = 0
    thinking_tokens: int = 0


def tokens_in(text: str | int) -> int:
    """A token for every four characters begun."""
    size = text if isinstance(text, int) else len(text)
    return ceil(size / _CHARACTERS_PER_TOKEN)


def say(asked: Asked, call_number: int) -> Said:
    said = Said(input_tokens=max(1, tokens_in(asked.prompt_characters)))
    if asked.thinking:
        said.thinking = "I am a simulator, so there is little to think about."
        said.thinking_tokens = tokens_in(said.thinking)
    called = _calls(asked)
    if "[[refuse]]" in asked.last_text:
        said.refusal = True
        said.text = "The simulator was asked to refuse, and does."
        said.stop = "refusal"
    elif called:
        said.calls = [
            (f"{call_number:06d}{i:02d}", name, example(schema))
            for i, (name, schema) in enumerate(called)
        ]
        said.stop = "tool_calls"
        said.output_tokens = sum(tokens_in(encode(args).decode()) + 4 for _, _, args in said.calls)
    elif asked.schema is not None or asked.json_object:
        value = example(asked.schema) if asked.schema is not None else {"simulator": True}
        said.text = encode(value).decode()
    else:
        said.text = _text(asked)
    _cut(said, asked)
    said.output_tokens += tokens_in(said.text) + said.thinking_tokens
    return said


def _text(asked: Asked) -> str:
    if asked.answer_tokens:
        return "word " * (asked.answer_tokens * _CHARACTERS_PER_TOKEN // 5)
    if asked.tool_results:
        quoted = "; ".join(result[:_MOST_QUOTED] for result in asked.tool_results)
        return f"This is the AI Gateway simulator. The tools said: {quoted}"
    text = _SAYS.format(asked.last_text[:_MOST_QUOTED])
    if asked.images:
        text += f" I see {asked.images} image(s)."
    if asked.documents:
        text += f" I see {asked.documents} document(s)."
    return text


def _calls(asked: Asked) -> list[tuple[str, Any]]:
    """A tool is called if it must be, or if the last turn names it (or its words)."""
    if not asked.tools or asked.tool_choice == "none" or asked.tool_results:
        return []
    if asked.tool_choice.startswith("tool:"):
        return [tool for tool in asked.tools if tool[0] == asked.tool_choice[5:]]
    said = asked.last_text.lower()
    named = [t for t in asked.tools if any(w in said for w in _words(t[0]))]
    if not named and asked.tool_choice == "required":
        named = asked.tools[:1]
    if "parallel" in said and len(named) == 1:
        named = named * 2
    return named if asked.parallel else named[:1]


def _words(name: str) -> list[str]:
    """`get_weather` is meant by its name or by `weather`."""
    return [name.lower(), *(w for w in re.split(r"[^a-z0-9]+", name.lower()) if len(w) > 4)]


def _cut(said: Said, asked: Asked) -> None:
    for stop in asked.stop:
        at = said.text.find(stop) if stop else -1
        if at >= 0:
            said.text = said.text[:at]
            said.stop = f"sequence:{stop}"
    if asked.max_tokens is not None and tokens_in(said.text) > asked.max_tokens:
        said.text = said.text[: asked.max_tokens * _CHARACTERS_PER_TOKEN]
        said.stop = "length"


def pieces(text: str) -> list[str]:
    """A text in the pieces of a stream, about a token each, words kept whole where short."""
    return re.findall(r"\s*\S{1,8}|\s+", text)
