"""One call between a caller's dialect and a provider's, for each operation. Sans-io.

An exchange is opened with the caller's bytes (and refuses what is wrong with them). For each
destination it gives the request to send, and turns what comes back into the caller's words. Where
both speak the same dialect the bytes are relayed; else they go through `ai_gateway.model`.
"""

from typing import Protocol

from msgspec import Raw, Struct
from msgspec.json import encode
from msgspec.structs import replace

from ai_gateway.model.answer import StopReason
from ai_gateway.model.call import Operation
from ai_gateway.model.chat import Chat
from ai_gateway.model.errors import GatewayError, Untranslatable
from ai_gateway.model.usage import Usage

from .anthropic_messages import count_tokens
from .bridge import Bridge, TranslatingBridge
from .dialect import Dialect, Peek, Rendered, RenderTarget
from .embeddings_formats import EMBEDDINGS_FORMATS, rerank_from_voyage, rerank_to_voyage
from .openai_embeddings import (
    EmbeddingsPeek,
    peek_embeddings,
    peek_embeddings_answer,
    rewrite_embeddings,
    to_base64,
)
from .registry import DIALECTS, PROVIDER_DIALECTS
from .relayed import peek_relayed, peek_relayed_answer, rewrite_relayed
from .token_estimate import estimate_tokens


class Converted(Struct, frozen=True, kw_only=True):
    """A provider's whole answer, ready for the caller."""

    body: bytes
    usage: Usage | None = None
    stop: StopReason | None = None
    model: str | None = None
    notes: tuple[str, ...] = ()


class Exchange(Protocol):
    @property
    def model(self) -> str:
        """The name the caller asked for."""
        ...

    @property
    def stream(self) -> bool: ...

    def answer_here(self, provider: str) -> Converted | None:
        """The answer where it needs no provider at all."""
        ...

    def request(self, provider: str, target: RenderTarget) -> Rendered:
        """Raises GatewayError naming, in the caller's words, what the provider cannot express."""
        ...

    def answer(self, provider: str, body: bytes) -> Converted:
        """Raises BadAnswer."""
        ...

    def bridge(self, provider: str, target: RenderTarget) -> Bridge: ...


def open_exchange(operation: Operation, dialect: str, body: bytes, *, now: int) -> Exchange:
    """`now`, in Unix seconds, dates answers whose own dialect does not. Raises GatewayError(invalid_request) naming the offending field."""
    match operation:
        case "chat":
            return ChatExchange(DIALECTS[dialect], body, now)
        case "embeddings":
            return EmbeddingsExchange(body)
        case "count_tokens":
            return CountTokensExchange(DIALECTS[dialect], body)
        case "moderations" | "rerank" | "images":
            return RelayedExchange(operation, body)
        case "forward":
            raise AssertionError("what passes through is not parsed")


class ChatExchange:
    __slots__ = ("_body", "_caller", "_chat", "_now", "_peek", "model", "stream")

    def __init__(self, caller: Dialect, body: bytes, now: int) -> None:
        peek: Peek = caller.peek(body)
        self._now = now
        self._caller = caller
        self._body = body
        self._peek = peek
        self._chat: Chat | None = None
        self.model = peek.model
        self.stream = peek.stream

    @property
    def chat(self) -> Chat:
        """The call in no dialect; read on first need, since a relayed call needs it never."""
        if self._chat is None:
            self._chat = self._caller.parse_request(self._body)
        return self._chat

    @property
    def output_limit(self) -> int | None:
        """The most tokens that the caller wants."""
        return self._peek.max_tokens

    @property
    def peek(self) -> Peek:
        return self._peek

    @property
    def body(self) -> bytes:
        return self._body

    def answer_here(self, provider: str) -> Converted | None:
        return None

    def request(self, provider: str, target: RenderTarget) -> Rendered:
        caller = self._caller
        try:
            if provider == caller.name:
                return Rendered(caller.rewrite(self._peek, self._body, target))
            rendered = PROVIDER_DIALECTS[provider].render_request(self.chat, target)
        except Untranslatable as error:
            raise _in_callers_words(error, caller) from None
        left_out = tuple(f"{name} left out in translation" for name in self.chat.left_out)
        return Rendered(rendered.body, rendered.notes + left_out)

    def answer(self, provider: str, body: bytes) -> Converted:
        caller = self._caller
        if provider == caller.name:
            peek = caller.peek_answer(body)
            return Converted(body=body, usage=peek.usage, stop=peek.stop, model=peek.model)
        answer = PROVIDER_DIALECTS[provider].parse_answer(body)
        if not answer.created:
            answer = replace(answer, created=self._now)
        rendered = caller.render_answer(answer, self.chat)
        return Converted(
            body=rendered.body,
            usage=answer.usage,
            stop=answer.stop,
            model=answer.model,
            notes=rendered.notes,
        )

    def bridge(self, provider: str, target: RenderTarget) -> Bridge:
        caller = self._caller
        if provider == caller.name:
            return caller.watch(target.stream_usage and not self._peek.include_usage)
        return TranslatingBridge(PROVIDER_DIALECTS[provider], caller.encoder(self.chat), self._now)


