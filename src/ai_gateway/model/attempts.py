"""A call's attempts on one line, for those who may see them."""

from collections.abc import Sequence

from .call import Attempt

_MOST_TOLD = 16
_NAME = frozenset(
    b"!#$%&'*+-.^_`|~:/0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)
"""What a token may hold."""
_LONGEST_NAME = 80


def attempts_trace(attempts: Sequence[Attempt]) -> str:
    """In the order they began: `a/gpt-4o;ms=12;status=503;why=upstream, b/gpt-4o;ms=840;status=200`.

    A list of tokens with parameters (RFC 8941). `status` is left out where no answer came, `why` where
    nothing failed; `key` is the number of the provider's credential, where it is not the first. Of more
    than 16, those in the middle are only counted: `omitted;attempts=9`.
    """
    if len(attempts) <= _MOST_TOLD:
        return ", ".join(map(_told, attempts))
    half = _MOST_TOLD // 2
    omitted = f"omitted;attempts={len(attempts) - _MOST_TOLD}"
    return ", ".join([*map(_told, attempts[:half]), omitted, *map(_told, attempts[-half:])])


def _told(attempt: Attempt) -> str:
    target = attempt.target
    told = f"{_token(target.provider)}/{_token(target.model)};ms={attempt.seconds * 1000:.0f}"
    if attempt.status:
        told += f";status={attempt.status}"
    if attempt.credential:
        told += f";key={attempt.credential}"
    if attempt.error is not None:
        told += f";why={attempt.error}"
    return told


def _token(name: str) -> str:
    """Callers choose models' names: what could not stand in a header becomes `_`."""
    given = name[:_LONGEST_NAME].encode("ascii", "replace")
    return bytes(byte if byte in _NAME else 0x5F for byte in given).decode()
