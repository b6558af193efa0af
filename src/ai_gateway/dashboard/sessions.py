"""A browser's session, sealed in a cookie that only this gateway can open: the key it signed in with, or
the person whom an OpenID provider vouched for.

Nothing is stored, so every replica knows every session. A key that is revoked ends its sessions at once:
each request presents it anew. The seal is made from ADMIN_KEY (Fernet: AES-CBC and HMAC-SHA256, with the
time of its making, github.com/fernet/spec); changing that ends all sessions.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from time import time
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from ai_gateway.model.key import Role

COOKIE = "gateway_session"
SIGN_IN_COOKIE = "gateway_sign_in"
"""While a browser is at the OpenID provider."""
SECONDS = 12 * 3600
SIGN_IN_SECONDS = 600
_LONGEST = 4096


class SignedIn(Struct, frozen=True, kw_only=True):
    """A person, as the provider's claims had it."""

    provider: str
    """Its name in `gateway.yaml`."""
    user: str
    role: Role
    tenant: str | None


class Session(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of a key or of a person."""

    until: float
    """Seconds since the epoch."""
    key: str | None = None
    person: SignedIn | None = None


_Sealed = TypeVar("_Sealed")


class Sessions:
    def __init__(self, admin_key: str) -> None:
        self._csrf = _derived(admin_key, b"dashboard csrf")
        self._seals = {
            COOKIE: _derived(admin_key, b"dashboard session seal"),
            SIGN_IN_COOKIE: _derived(admin_key, b"dashboard sign-in seal"),
        }
        self._boxes: dict[str, Any] = {}

    def seal(self, cookie: str, content: Struct) -> str:
        """The cookie's value."""
        return self._box(cookie).encrypt(msgspec.json.encode(content)).decode()

    def session(self, headers: Mapping[bytes, bytes]) -> Session | None:
        """What the request's cookie holds; None where there is none that is good."""
        found = self.opened(COOKIE, headers, Session)
        return found if found is not None and time() < found.until else None

    def opened(
        self,
        cookie: str,
        headers: Mapping[bytes, bytes],
        kind: type[_Sealed],
        seconds: int | None = None,
    ) -> _Sealed | None:
        """None where it is older than `seconds`, too."""
        token = cookie_of(headers, cookie)
        if token is None:
            return None
        from cryptography.fernet import InvalidToken

        try:
            return msgspec.json.decode(self._box(cookie).decrypt(token, ttl=seconds), type=kind)
        except (InvalidToken, msgspec.DecodeError):
            return None

    def csrf_token(self, cookie: str) -> str:
        """What a page must send along with whatever changes something."""
        return hmac.new(self._csrf, cookie.encode(), hashlib.sha256).hexdigest()

    def is_csrf_good(self, headers: Mapping[bytes, bytes]) -> bool:
        cookie = cookie_of(headers)
        given = headers.get(b"x-csrf-token", b"").decode("latin-1")
        return cookie is not None and hmac.compare_digest(
            self.csrf_token(cookie).encode(), given.encode()
        )

    def _box(self, cookie: str) -> Any:
        if cookie not in self._boxes:
            # Only who has a dashboard open pays for the import.
            from cryptography.fernet import Fernet

            self._boxes[cookie] = Fernet(base64.urlsafe_b64encode(self._seals[cookie]))
        return self._boxes[cookie]


def cookie_of(headers: Mapping[bytes, bytes], cookie: str = COOKIE) -> str | None:
    for part in headers.get(b"cookie", b"").decode("latin-1").split(";"):
        name, equals, value = part.strip().partition("=")
        if equals and name == cookie and 0 < len(value) <= _LONGEST and value.isascii():
            return value
    return None


def session_cookie(value: str, seconds: int, *, secure: bool) -> str:
    """A `Set-Cookie`."""
    end = "; Secure" if secure else ""
    return f"{COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{end}"


def _derived(secret: str, purpose: bytes) -> bytes:
    return hmac.new(hashlib.sha256(secret.encode()).digest(), purpose, hashlib.sha256).digest()
