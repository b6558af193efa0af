"""Parts of a message, in no dialect.

`Opaque` holds what only one dialect can express (a server tool's result, an audio part, a hosted
tool): it returns to that dialect to the letter, and towards any other it is refused by name in a
request, or named in `x-gateway-notes` in an answer.
"""

from typing import Literal

from msgspec import Raw, Struct


class CacheMark(Struct, frozen=True):
    """Anthropic's `cache_control` on a block: the prompt up to here may be cached."""

    ttl: str | None = None
    """`"5m"`, `"1h"`, or None where the caller named none."""


class Text(Struct, frozen=True, tag="text", kw_only=True):
    text: str
    cache: CacheMark | None = None
    citations: Raw | None = None
    """The dialect's own citations or annotations (a JSON array), where it gave any."""


class Image(Struct, frozen=True, tag="image", kw_only=True):
    """Either `url` (http/https) or `data` (base64 text) with `media_type`."""

    url: str | None = None
    data: str | None = None
    media_type: str | None = None
    detail: str | None = None
    cache: CacheMark | None = None


class Document(Struct, frozen=True, tag="document", kw_only=True):
    """A file in the prompt: `url`, or `data` (base64), or plain `text`."""

    url: str | None = None
    data: str | None = None
    text: str | None = None
    media_type: str | None = None
    name: str | None = None
    context: str | None = None
    citations: bool | None = None
    cache: CacheMark | None = None


class ToolCall(Struct, frozen=True, tag="tool_call", kw_only=True):
    """A function the model wants called. `arguments` is JSON text, as the model wrote it."""

    id: str
    name: str
    arguments: str
    cache: CacheMark | None = None


class ToolResult(Struct, frozen=True, tag="tool_result", kw_only=True):
    call_id: str
    parts: "tuple[Text | Image | Document | Opaque, ...]"
    is_error: bool | None = None
    cache: CacheMark | None = None


class Thinking(Struct, frozen=True, tag="thinking", kw_only=True):
    """The model's reasoning, with the signature by which its provider accepts it back."""

    text: str
    signature: str | None = None


class RedactedThinking(Struct, frozen=True, tag="redacted_thinking", kw_only=True):
    data: str


class Refusal(Struct, frozen=True, tag="refusal", kw_only=True):
    """The model's own words for declining (OpenAI's `refusal`)."""

    text: str


class Opaque(Struct, frozen=True, tag="opaque", kw_only=True):
    dialect: str
    kind: str
    """The dialect's own type name, such as `web_search_tool_result`."""
    raw: Raw
    """The whole block, JSON."""
    path: str = ""
    """Where the caller wrote it, such as `messages[2].content[0]`; empty in answers."""
    text: str = ""
    """What of it can be read as text, if anything."""


Part = (
    Text | Image | Document | ToolCall | ToolResult | Thinking | RedactedThinking | Refusal | Opaque
)

Role = Literal["system", "developer", "user", "assistant", "tool"]


class Message(Struct, frozen=True, kw_only=True):
    """One turn. Tool results are `ToolResult` parts: in a `tool` message (Chat) or `user` (Messages).

    Renderers must accept them in either.
    """

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None
    path: str = ""
    """Where the caller wrote it, such as `messages[2]`."""