class EmbeddingsExchange:
    """OpenAI's embeddings: relayed to most providers, translated for those of another format."""

    __slots__ = ("_body", "_peek", "model")

    stream = False

    def __init__(self, body: bytes) -> None:
        peek: EmbeddingsPeek = peek_embeddings(body)
        self._body = body
        self._peek = peek
        self.model = peek.model

    @property
    def fields(self) -> dict[str, Raw]:
        return self._peek.fields

    def with_inputs(self, inputs: list[Raw]) -> "EmbeddingsExchange":
        """The same call for other texts."""
        return EmbeddingsExchange(encode({**self._peek.fields, "input": inputs}))

    def answer_here(self, provider: str) -> Converted | None:
        return None

    def request(self, provider: str, target: RenderTarget) -> Rendered:
        other = EMBEDDINGS_FORMATS.get(provider)
        if other is not None:
            return Rendered(other.render(self._peek.fields, target))
        return Rendered(rewrite_embeddings(self._peek, self._body, target.model))

    def answer(self, provider: str, body: bytes) -> Converted:
        other = EMBEDDINGS_FORMATS.get(provider)
        if other is not None:
            body = other.to_openai(body, self.model)
        usage = peek_embeddings_answer(body)
        if self._peek.encoding_format == "base64":
            # Providers that know only floats ignore the wish; the caller still gets what it asked.
            body = to_base64(body)
        return Converted(body=body, usage=usage)

    def bridge(self, provider: str, target: RenderTarget) -> Bridge:
        raise GatewayError("invalid_request", "Embeddings are not streamed.", field="stream")


class RelayedExchange:
    """An operation with one wire format (but for Voyage's reranking)."""

    __slots__ = ("_body", "_peek", "model")

    stream = False

    def __init__(self, operation: Operation, body: bytes) -> None:
        peek = peek_relayed(operation, body)
        self._body = body
        self._peek = peek
        self.model = peek.model

    @property
    def fields(self) -> dict[str, Raw]:
        return self._peek.fields

    def answer_here(self, provider: str) -> Converted | None:
        return None

    def request(self, provider: str, target: RenderTarget) -> Rendered:
        if provider == "voyage":
            return Rendered(rerank_to_voyage(self._peek.fields, target.model))
        return Rendered(rewrite_relayed(self._peek, self._body, target.model))

    def answer(self, provider: str, body: bytes) -> Converted:
        if provider == "voyage":
            body = rerank_from_voyage(body)
        answer = peek_relayed_answer(body)
        return Converted(body=body, usage=answer.usage, model=answer.model)

    def bridge(self, provider: str, target: RenderTarget) -> Bridge:
        raise GatewayError("invalid_request", "This answer is not streamed.", field="stream")


class CountTokensExchange:
    """`/v1/messages/count_tokens`: relayed to Anthropic, estimated for every other provider."""

    __slots__ = ("_body", "_caller", "_peek", "model")

    stream = False

    def __init__(self, caller: Dialect, body: bytes) -> None:
        peek: Peek = count_tokens.peek_count_tokens(body)
        self._caller = caller
        self._body = body
        self._peek = peek
        self.model = peek.model

    def answer_here(self, provider: str) -> Converted | None:
        if provider == self._caller.name:
            return None
        tokens = estimate_tokens(self._caller.parse_request(self._body))
        return Converted(
            body=count_tokens.render_count_tokens_answer(tokens),
            notes=("input_tokens is an estimate: the provider offers no count",),
        )

    def request(self, provider: str, target: RenderTarget) -> Rendered:
        return Rendered(self._caller.rewrite(self._peek, self._body, target))

    def answer(self, provider: str, body: bytes) -> Converted:
        count_tokens.parse_count_tokens_answer(body)
        return Converted(body=body)

    def bridge(self, provider: str, target: RenderTarget) -> Bridge:
        raise GatewayError("invalid_request", "A token count is not streamed.", field="stream")


def _in_callers_words(error: Untranslatable, caller: Dialect) -> GatewayError:
    field = error.field or ""
    return GatewayError(
        error.kind, error.message, field=caller.field_names.get(field, field), code=error.code
    )
