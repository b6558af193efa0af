"""Texts to be turned into vectors, in no dialect; and what a dialect of embeddings offers.

Vectors are carried as they stand on the wire, never decoded unless a caller wants them packed.
"""

from collections.abc import Callable

from msgspec import Raw, Struct

from ai_gateway.model.usage import Usage

from .dialect import Rendered


class EmbeddingsPeek(Struct, frozen=True, kw_only=True):
    """What must be known of a request that is relayed."""

    model: str
    """Empty where the path tells it."""
    inputs: int
    """How many texts are embedded."""
    encoding_format: str | None = None
    dimensions: int | None = None
    user: str | None = None
    fields: dict[str, Raw]


class Embed(Struct, frozen=True, kw_only=True):
    texts: tuple[str, ...]
    dimensions: int | None = None
    packed: bool = False
    """Vectors are wanted as base64 of little-endian float32."""
    single: bool = False
    """One text was given for itself, not in a list."""
    model: str = ""
    left_out: tuple[str, ...] = ()
    """Fields only the caller's dialect knows, of little weight for the vectors."""


class Vectors(Struct, frozen=True, kw_only=True):
    vectors: tuple[Raw, ...]
    """JSON arrays of numbers."""
    usage: Usage | None = None
    model: str = ""


class EmbeddingDialect(Struct, frozen=True, kw_only=True):
    name: str
    peek: Callable[[bytes], EmbeddingsPeek]
    """Raises GatewayError(invalid_request) naming the field."""
    rewrite: Callable[[EmbeddingsPeek, bytes, str], bytes]
    """The same request for another model."""
    relay_answer: Callable[[EmbeddingsPeek, bytes], tuple[bytes, Usage | None]]
    """Raises BadAnswer."""
    parse_request: Callable[[bytes], Embed]
    render_request: Callable[[Embed, str], Rendered]
    parse_answer: Callable[[bytes], Vectors]
    """Raises BadAnswer."""
    render_answer: Callable[[Vectors, Embed], bytes]
