"""One call between a caller's dialect and a provider's, for each operation. Sans-io.

An exchange is opened with the caller's bytes (and refuses what is wrong with them). For each
destination it gives the request to send, and turns what comes back into the caller's words. Where
both speak the same dialect the bytes are relayed; else they go through `ai_gateway.model`.
"""

from typing import Protocol

from msgspec import Raw, Struct
from msgspec.json import Decoder, encode
from msgspec.structs import replace

from ai_gateway.model.answer import StopReason
from ai_gateway.model.call import Operation
from ai_gateway.model.chat import Chat
from ai_gateway.model.errors import GatewayError, Untranslatable
from ai_gateway.model.usage import Usage

from .bridge import Bridge, TranslatingBridge
from .dialect import (
    BadAnswer,
    Counting,
    Dialect,
    Peek,
    ProviderDialect,
    Rendered,
    RenderTarget,
)
from .embedding import Embed, EmbeddingDialect, EmbeddingsPeek
from .embeddings_formats import EMBEDDINGS_FORMATS, rerank_from_voyage, rerank_to_voyage
from .first_call import FirstCallDecoder, first_call_of
from .openai_embeddings import OPENAI_EMBEDDINGS
from .registry import DIALECTS, EMBEDDING_DIALECTS, PROVIDER_DIALECTS
from .relayed import peek_relayed, peek_relayed_answer, rewrite_relayed
from .token_estimate import estimate_tokens, tokens_of_bytes

_fields = Decoder(dict[str, Raw])
_LARGE = 32 * 1024
"""Bytes from which a request is read to guess its tokens."""
_MOST_CHOICES = 128


class Converted(Struct, frozen=True, kw_only=True):
    """A provider's whole answer, ready for the caller."""

    body: bytes
    usage: Usage | None = None
    stop: StopReason | None = None
    model: str | None = None
    notes: tuple[str, ...] = ()


class Size(Struct, frozen=True):
    input_tokens: int
    output_tokens: int | None = 0
    """None where the caller set no limit."""


class Exchange(Protocol):
    @property
    def model(self) -> str:
        """The name the caller asked for."""
        ...

    @property
    def stream(self) -> bool: ...

    def size(self) -> Size:
        """How large it may become, in tokens: a guess, made only when asked."""
        ...

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


class Named(Struct, frozen=True):
    """What the path tells of a call, in dialects that have it there."""

    model: str
    stream: bool = False


def open_exchange(
    operation: Operation, dialect: str, body: bytes, *, now: int, named: Named | None = None
) -> Exchange:
    """`now`, in Unix seconds, dates answers whose own dialect does not. Raises GatewayError(invalid_request) naming the offending field."""
    match operation:
        case "chat":
            return ChatExchange(DIALECTS[dialect], body, now, named)
        case "embeddings":
            return EmbeddingsExchange(EMBEDDING_DIALECTS[dialect], body, named)
        case "count_tokens":
            return CountTokensExchange(DIALECTS[dialect], body, named)
        case "moderations" | "rerank" | "images":
            return RelayedExchange(operation, body)
        case "forward" | "realtime" | "mcp":
            raise AssertionError("what passes through is not parsed")


