"""Providers whose embeddings are not quite, or not at all, OpenAI's.

- *Voyage* takes OpenAI's request with its own name for `dimensions`, and answers in OpenAI's shape
  (docs.voyageai.com/reference/embeddings-api).
- *Cohere* has a format of its own (docs.cohere.com/v2/reference/embed). Its models embed documents and
  queries differently; OpenAI's request does not say which it holds, so `input_type` may be sent along
  and is `search_document` where it is not.
"""

from collections.abc import Callable

import msgspec
from msgspec import Raw, Struct
from msgspec.json import Decoder, decode, encode

from ai_gateway.model.errors import Untranslatable

from .dialect import BadAnswer, RenderTarget
from .openai_chat.answers import bad_answer

Fields = dict[str, Raw]
"""The request's members, in OpenAI's words, values to the letter."""


class EmbeddingsFormat(Struct, frozen=True):
    render: Callable[[Fields, RenderTarget], bytes]
    """Raises Untranslatable."""
    to_openai: Callable[[bytes, str], bytes]
    """The answer in OpenAI's shape, for the model of that name. Raises BadAnswer."""


_COHERE_MOST_TEXTS = 96
_OPENAI_ONLY = ("encoding_format", "user")


def _render_voyage(fields: Fields, target: RenderTarget) -> bytes:
    out: dict[str, object] = {**fields, "model": target.model}
    out.pop("user", None)
    dimensions = out.pop("dimensions", None)
    if dimensions is not None:
        out["output_dimension"] = dimensions
    # Voyage knows base64, and floats only by not being asked for anything.
    if decode(fields.get("encoding_format", Raw(b"null"))) == "float":
        del out["encoding_format"]
    return encode(out)


def _as_it_is(body: bytes, model: str) -> bytes:
    return body


def _render_cohere(fields: Fields, target: RenderTarget) -> bytes:
    given = decode(fields["input"])
    texts = [given] if isinstance(given, str) else given
    if not all(isinstance(text, str) for text in texts):
        raise Untranslatable("input", "Cohere embeds texts, not tokens. Send strings.")
    if len(texts) > _COHERE_MOST_TEXTS:
        raise Untranslatable("input", f"Cohere takes at most {_COHERE_MOST_TEXTS} texts at once.")
    out: dict[str, object] = {
        name: value
        for name, value in fields.items()
        if name not in ("input", "dimensions", *_OPENAI_ONLY)
    }
    out |= {"model": target.model, "texts": texts, "embedding_types": ["float"]}
    out.setdefault("input_type", "search_document")
    if "dimensions" in fields:
        out["output_dimension"] = fields["dimensions"]
    return encode(out)


class _CohereUnits(Struct, frozen=True):
    input_tokens: float = 0


class _CohereMeta(Struct, frozen=True):
    billed_units: _CohereUnits = _CohereUnits()


class _CohereVectors(Struct, frozen=True):
    float: list[Raw]


class _CohereAnswer(Struct, frozen=True):
    embeddings: _CohereVectors
    meta: _CohereMeta = _CohereMeta()


_decode_cohere = Decoder(_CohereAnswer)


def _cohere_to_openai(body: bytes, model: str) -> bytes:
    try:
        answer = _decode_cohere.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_answer(error) from None
    tokens = int(answer.meta.billed_units.input_tokens)
    data = [
        {"object": "embedding", "index": at, "embedding": vector}
        for at, vector in enumerate(answer.embeddings.float)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return encode({"object": "list", "data": data, "model": model, "usage": usage})


EMBEDDINGS_FORMATS: dict[str, EmbeddingsFormat] = {
    "voyage": EmbeddingsFormat(_render_voyage, _as_it_is),
    "cohere": EmbeddingsFormat(_render_cohere, _cohere_to_openai),
}
"""By the dialect that `providers.toml` names; OpenAI's own is relayed and not among them."""

# Reranking: Jina's and Cohere's requests and answers are one format, Voyage's differs in two names.


def rerank_to_voyage(fields: Fields, model: str) -> bytes:
    out: dict[str, object] = {**fields, "model": model}
    top = out.pop("top_n", None)
    if top is not None:
        out["top_k"] = top
    return encode(out)


class _VoyageUsage(Struct, frozen=True):
    total_tokens: int = 0


class _VoyageResult(Struct, frozen=True):
    index: int
    relevance_score: Raw
    document: str | None = None


class _VoyageRanked(Struct, frozen=True):
    data: list[_VoyageResult]
    model: str = ""
    usage: _VoyageUsage = _VoyageUsage()


_decode_ranked = Decoder(_VoyageRanked)


def rerank_from_voyage(body: bytes) -> bytes:
    """Raises BadAnswer."""
    try:
        answer = _decode_ranked.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswer(f"the ranking cannot be read: {type(error).__name__}") from None
    results = [
        {"index": r.index, "relevance_score": r.relevance_score}
        | ({} if r.document is None else {"document": {"text": r.document}})
        for r in answer.data
    ]
    return encode(
        {
            "model": answer.model,
            "results": results,
            "usage": {"total_tokens": answer.usage.total_tokens},
        }
    )
