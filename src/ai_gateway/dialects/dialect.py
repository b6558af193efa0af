"""What every dialect offers, both as the caller's and as the provider's.

Two ways lead through a dialect. *Relayed*: caller and provider speak the same one; `peek`,
`rewrite`, `peek_answer` and `watch` look at the bytes without changing more than they must.
*Translated*: `parse_request` -> Chat -> the other dialect's `render_request`, and back by
`parse_answer`/`decoder` -> the caller's `render_answer`/`encoder`.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec import Raw, Struct

from ai_gateway.model.answer import Answer, Event, StopReason
from ai_gateway.model.chat import Chat
from ai_gateway.model.errors import ErrorKind, GatewayError
from ai_gateway.model.usage import Usage

from .bad_answer import BadAnswer as BadAnswer
from .sse import ServerSentEvent, SseDecoder


class Peek(Struct, frozen=True, kw_only=True):
    """What the pipeline must know of any chat request, found in one validating pass.

    `fields` are the top-level members, values to the letter; duplicates have been refused.
    """

    model: str
    stream: bool
    include_usage: bool
    """Usage inside the stream was asked for (always true where the dialect always sends it)."""
    max_tokens: int | None
    user: str | None
    fields: dict[str, Raw]


class RenderTarget(Struct, frozen=True, kw_only=True):
    """What a renderer must know of the model it writes for."""

    model: str
    """The model's name at the provider."""
    max_output_tokens: int | None = None
    structured_output: bool = True
    """The model takes a JSON schema natively."""
    adaptive_thinking: bool = False
    """Anthropic: the model takes `thinking: {type: adaptive}` and `output_config.effort`."""
    thinking_level: bool = False
    """Gemini: the model takes `thinkingLevel` (3 and later), and checks the signatures of calls."""
    max_tokens_field: str = "max_tokens"
    """Chat: `max_completion_tokens` for OpenAI itself, `max_tokens` for the compatible rest."""
    developer_role: bool = False
    """Chat: the provider knows the role `developer`."""
    stream_usage: bool = True
    """Chat: the provider takes `stream_options.include_usage`."""
    body_version: str = ""
    """Messages on other clouds: `anthropic_version` in the body, in place of the model's name."""
    refused_fields: frozenset[str] = frozenset()
    """Top-level fields the provider is known to refuse; a renderer leaves them out where harmless."""
    renamed_fields: Mapping[str, str] = {}
    """Chat: top-level fields the provider knows by another name."""


class Rendered(Struct, frozen=True):
    body: bytes
    notes: tuple[str, ...] = ()
    """What the caller should know: a value that was clamped, a block that could not be carried.
    Short, ASCII, no caller data beyond field names; sent in `x-gateway-notes`."""


class AnswerPeek(Struct, frozen=True, kw_only=True):
    """What the account needs from a relayed answer."""

    usage: Usage | None
    stop: StopReason | None
    model: str | None


class ProviderError(Struct, frozen=True, kw_only=True):
    """A provider's error body, read. `kind` is what it means to the caller."""

    kind: ErrorKind
    message: str
    field: str | None = None
    code: str | None = None
    retry_after: float | None = None
    """Seconds, where the body says so and not a header (Google)."""


class Watcher(Protocol):
    """Follows a relayed stream: bytes in, the same bytes out, cut at event borders.

    `feed` holds an unfinished event back, so that a cut stream never ends in half an event.
    """

    usage: Usage | None
    stop: StopReason | None
    complete: bool
    """The terminal event (`[DONE]`, `message_stop`, or a final finish_reason) was seen."""
    failure: ProviderError | None
    """An error event was seen inside the stream."""
    first_content: bool
    """Something of the answer has been seen (for time to first token)."""

    @property
    def next_number(self) -> int:
        """Of the event that would come next, in dialects that number them; else 0."""
        ...

    def feed(self, chunk: bytes) -> bytes: ...
    def end(self) -> bytes:
        """The upstream closed: what was held back and is still fit to send."""
        ...


class Frames(Protocol):
    """A stream's bytes, cut anywhere -> its events."""

    def feed(self, chunk: bytes) -> list[ServerSentEvent]: ...
    def end(self) -> list[ServerSentEvent]: ...


class Decoder(Protocol):
    """A provider's stream events -> Events."""

    def feed(self, event: ServerSentEvent) -> list[Event]:
        """May raise `BadAnswer` for what cannot be read."""
        ...

    def end(self) -> list[Event]:
        """The upstream closed. Ends with Finish if the stream can be held complete, else gives what
        is left without a Finish (the pipeline then reports the cut)."""
        ...


class Encoder(Protocol):
    """Events -> the caller's stream, as bytes ready to send."""

    notes: list[str]

    @property
    def next_number(self) -> int:
        """As a `Watcher`'s."""
        ...

    def feed(self, event: Event) -> bytes: ...


class Counting(Struct, frozen=True, kw_only=True):
    """How a dialect asks for the tokens of a prompt, without an answer."""

    peek: Callable[[bytes], Peek]
    rewrite: Callable[[Peek, bytes, RenderTarget], bytes]
    parse_request: Callable[[bytes], Chat]
    render_request: Callable[[Chat, RenderTarget], Rendered]
    """Raises Untranslatable."""
    parse_answer: Callable[[bytes], int]
    """Raises BadAnswer."""
    render_answer: Callable[[int], bytes]


class ProviderDialect(Struct, frozen=True, kw_only=True):
    """What a provider's dialect offers: requests are rendered in it, answers and errors read."""

    name: str
    render_request: Callable[[Chat, RenderTarget], Rendered]
    """Raises Untranslatable."""
    parse_answer: Callable[[bytes], Answer]
    """Raises BadAnswer."""
    decoder: Callable[[], Decoder]
    parse_error: Callable[[int, bytes], ProviderError]
    """Total: any status, any bytes."""
    frames: Callable[[], Frames] = SseDecoder
    """How its streams are cut into events."""
    stream_type: str = "event-stream"
    """Part of the content type by which a stream is known."""
    counting: Counting | None = None
    """None where the dialect has no way to count."""
    one_call_at_a_time: bool = True
    """A request can hold the model to one tool call at a time; else see `first_call.py`."""


class Dialect(ProviderDialect, frozen=True, kw_only=True):
    """A dialect that callers speak too."""

    field_names: Mapping[str, str]
    """Neutral name (a field of `Chat`) -> this dialect's, where they differ; used in refusals."""
    foreign_marks: tuple[bytes, ...] = ()
    """Found in a request, they tell of another maker's reasoning, which its provider would refuse."""
    model_in_path: bool = False
    """The model and the wish to stream are told by the URL: `peek` and `parse_request` leave them
    empty, `render_request` leaves them out."""

    peek: Callable[[bytes], Peek]
    """Raises GatewayError(invalid_request) naming the field."""
    rewrite: Callable[[Peek, bytes, RenderTarget], bytes]
    """The same request for `target.model`: the bytes themselves where nothing must change."""
    peek_answer: Callable[[bytes], AnswerPeek]
    """Raises BadAnswer."""
    watch: Callable[[bool], Watcher]
    """`watch(hide_usage)`: true where the caller did not ask for the usage event that was asked for
    on its behalf."""

    parse_request: Callable[[bytes], Chat]
    render_answer: Callable[[Answer, Chat], Rendered]
    encoder: Callable[[Chat], Encoder]

    render_error: Callable[[GatewayError, str], bytes]
    """`render_error(error, request_id)`: the whole body."""
    render_stream_error: Callable[[GatewayError, str, int], bytes]
    """The event that ends a stream already begun, with its number where events have one."""
