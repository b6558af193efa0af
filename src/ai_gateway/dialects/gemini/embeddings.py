"""`:embedContent` and `:batchEmbedContents` (ai.google.dev/api/embeddings).

A single text is asked for as a batch of one, so that there is one place to ask; its vector comes
back to the letter.
"""

import msgspec
from msgspec import Raw
from msgspec.json import Decoder, encode

from ai_gateway.dialects.dialect import BadAnswer, Rendered
from ai_gateway.dialects.embedding import Embed, EmbeddingDialect, EmbeddingsPeek, Vectors
from ai_gateway.dialects.raw import ABSENT, given
from ai_gateway.dialects.strict_json import decode_object, invalid, top_level_fields
from ai_gateway.model.content import Text
from ai_gateway.model.errors import Untranslatable
from ai_gateway.model.usage import Usage

from .parts import DIALECT, CallIds, parts_of, read_object
from .wire import Wire, camel, decode_content, read

MOST_INPUTS = 2048
_NO_WEIGHT = ("taskType", "title", "autoTruncate")
_KNOWN = frozenset({"model", "content", "outputDimensionality", *_NO_WEIGHT})


class _Asked(Wire, frozen=True):
    content: Raw = ABSENT
    output_dimensionality: int | None = None
    task_type: str | None = None
    title: str | None = None


class _Counted(Wire, frozen=True):
    prompt_token_count: int | None = None


class _Embedding(Wire, frozen=True):
    values: Raw


class _Answer(Wire, frozen=True):
    embeddings: list[_Embedding]
    usage_metadata: _Counted | None = None


class _PeekedAnswer(Wire, frozen=True):
    embeddings: list[Raw]
    usage_metadata: _Counted | None = None


_fields = Decoder(dict[str, Raw])
_list = Decoder(list[Raw])
_asked = Decoder(_Asked)
_answer = Decoder(_Answer)
_peeked_answer = Decoder(_PeekedAnswer)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def peek(body: bytes) -> EmbeddingsPeek:
    """Raises GatewayError(invalid_request) naming the field. The model stands in the path."""
    decode_object(body, _fields)
    fields = top_level_fields(body)
    requests = _requests(fields)
    if not requests:
        raise invalid("requests", "must hold at least one request.")
    if len(requests) > MOST_INPUTS:
        raise invalid("requests", f"must hold at most {MOST_INPUTS} requests.")
    return EmbeddingsPeek(model="", inputs=len(requests), fields=fields)


def _requests(fields: dict[str, Raw]) -> list[Raw]:
    listed = fields.get("requests")
    if listed is not None:
        requests = read(listed, _list, "requests")
        for index, raw in enumerate(requests):
            read_object(raw, f"requests[{index}]")
        return requests
    if "content" not in fields:
        raise invalid("content", "must hold what is to be embedded.")
    return [Raw(encode(fields))]


def rewrite(peeked: EmbeddingsPeek, body: bytes, model: str) -> bytes:
    """A batch; each request of it must name its model, the one of the path."""
    named = encode(f"models/{model}")
    requests = [_fields.decode(raw) for raw in _requests(peeked.fields)]
    if "requests" in peeked.fields and all(bytes(r.get("model", b"")) == named for r in requests):
        return body
    return encode({"requests": [{**r, "model": Raw(named)} for r in requests]})


def relay_answer(peeked: EmbeddingsPeek, body: bytes) -> tuple[bytes, Usage | None]:
    """Raises BadAnswer."""
    try:
        answer = _peeked_answer.decode(body)
    except _UNREADABLE as error:
        raise _bad(error) from None
    usage = _usage(answer.usage_metadata)
    if "requests" in peeked.fields:
        return body, usage
    if len(answer.embeddings) != 1:
        raise BadAnswer("one embedding was asked for, and another number came")
    out: dict[str, object] = {"embedding": answer.embeddings[0]}
    if usage is not None:
        out["usageMetadata"] = {"promptTokenCount": usage.input_tokens}
    return encode(out), usage


def _usage(counted: _Counted | None) -> Usage | None:
    return None if counted is None else Usage(input_tokens=counted.prompt_token_count or 0)


def _bad(error: Exception) -> BadAnswer:
    return BadAnswer(str(error) if isinstance(error, msgspec.DecodeError) else "not JSON in UTF-8")


def parse_request(body: bytes) -> Embed:
    """Raises GatewayError(invalid_request) naming what only Gemini's API can take."""
    fields = _fields.decode(body)
    batch = "requests" in fields
    texts: list[str] = []
    dimensions: set[int | None] = set()
    left_out: dict[str, None] = {}
    for index, raw in enumerate(_requests(fields)):
        path = f"requests[{index}]" if batch else ""
        within = f"{path}." if path else ""
        asked = read(raw, _asked, path)
        for name, value in ((camel(n), v) for n, v in _fields.decode(raw).items()):
            if name in _NO_WEIGHT and given(value) is not None:
                left_out[name] = None
            elif name not in _KNOWN:
                raise Untranslatable(
                    f"{within}{name}", f"The chosen model's API has nothing like {name}."
                )
        content = read(asked.content, decode_content, f"{within}content")
        parts = parts_of(content.parts or [], CallIds(""), f"{within}content")
        if not parts or not all(isinstance(part, Text) for part in parts):
            raise Untranslatable(f"{within}content", "The chosen model embeds texts only.")
        texts.append("".join(part.text for part in parts if isinstance(part, Text)))
        dimensions.add(asked.output_dimensionality)
    if len(dimensions) > 1:
        raise Untranslatable("requests", "The chosen model gives all vectors the same dimension.")
    return Embed(
        texts=tuple(texts),
        dimensions=dimensions.pop(),
        single=not batch,
        left_out=tuple(left_out),
    )


def render_request(embed: Embed, model: str) -> Rendered:
    requests: list[dict[str, object]] = []
    for text in embed.texts:
        request: dict[str, object] = {
            "model": f"models/{model}",
            "content": {"parts": [{"text": text}]},
        }
        if embed.dimensions is not None:
            request["outputDimensionality"] = embed.dimensions
        requests.append(request)
    return Rendered(encode({"requests": requests}))


def parse_answer(body: bytes) -> Vectors:
    """Raises BadAnswer."""
    try:
        answer = _answer.decode(body)
    except _UNREADABLE as error:
        raise _bad(error) from None
    vectors = tuple(embedding.values for embedding in answer.embeddings)
    return Vectors(vectors=vectors, usage=_usage(answer.usage_metadata))


def render_answer(answer: Vectors, embed: Embed) -> bytes:
    values = [{"values": vector} for vector in answer.vectors]
    out: dict[str, object] = {"embedding": values[0]} if embed.single else {"embeddings": values}
    if answer.usage is not None:
        out["usageMetadata"] = {"promptTokenCount": answer.usage.input_tokens}
    return encode(out)


GEMINI_EMBEDDINGS = EmbeddingDialect(
    name=DIALECT,
    peek=peek,
    rewrite=rewrite,
    relay_answer=relay_answer,
    parse_request=parse_request,
    render_request=render_request,
    parse_answer=parse_answer,
    render_answer=render_answer,
)
