"""Whose a signature of reasoning is, told inside the signature itself.

Anthropic's `signature`, OpenAI's `encrypted_content` and Gemini's `thoughtSignature` each mean
something to their maker alone, and a provider refuses a history that holds another's. So in the
model a signature is carried as `dialect#signature`. A dialect writes its own bare and another's
marked; the caller hands back what it was given, and it reaches only the provider that can read it.
"""

import re

_MARK = re.compile(r"([a-z][a-z_]*)#")
MAKERS = ("anthropic_messages", "openai_responses", "gemini")
"""Dialects whose providers sign their reasoning."""
_REDACTED = "anthropic_messages#redacted:"
"""How Anthropic's redacted thinking is carried where only a signature has a place."""


def marked(signature: str, dialect: str) -> str:
    """What stood in `dialect`'s own place for it, as the model carries it."""
    return signature if _MARK.match(signature) else f"{dialect}#{signature}"


def bare(signature: str, dialect: str) -> str:
    """As `dialect` writes it to a caller: its own bare, another's still marked."""
    return signature.removeprefix(f"{dialect}#")


def own(signature: str | None, dialect: str) -> str | None:
    """The signature `dialect`'s provider can read; None where it is another's."""
    if not signature:
        return None
    mark = _MARK.match(signature)
    if mark is None:
        return signature
    return signature[mark.end() :] if mark[1] == dialect else None


def is_marked(signature: str) -> bool:
    return _MARK.match(signature) is not None


def foreign_marks(dialect: str, *fields: str) -> tuple[bytes, ...]:
    """How another maker's signature looks in a dialect's bytes, in a field of one of these names. In a
    text the quotes would be escaped."""
    return tuple(
        f'"{field}":{space}"{maker}#'.encode()
        for field in fields
        for space in ("", " ")
        for maker in MAKERS
        if maker != dialect
    )


def redacted_as_signature(data: str) -> str:
    return _REDACTED + data


def redacted_in(signature: str) -> str | None:
    """The redacted thinking that a signature carries, if it does."""
    return signature.removeprefix(_REDACTED) if signature.startswith(_REDACTED) else None
