"""A browser's session: the key it signed in with, sealed in a cookie that only this gateway can open.

Nothing is stored, so every replica knows every session, and a key that is revoked ends its sessions at
once: each request presents it anew. The seal is made from ADMIN_KEY (Fernet: AES-CBC and HMAC-SHA256, with
the time of its making, github.com/fernet/spec); changing that ends all sessions.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

COOKIE = "gateway_session"
SECONDS = 12 * 3600
_LONGEST = 4096


class Sessions:
    def __init__(self, admin_key: str) -> None:
        self._seal = _derived(admin_key, b"dashboard session seal")
        self._csrf = _derived(admin_key, b"dashboard csrf")
        self._fernet: Any = None

    def begin(self, credential: str) -> str:
        """The cookie's value."""
        return self._box().encrypt(credential.encode()).decode()

    def credential(self, headers: Mapping[bytes, bytes]) -> bytes | None:
        """The key that the request's cookie holds; None where there is none that is good."""
        token = cookie_of(headers)
        if token is None:
            return None
        from cryptography.fernet import InvalidToken

        try:
            return self._box().decrypt(token, ttl=SECONDS)
        except InvalidToken:
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

    def _box(self) -> Any:
        if self._fernet is None:
            # Only who has a dashboard open pays for the import.
            from cryptography.fernet import Fernet

            self._fernet = Fernet(base64.urlsafe_b64encode(self._seal))
        return self._fernet


def cookie_of(headers: Mapping[bytes, bytes]) -> str | None:
    for part in headers.get(b"cookie", b"").decode("latin-1").split(";"):
        name, equals, value = part.strip().partition("=")
        if equals and name == COOKIE and 0 < len(value) <= _LONGEST and value.isascii():
            return value
    return None


def _derived(secret: str, purpose: bytes) -> bytes:
    return hmac.new(hashlib.sha256(secret.encode()).digest(), purpose, hashlib.sha256).digest()
