"""OpenAI Embeddings (platform.openai.com/docs/api-reference/embeddings): relayed, looked at.

Vectors are never decoded on the way; only a provider that cannot send base64 has its floats packed
for a caller who asked for base64 (what OpenAI's SDK asks for unless told otherwise).
"""

import base64
from array import array

import msgspec
from msgspec import Raw, Struct
from msgspec.json import Decoder, encode

from ai_gateway.model.errors import Untranslatable
from ai_gateway.model.usage import Usage

from .dialect import BadAnswer, Rendered
from .embedding import Embed, EmbeddingDialect, EmbeddingsPeek, Vectors
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


def relay_answer(peeked: EmbeddingsPeek, body: bytes) -> tuple[bytes, Usage]:
    """Raises BadAnswer."""
    usage = peek_embeddings_answer(body)
    # Providers that know only floats ignore the wish; the caller still gets what it asked.
    return (to_base64(body) if peeked.encoding_format == "base64" else body), usage


def parse_request(body: bytes) -> Embed:
    """Raises GatewayError(invalid_request) naming what only OpenAI's API can take."""
    request = decode_object(body, _decode_request)
    for name, value in top_level_fields(body).items():
        if name not in _Request.__struct_fields__ and bytes(value) != b"null":
            raise Untranslatable(
                name, f"The chosen model's API has nothing like {name}. Leave it out."
            )
    given = request.input
    texts = (given,) if isinstance(given, str) else tuple(given)
    if not all(isinstance(text, str) for text in texts):
        raise Untranslatable("input", "The chosen model takes texts, not tokens.")
    return Embed(
        texts=tuple(text for text in texts if isinstance(text, str)),
        dimensions=request.dimensions,
        packed=request.encoding_format == "base64",
        single=isinstance(given, str),
        model=request.model,
        left_out=("user",) if request.user is not None else (),
    )


def render_request(embed: Embed, model: str) -> Rendered:
    out: dict[str, object] = {"model": model, "input": list(embed.texts)}
    if embed.dimensions is not None:
        out["dimensions"] = embed.dimensions
    return Rendered(encode(out))


def parse_answer(body: bytes) -> Vectors:
    """Raises BadAnswer."""
    usage = peek_embeddings_answer(body)
    try:
        data = _decode_data.decode(_decode_answer.decode(body)["data"])
        vectors = tuple(_as_numbers(entry["embedding"]) for entry in data)
    except (*_UNREADABLE, KeyError, ValueError) as error:
        raise BadAnswer(f"embeddings cannot be read: {type(error).__name__}") from None
    return Vectors(vectors=vectors, usage=usage)


def _as_numbers(vector: Raw) -> Raw:
    """Floats are asked for; base64 is what some providers send all the same."""
    packed = _decode_vector.decode(vector)
    if not isinstance(packed, str):
        return vector
    floats = array("f")
    floats.frombytes(base64.b64decode(packed, validate=True))
    if _BIG_ENDIAN:  # pragma: no cover
        floats.byteswap()
    return Raw(encode(floats.tolist()))


def render_answer(answer: Vectors, embed: Embed) -> bytes:
    tokens = 0 if answer.usage is None else answer.usage.input_tokens
    body = encode(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": vector}
                for index, vector in enumerate(answer.vectors)
            ],
            "model": answer.model or embed.model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )
    return to_base64(body) if embed.packed else body


_BIG_ENDIAN = array("H", [1]).tobytes() == b"\x00\x01"

OPENAI_EMBEDDINGS = EmbeddingDialect(
    name="openai_chat",
    peek=peek_embeddings,
    rewrite=rewrite_embeddings,
    relay_answer=relay_answer,
    parse_request=parse_request,
    render_request=render_request,
    parse_answer=parse_answer,
    render_answer=render_answer,
)
