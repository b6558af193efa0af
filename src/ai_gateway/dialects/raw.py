"""JSON values carried to the letter.

msgspec has no union of Raw and null, so an optional Raw field is `ABSENT` where it was not given.
"""

from msgspec import Raw

ABSENT = Raw()


def given(raw: Raw) -> Raw | None:
    """The value, or None where it was absent or null."""
    return None if bytes(raw) in (b"", b"null") else raw


def given_list(raw: Raw) -> Raw | None:
    """Likewise, and None for an empty list."""
    return None if bytes(raw) == b"[]" else given(raw)
