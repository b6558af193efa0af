"""What a key looks like, and the hash that is kept of it."""

import secrets
from hashlib import sha256

PREFIX = "sk-gw-"
_RANDOM_BYTES = 32
_CHECK = 6
_LENGTH = len(PREFIX) + 43 + _CHECK


def new_key() -> str:
    """256 random bits and a check sum, so that a mistyped key is told from a real one unasked."""
    key = PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    return key + _check(key)


def is_well_formed(key: str) -> bool:
    """Whether it could be a key. It tells nothing about which keys exist."""
    return (
        len(key) == _LENGTH
        and key.startswith(PREFIX)
        and key.isascii()
        and key[-_CHECK:] == _check(key[:-_CHECK])
    )


def hash_of(key: bytes) -> bytes:
    """SHA-256. A key has 256 random bits: a slow hash would guard against guessing what cannot be
    guessed, and a look-up by the hash tells nobody anything by its timing (see docs/decisions)."""
    return sha256(key).digest()


def hint_of(key: str) -> str:
    """Enough for its owner to recognise it by, and for nothing else."""
    return f"{PREFIX}...{key[-4:]}"


def _check(text: str) -> str:
    return sha256(text.encode("utf-8")).hexdigest()[:_CHECK]
