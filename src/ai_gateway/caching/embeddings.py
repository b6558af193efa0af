"""Embeddings, kept text by text: a batch of which some texts are known asks only for the rest."""

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b

import msgspec
from msgspec import Raw, Struct
from msgspec.json import Decoder

from .entry import Entry
from .question import DIGEST_BYTES, UNTOLD_FIELDS, canonical_json

MOST_TEXTS = 512
"""A larger batch is asked for as it is: looking at its every text would hold up other calls."""

_encode = msgspec.json.Encoder(order="sorted").encode
_items = Decoder(list[Raw]).decode


class _Vector(Struct, frozen=True):
    embedding: Raw
    index: int | None = None


class _Vectors(Struct, frozen=True):
    data: list[_Vector]


_vectors = Decoder(_Vectors).decode


class Shape(Struct, frozen=True):
    """How a dialect writes texts and their embeddings."""

    texts: str
    """The field that holds several texts."""
    read: Callable[[bytes, int], list[Raw] | None]
    """An answer's embeddings in the order of the texts; None where they are not as many as were asked for."""
    answer: Callable[[Sequence[Entry]], bytes]


class EmbeddingInputs(Struct, frozen=True):
    texts: list[Raw]
    """As the caller wrote them: JSON strings or lists of tokens; Gemini's requests."""
    digests: list[bytes]
    digest: bytes
    """Of the whole call."""
    shape: "Shape"

    def keys(self, prefix: str) -> list[str]:
        return [prefix + digest.hex() for digest in self.digests]


def open_inputs(fields: Mapping[str, Raw]) -> EmbeddingInputs | None:
    """Of a well-formed call; None for a batch too large to be looked at."""
    given = fields["input"]
    texts = _items(given) if _first(given) == b"[" else [given]
    if _first(texts[0]) not in (b'"', b"["):
        # One text, given as its tokens.
        texts = [given]
    if len(texts) > MOST_TEXTS:
        return None
    base = blake2b(digest_size=DIGEST_BYTES)
    for name in sorted(fields):
        if name not in UNTOLD_FIELDS and name != "input":
            base.update(_encode([name, canonical_json(fields[name])]))
    whole = base.copy()
    digests: list[bytes] = []
    for text in texts:
        one = base.copy()
        one.update(_encode(canonical_json(text)))
        digests.append(one.digest())
        whole.update(digests[-1])
    return EmbeddingInputs(texts, digests, whole.digest(), OPENAI)


def _first(value: Raw) -> bytes:
    return bytes(memoryview(value)[:1])


def read_vectors(body: bytes, wanted: int) -> list[Raw] | None:
    """An answer's vectors in the order of the texts; None where they are not what was asked for."""
    try:
        data = _vectors(body).data
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if len(data) != wanted:
        return None
    at = [i if vector.index is None else vector.index for i, vector in enumerate(data)]
    if sorted(at) != list(range(wanted)):
        return None
    return [data[at.index(i)].embedding for i in range(wanted)]


def embeddings_answer(entries: Sequence[Entry]) -> bytes:
    """OpenAI's answer, with the tokens that all of its texts took when they were asked for."""
    tokens = sum(entry.usage.input_tokens for entry in entries)
    return msgspec.json.encode(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": Raw(entry.body)}
                for index, entry in enumerate(entries)
            ],
            "model": entries[0].answered_model or entries[0].model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )


OPENAI = Shape("input", read_vectors, embeddings_answer)
