"""Gemini's calls for embeddings, text by text: `:embedContent` asks for one, `:batchEmbedContents` for several."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b

import msgspec
from msgspec import Raw, Struct
from msgspec.json import Decoder

from .embeddings import MOST_TEXTS, EmbeddingInputs, Shape
from .entry import Entry
from .question import DIGEST_BYTES, canonical_json

_encode = msgspec.json.Encoder(order="sorted").encode
_fields = Decoder(dict[str, Raw]).decode
_list = Decoder(list[Raw]).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _One(Struct, frozen=True):
    embedding: Raw


class _Several(Struct, frozen=True):
    embeddings: list[Raw]


_one = Decoder(_One).decode
_several = Decoder(_Several).decode


def open_gemini_inputs(fields: Mapping[str, Raw]) -> EmbeddingInputs | None:
    """Of a well-formed call; None for a batch too large to be looked at, or beside what it holds more."""
    batch = fields.get("requests")
    if batch is not None and len(fields) > 1:
        return None
    requests = [fields] if batch is None else [_fields(request) for request in _list(batch)]
    if len(requests) > MOST_TEXTS:
        return None
    digests: list[bytes] = []
    for request in requests:
        # The model stands in the path, and in the key.
        told = {name: canonical_json(raw) for name, raw in request.items() if name != "model"}
        digests.append(blake2b(_encode(["gemini", told]), digest_size=DIGEST_BYTES).digest())
    whole = blake2b(b"one" if batch is None else b"batch", digest_size=DIGEST_BYTES)
    for digest in digests:
        whole.update(digest)
    texts = [Raw(_encode(fields))] if batch is None else _list(batch)
    return EmbeddingInputs(texts, digests, whole.digest(), ONE if batch is None else SEVERAL)


def _read_one(body: bytes, wanted: int) -> list[Raw] | None:
    try:
        return [_one(body).embedding]
    except _UNREADABLE:
        return None


def _read_several(body: bytes, wanted: int) -> list[Raw] | None:
    try:
        found = _several(body).embeddings
    except _UNREADABLE:
        return None
    return found if len(found) == wanted else None


def _answer_one(entries: Sequence[Entry]) -> bytes:
    return _answer({"embedding": Raw(entries[0].body)}, entries)


def _answer_several(entries: Sequence[Entry]) -> bytes:
    return _answer({"embeddings": [Raw(entry.body) for entry in entries]}, entries)


def _answer(answer: dict[str, object], entries: Sequence[Entry]) -> bytes:
    """With the tokens, where the provider told them, that the texts took when they were asked for."""
    tokens = sum(entry.usage.input_tokens for entry in entries)
    if tokens:
        answer["usageMetadata"] = {"promptTokenCount": tokens}
    return msgspec.json.encode(answer)


ONE = Shape("requests", _read_one, _answer_one)
SEVERAL = Shape("requests", _read_several, _answer_several)
