"""What replicas tell each other of their indices, over a stream in the shared state."""

import msgspec
from msgspec import Struct


class Added(Struct, frozen=True, tag="a", array_like=True):
    replica: str
    key: str
    group: bytes
    text: str
    vector: bytes
    """Half-precision floats, little-endian."""
    expires: float
    """Unix seconds."""


class Gone(Struct, frozen=True, tag="g", array_like=True):
    """Evicted: it answered wrongly, or was purged."""

    replica: str
    keys: list[str]


class Learnt(Struct, frozen=True, tag="l", array_like=True):
    replica: str
    key: str
    similarity: float
    same: bool


Message = Added | Gone | Learnt

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Message).decode


def to_bytes(message: Message) -> bytes:
    return _encode(message)


def from_bytes(data: bytes) -> Message | None:
    """None for another version's."""
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
