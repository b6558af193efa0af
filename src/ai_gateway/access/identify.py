"""Open mode: no keys exist, every caller is of one tenant, and `X-User-ID` names the user.

The address the gateway listens on is what guards it (see `listening_is_safe`).
"""

import ipaddress
from collections.abc import Mapping

from ai_gateway.model.call import Caller
from ai_gateway.model.errors import GatewayError

_ANONYMOUS = Caller(tenant="default", user="anonymous")
_LONGEST_USER = 256


def identify(headers: Mapping[bytes, bytes]) -> Caller:
    """Raises GatewayError(invalid_request) for a user name that is no name."""
    user = headers.get(b"x-user-id")
    if user is None:
        return _ANONYMOUS
    try:
        name = user.decode("utf-8")
    except UnicodeDecodeError:
        name = ""
    if not name.isprintable() or not 0 < len(name) <= _LONGEST_USER:
        raise GatewayError(
            "invalid_request",
            f"X-User-ID must be 1 to {_LONGEST_USER} printable characters of UTF-8.",
            field="X-User-ID",
        )
    return Caller(tenant="default", user=name)


def listening_is_safe(host: str) -> bool:
    """Whether only this machine can reach an address: a loopback one, or `localhost`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
