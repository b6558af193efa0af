"""Who may reach an open gateway on this machine: programs on it, and no web page that tricks a browser.

Without keys the loopback address is what guards the gateway. A page whose name is made to mean
127.0.0.1 (DNS rebinding) could have a visitor's browser call it, and spend their keys; but the browser
then sends that name as `Host`, and a page of any other origin sends its `Origin`. Where programs on
other machines may call as well (`until-keys`), the gateway has a name of its own, and pages alone are
turned away.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

from ai_gateway.access.listening import listening_is_safe as is_loopback

_MOST_KEPT = 64


class LoopbackGuard:
    """Says of a request's headers whether they name this machine."""

    def __init__(self, *, any_host: bool = False) -> None:
        self._looked_at = (b"origin",) if any_host else (b"host", b"origin")
        self._good: set[bytes] = set()

    def lets_in(self, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        for name, value in headers:
            if name in self._looked_at and value not in self._good and not self._check(value):
                return False
        return True

    def _check(self, value: bytes) -> bool:
        text = value.decode("latin-1")
        try:
            host = urlsplit(text if "://" in text else f"//{text}").hostname
        except ValueError:
            return False
        if host is None or not is_loopback(host):
            return False
        if len(self._good) < _MOST_KEPT:
            self._good.add(value)
        return True


def guard_of(access: str) -> LoopbackGuard | None:
    """What a gateway in this mode of access has while calls need no key."""
    match access:
        case "auto":
            return LoopbackGuard()
        case "until-keys":
            return LoopbackGuard(any_host=True)
        case _:
            return None