class ChatExchange:
    __slots__ = ("_caller", "_chat", "_now", "body", "model", "peek", "stream")

    def __init__(self, caller: Dialect, body: bytes, now: int, named: Named | None = None) -> None:
        peek: Peek = caller.peek(body)
        self._now = now
        self._caller = caller
        self.body = body
        self.peek = peek
        self._chat: Chat | None = None
        self.model = peek.model if named is None else named.model
        self.stream = peek.stream if named is None else named.stream

    @property
    def chat(self) -> Chat:
        """The call in no dialect; read on first need, since a relayed call needs it never."""
        if self._chat is None:
            chat = self._caller.parse_request(self.body)
            if self._caller.model_in_path:
                chat = replace(chat, model=self.model, stream=self.stream)
            self._chat = chat
        return self._chat

    @property
    def output_limit(self) -> int | None:
        """The most tokens that the caller wants."""
        return self.peek.max_tokens

    def size(self) -> Size:
        peek = self.peek
        most, n = peek.max_tokens, peek.fields.get("n")
        if most is not None and n is not None:
            most *= _count(n)
        return Size(self._input_tokens(), most)

    def _input_tokens(self) -> int:
        if len(self.body) > _LARGE:
            # It may be pictures, whose bytes say nothing of their tokens.
            try:
                return estimate_tokens(self.chat)
            except GatewayError:
                # Only the provider's own dialect can tell what it is.
                pass
        return tokens_of_bytes(len(self.body))

    def answer_here(self, provider: str) -> Converted | None:
        return None

    def request(self, provider: str, target: RenderTarget) -> Rendered:
        caller = self._caller
        try:
            if provider == caller.name:
                marks = caller.foreign_marks
                if marks and any(mark in self.body for mark in marks):
                    return self._without_foreign_marks(target)
                return Rendered(caller.rewrite(self.peek, self.body, target))
            rendered = PROVIDER_DIALECTS[provider].render_request(self.chat, target)
        except Untranslatable as error:
            raise _in_callers_words(error, caller) from None
        left_out = tuple(f"{name} left out in translation" for name in self.chat.left_out)
        return Rendered(rendered.body, rendered.notes + left_out)

    def _without_foreign_marks(self, target: RenderTarget) -> Rendered:
        """The call in its own dialect, written anew for want of another maker's reasoning; the
        fields that only this dialect knows come along. Raises Untranslatable."""
        chat, fields = self.chat, self.peek.fields
        own = {
            name: value for name, value in (chat.extras | chat.left_out).items() if name in fields
        }
        others = {name: value for name, value in chat.extras.items() if name not in own}
        rendered = self._caller.render_request(replace(chat, extras=others), target)
        notes = rendered.notes + tuple(
            f"{name} left out in translation" for name in chat.left_out if name not in own
        )
        if not own:
            return Rendered(rendered.body, notes)
        written = _fields.decode(rendered.body)
        return Rendered(encode({**written, **own}), notes)

    def _keeps_to_first_call(self, provider: ProviderDialect) -> bool:
        return self.chat.parallel_tool_calls is False and not provider.one_call_at_a_time

    def answer(self, provider: str, body: bytes) -> Converted:
        caller = self._caller
        if provider == caller.name:
            peek = caller.peek_answer(body)
            return Converted(body=body, usage=peek.usage, stop=peek.stop, model=peek.model)
        dialect = PROVIDER_DIALECTS[provider]
        answer = dialect.parse_answer(body)
        if not answer.created or not answer.model:
            answer = replace(
                answer, created=answer.created or self._now, model=answer.model or self.model
            )
        if self._keeps_to_first_call(dialect):
            answer = first_call_of(answer)
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
            return caller.watch(target.stream_usage and not self.peek.include_usage)
        dialect = PROVIDER_DIALECTS[provider]
        decoder = dialect.decoder()
        if self._keeps_to_first_call(dialect):
            decoder = FirstCallDecoder(decoder)
        encoder = caller.encoder(self.chat)
        return TranslatingBridge(dialect.frames(), decoder, encoder, self._now, self.model)


