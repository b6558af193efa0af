"""OpenAI Embeddings (platform.openai.com/docs/api-reference/embeddings): relayed, looked at.

Vectors are never decoded on the way; only a provider that cannot send base64 has its floats packed
for a caller who asked for base64 (what OpenAI's SDK asks for unless told otherwise).
"""

import base64
from array import array

import msgspec
from msgspec import Raw, Struct
from msgspec.json import Decoder, encode

from ai_gateway.model.usage import Usage

from .dialect import BadAnswer
from .openai_chat.answers import bad_answer
from .strict_json import check_model, decode_object, invalid, top_level_fields

MOST_INPUTS = 2048


class _Request(Struct, frozen=True, kw_only=True):
    model: str
    input: str | list[str | int | list[int]]
    encoding_format: str | None = None
    dimensions: int | None = None
    user: str | None = None


class _AnswerUsage(Struct, frozen=True):
    prompt_tokens: int | None = None
    total_tokens: int | None = None


class _PeekedAnswer(Struct, frozen=True):
    data: list[Raw]
    usage: _AnswerUsage | None = None


_decode_request = Decoder(_Request)
_decode_peeked = Decoder(_PeekedAnswer)
_decode_answer = Decoder(dict[str, Raw])
_decode_data = Decoder(list[dict[str, Raw]])
_decode_vector = Decoder(str | list[float])
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class EmbeddingsPeek(Struct, frozen=True, kw_only=True):
    model: str
    inputs: int
    """How many texts are embedded."""
    encoding_format: str | None
    dimensions: int | None
    user: str | None
    fields: dict[str, Raw]


def peek_embeddings(body: bytes) -> EmbeddingsPeek:
    """Raises GatewayError(invalid_request) naming the field."""
    request = decode_object(body, _decode_request)
    fields = top_level_fields(body)
    check_model(request.model)
    if request.encoding_format not in (None, "float", "base64"):
        raise invalid("encoding_format", "must be 'float' or 'base64'.")
    if request.dimensions is not None and request.dimensions < 1:
        raise invalid("dimensions", "must be a whole number of at least 1.")
    return EmbeddingsPeek(
        model=request.model,
        inputs=_count(request.input),
        encoding_format=request.encoding_format,
        dimensions=request.dimensions,
        user=request.user,
        fields=fields,
    )


def _count(given: str | list[str | int | list[int]]) -> int:
    if isinstance(given, str):
        if not given:
            raise invalid("input", "must not be empty.")
        return 1
    if not given:
        raise invalid("input", "must hold at least one text.", code="empty_array")
    first = type(given[0])
    for i, entry in enumerate(given):
        if type(entry) is not first:
            raise invalid(f"input[{i}]", "must be of the same kind as the entries before it.")
        if not isinstance(entry, int) and not entry:
            raise invalid(f"input[{i}]", "must not be empty.")
    if first is int:
        # One text, given as its tokens.
        return 1
    if len(given) > MOST_INPUTS:
        raise invalid("input", f"must hold at most {MOST_INPUTS} texts.")
    return len(given)


def rewrite_embeddings(peeked: EmbeddingsPeek, body: bytes, model: str) -> bytes:
    if model == peeked.model:
        return body
    return encode({**peeked.fields, "model": model})


def peek_embeddings_answer(body: bytes) -> Usage:
    """Raises BadAnswer."""
    try:
        answer = _decode_peeked.decode(body)
    except _UNREADABLE as error:
        raise bad_answer(error) from None
    usage = answer.usage
    if usage is None:
        return Usage()
    # Voyage tells only the total.
    return Usage(input_tokens=usage.prompt_tokens or usage.total_tokens or 0)


def to_base64(body: bytes) -> bytes:
    """The same answer with vectors as base64 of little-endian float32; as it is where they are.

    Raises BadAnswer.
    """
    try:
        answer = _decode_answer.decode(body)
        data = _decode_data.decode(answer["data"])
        changed = False
        out: list[dict[str, object]] = []
        for entry in data:
            vector = _decode_vector.decode(entry["embedding"])
            if isinstance(vector, str):
                out.append({**entry})
                continue
            changed = True
            out.append({**entry, "embedding": pack(vector)})
    except (*_UNREADABLE, KeyError) as error:
        raise BadAnswer(f"embeddings cannot be read: {type(error).__name__}") from None
    return encode({**answer, "data": out}) if changed else body


def pack(vector: list[float]) -> str:
    floats = array("f", vector)
    if floats.itemsize != 4:  # pragma: no cover
        raise BadAnswer("this machine has no 32-bit floats")
    if _BIG_ENDIAN:  # pragma: no cover
        floats.byteswap()
    return base64.b64encode(floats.tobytes()).decode("ascii")


_BIG_ENDIAN = array("H", [1]).tobytes() == b"\x00\x01"
