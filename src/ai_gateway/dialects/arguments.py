"""A tool call's arguments, which OpenAI's dialects carry as text and the others as an object."""

import msgspec
from msgspec import Raw
from msgspec.json import Decoder

_object = Decoder(dict[str, Raw])


def as_object(arguments: str) -> Raw | None:
    """The object to the letter; an empty one for no text; None where the text is no JSON object."""
    if not arguments.strip():
        return Raw(b"{}")
    encoded = arguments.encode()
    try:
        _object.decode(encoded)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return Raw(encoded)
