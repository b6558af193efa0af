"""What a caller's `Cache-Control` asks of the cache (RFC 9111, the directives that fit)."""

from msgspec import Struct

from ai_gateway.model.errors import GatewayError

_LONGEST = 10**9


class Directives(Struct, frozen=True):
    read: bool = True
    """A stored answer will do."""
    write: bool = True
    """The answer may be stored."""
    max_age: float | None = None
    """Seconds; an older answer will not do."""


NONE = Directives()


def parse_cache_control(value: bytes | None) -> Directives:
    """Directives of no concern here are passed over. Raises GatewayError(invalid_request)."""
    if not value:
        return NONE
    read = write = True
    max_age: float | None = None
    for item in value.decode("latin-1").lower().split(","):
        name, _, given = item.strip().partition("=")
        match name.strip():
            case "no-cache":
                read = False
            case "no-store":
                read = write = False
            case "max-age":
                given = given.strip().strip('"')
                if not (given.isascii() and given.isdigit()):
                    raise GatewayError(
                        "invalid_request",
                        "Cache-Control: max-age must be a whole number of seconds.",
                        field="Cache-Control",
                    )
                max_age = min(float(given[:12]), _LONGEST)
            case _:
                pass
    return Directives(read, write, max_age)
