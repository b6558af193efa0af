"""Refusing, by name, what a provider's dialect has no like of; what changes nothing passes."""

from collections.abc import Callable, Mapping

from ai_gateway.model.chat import Chat
from ai_gateway.model.errors import Untranslatable

HARMLESS_EXTRAS: Mapping[str, tuple[bytes, ...]] = {
    # Chat's and Responses' own that change nothing in the answer, whatever the value.
    "metadata": (),
    "prompt_cache_key": (),
    "prompt_cache_retention": (),
    "safety_identifier": (),
    # Messages' own.
    "betas": (),
    "container": (),
    "context_management": (),
    "store": (b"false",),
    "modalities": (b'["text"]',),
}
"""For `refuse_inexpressible`: what a provider that has no like of it is simply not told."""


def refuse_inexpressible(
    chat: Chat,
    fields: Mapping[str, tuple[object, ...]],
    extras: Mapping[str, tuple[bytes, ...]],
    note: Callable[[str], None],
) -> None:
    """`fields`: those of `Chat` that cannot be expressed, with the values that mean what happens
    anyway. `extras`: those that may pass at these values, and are noted where it is whatever the
    value (an empty tuple). Raises Untranslatable."""
    for name, harmless in fields.items():
        value = getattr(chat, name)
        if value is not None and value not in harmless:
            raise _nothing_like(name)
    for name, given in chat.extras.items():
        text = bytes(given)
        passing = extras.get(name)
        if text == b"null" or (passing and text in passing):
            continue
        if passing == ():
            note(f"{name} left out: the provider has no like of it")
            continue
        raise _nothing_like(name)
    note_verbosity(chat, note)


def note_verbosity(chat: Chat, note: Callable[[str], None]) -> None:
    if chat.verbosity not in (None, "medium"):
        note("verbosity left out: the provider has no like of it")


def _nothing_like(name: str) -> Untranslatable:
    return Untranslatable(name, f"The chosen model's API has nothing like {name}. Leave it out.")