class EmbeddingsExchange:
    """Embeddings in OpenAI's dialect or Gemini's; providers may have others, close to OpenAI's."""

    __slots__ = ("_body", "_caller", "_embed", "_peek", "model")

    stream = False

    def __init__(self, caller: EmbeddingDialect, body: bytes, named: Named | None = None) -> None:
        peek: EmbeddingsPeek = caller.peek(body)
        self._body = body
        self._caller = caller
        self._embed: Embed | None = None
        self._peek = peek
        self.model = peek.model if named is None else named.model

    @property
    def fields(self) -> dict[str, Raw]:
        return self._peek.fields

    def with_fields(self, fields: dict[str, Raw | list[Raw]]) -> "EmbeddingsExchange":
        """The same call for other texts, which stand in these fields."""
        body = encode({**self._peek.fields, **fields})
        return EmbeddingsExchange(self._caller, body, Named(self.model))

    def size(self) -> Size:
        return Size(tokens_of_bytes(len(self._body)))

    def answer_here(self, provider: str) -> Converted | None:
        return None

    def request(self, provider: str, target: RenderTarget) -> Rendered:
        caller = self._caller
        other = EMBEDDINGS_FORMATS.get(provider)
        if provider == caller.name:
            return Rendered(caller.rewrite(self._peek, self._body, target.model))
        if other is not None and caller is OPENAI_EMBEDDINGS:
            return Rendered(other.render(self._peek.fields, target))
        embed = self._embed = replace(caller.parse_request(self._body), model=self.model)
        left_out = tuple(f"{name} left out in translation" for name in embed.left_out)
        if other is not None:
            openai = OPENAI_EMBEDDINGS.render_request(embed, target.model)
            fields = OPENAI_EMBEDDINGS.peek(openai.body).fields
            return Rendered(other.render(fields, target), left_out)
        rendered = EMBEDDING_DIALECTS[provider].render_request(embed, target.model)
        return Rendered(rendered.body, rendered.notes + left_out)

    def answer(self, provider: str, body: bytes) -> Converted:
        caller = self._caller
        other = EMBEDDINGS_FORMATS.get(provider)
        if other is not None:
            provider, body = OPENAI_EMBEDDINGS.name, other.to_openai(body, self.model)
        if self._embed is None or provider == caller.name:
            body, usage = caller.relay_answer(self._peek, body)
            return Converted(body=body, usage=usage)
        vectors = EMBEDDING_DIALECTS[provider].parse_answer(body)
        if len(vectors.vectors) != len(self._embed.texts):
            raise BadAnswer("another number of vectors came than texts were sent")
        return Converted(body=caller.render_answer(vectors, self._embed), usage=vectors.usage)

    def bridge(self, provider: str, target: RenderTarget) -> Bridge:
        raise GatewayError("invalid_request", "Embeddings are not streamed.", field="stream")


class RelayedExchange:
    """An operation with one wire format (but for Voyage's reranking)."""

    __slots__ = ("_body", "_creates", "_peek", "model")

    stream = False

    def __init__(self, operation: Operation, body: bytes) -> None:
        peek = peek_relayed(operation, body)
        self._creates = operation == "images"
        self._body = body
        self._peek = peek
        self.model = peek.model

    @property
    def fields(self) -> dict[str, Raw]:
        return self._peek.fields

    def size(self) -> Size:
        return Size(tokens_of_bytes(len(self._body)), None if self._creates else 0)

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
    """A prompt's tokens: counted where the provider counts, else estimated."""

    __slots__ = ("_body", "_caller", "_counting", "_peek", "model")

    stream = False

    def __init__(self, caller: Dialect, body: bytes, named: Named | None = None) -> None:
        counting = caller.counting
        if counting is None:
            raise GatewayError("invalid_request", f"The dialect {caller.name} counts no tokens.")
        peek: Peek = counting.peek(body)
        self._caller = caller
        self._counting: Counting = counting
        self._body = body
        self._peek = peek
        self.model = peek.model if named is None else named.model

    def size(self) -> Size:
        return Size(0)

    def answer_here(self, provider: str) -> Converted | None:
        if PROVIDER_DIALECTS[provider].counting is not None:
            return None
        tokens = estimate_tokens(self._counting.parse_request(self._body))
        return Converted(
            body=self._counting.render_answer(tokens),
            notes=("the count is an estimate: the provider offers none",),
        )

    def request(self, provider: str, target: RenderTarget) -> Rendered:
        own, other = self._counting, PROVIDER_DIALECTS[provider].counting
        try:
            if provider == self._caller.name or other is None:
                return Rendered(own.rewrite(self._peek, self._body, target))
            return other.render_request(own.parse_request(self._body), target)
        except Untranslatable as error:
            raise _in_callers_words(error, self._caller) from None

    def answer(self, provider: str, body: bytes) -> Converted:
        own = PROVIDER_DIALECTS[provider].counting or self._counting
        tokens = own.parse_answer(body)
        if provider != self._caller.name:
            body = self._counting.render_answer(tokens)
        return Converted(body=body)

    def bridge(self, provider: str, target: RenderTarget) -> Bridge:
        raise GatewayError("invalid_request", "A token count is not streamed.", field="stream")


def _count(n: Raw) -> int:
    """How many answers are asked for (OpenAI's `n`)."""
    text = bytes(n)
    return min(_MOST_CHOICES, max(1, int(text))) if text.isdigit() and len(text) < 4 else 1


def _in_callers_words(error: Untranslatable, caller: Dialect) -> GatewayError:
    field = error.field or ""
    return GatewayError(
        error.kind, error.message, field=caller.field_names.get(field, field), code=error.code
    )
