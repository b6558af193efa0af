"""A conversation to be continued, in no dialect."""

from typing import Literal

from msgspec import Raw, Struct, field

from .content import CacheMark, Message


class Tool(Struct, frozen=True, kw_only=True):
    """A function the caller offers."""

    name: str
    description: str | None = None
    parameters: Raw | None = None
    """JSON Schema of the arguments, an object; None: takes no arguments."""
    strict: bool | None = None
    cache: CacheMark | None = None


class OpaqueTool(Struct, frozen=True, kw_only=True):
    """A tool only one dialect knows (hosted search, custom grammar, a versioned Anthropic tool)."""

    dialect: str
    kind: str
    raw: Raw
    path: str


class ToolChoice(Struct, frozen=True, kw_only=True):
    mode: Literal["auto", "none", "required", "tool"]
    name: str | None = None
    """The tool's name where `mode` is `tool`."""
    allowed: tuple[str, ...] = ()
    """Of the tools offered only these may be called (`mode` auto or required); empty: all."""


class ResponseFormat(Struct, frozen=True, kw_only=True):
    kind: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema: Raw | None = None
    strict: bool | None = None


class Reasoning(Struct, frozen=True, kw_only=True):
    """How much the model should think.

    `effort` is OpenAI's (none, minimal, low, medium, high, xhigh) or Anthropic's
    `output_config.effort` (low .. max). `mode` and `budget_tokens` are Anthropic's `thinking`.
    """

    effort: str | None = None
    mode: Literal["enabled", "disabled", "adaptive"] | None = None
    budget_tokens: int | None = None
    display: str | None = None
    summary: str | None = None
    """OpenAI's `reasoning.summary`: `auto`, `concise` or `detailed`. Gemini's `includeThoughts`."""


class Chat(Struct, frozen=True, kw_only=True):
    """Everything a caller can ask of a chat model. Field names follow OpenAI Chat."""

    model: str
    messages: tuple[Message, ...]
    """System messages come in their place; several are allowed."""
    tools: tuple[Tool | OpaqueTool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    n: int | None = None
    response_format: ResponseFormat | None = None
    verbosity: str | None = None
    """How long OpenAI's newer models shall answer: low, medium (as without it), high."""
    reasoning: Reasoning | None = None
    user: str | None = None
    service_tier: str | None = None
    stream: bool = False
    include_usage: bool = False
    """The caller wants usage in the stream (`stream_options.include_usage`)."""
    extras: dict[str, Raw] = field(default_factory=dict[str, Raw])
    """Top-level fields only the caller's dialect knows, by the caller's name."""
    left_out: dict[str, Raw] = field(default_factory=dict[str, Raw])
    """Likewise, but of no weight for the answer: left out in translation, and noted."""
