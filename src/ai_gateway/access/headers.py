"""What a caller's headers say of who asks; nothing of it is believed yet."""

from collections.abc import Mapping

from ai_gateway.model.errors import GatewayError

_LONGEST_USER = 256
_MOST_TAGS = 16
_LONGEST_TAG = 128


def credential(headers: Mapping[bytes, bytes]) -> bytes | None:
    """The key or token: `Authorization: Bearer`, else `x-api-key` or Google's `x-goog-api-key`.
    None where there is none."""
    authorization = headers.get(b"authorization")
    if authorization is not None and authorization[:7].lower() == b"bearer ":
        return authorization[7:].strip() or None
    return headers.get(b"x-api-key") or headers.get(b"x-goog-api-key") or None


def user(headers: Mapping[bytes, bytes]) -> str | None:
    """`X-User-ID`. Raises GatewayError(invalid_request) for one that is no name."""
    given = headers.get(b"x-user-id")
    if given is None:
        return None
    try:
        name = given.decode("utf-8")
    except UnicodeDecodeError:
        name = ""
    if not name.isprintable() or not 0 < len(name) <= _LONGEST_USER:
        raise GatewayError(
            "invalid_request",
            f"X-User-ID must be 1 to {_LONGEST_USER} printable characters of UTF-8.",
            field="X-User-ID",
        )
    return name


def tags(given: bytes) -> tuple[str, ...]:
    """`x-gateway-tags: team=search, feature=chat`. Raises GatewayError(invalid_request)."""
    try:
        found = tuple(tag for part in given.decode("utf-8").split(",") if (tag := part.strip()))
    except UnicodeDecodeError:
        found = ("",)
    if len(found) > _MOST_TAGS or not all(_is_tag(tag) for tag in found):
        raise GatewayError(
            "invalid_request",
            f"x-gateway-tags must be at most {_MOST_TAGS} of name=value, with commas between them, "
            f"each of at most {_LONGEST_TAG} printable characters.",
            field="x-gateway-tags",
        )
    return found


def _is_tag(tag: str) -> bool:
    name, equals, _ = tag.partition("=")
    return bool(name and equals) and tag.isprintable() and len(tag) <= _LONGEST_TAG
