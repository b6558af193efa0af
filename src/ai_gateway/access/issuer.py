"""What an OpenID provider publishes: its public keys (RFC 7517), and what they have signed."""

import asyncio
import ssl
import urllib.request
from collections.abc import Mapping
from time import monotonic
from typing import Any
from urllib.parse import urlencode

import jwt
from jwt.exceptions import PyJWTError

from ai_gateway.model.key import TokenIssuer

from .access import unavailable

LEEWAY_SECONDS = 30
_REFRESH_SECONDS = 300.0
LEAST_SECONDS = 10.0
"""Between two fetches of one issuer's keys, whatever tokens name."""
_FETCH_SECONDS = 5.0
_LARGEST = 1024 * 1024
_MOST_KEYS = 32


class Issuer:
    """Its public keys, as they were fetched last."""

    def __init__(self, rules: TokenIssuer) -> None:
        self.rules = rules
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._fetched = float("-inf")
        self._tried = float("-inf")
        self._fetching = asyncio.Lock()

    async def keys(self, kid: str | None) -> list[jwt.PyJWK]:
        """Those that may have signed a token that names `kid`, or none. Raises
        GatewayError(unavailable) where none could ever be fetched."""
        now = monotonic()
        if (now - self._fetched > _REFRESH_SECONDS) or (kid is not None and kid not in self._keys):
            async with self._fetching:
                if monotonic() - self._tried > LEAST_SECONDS:
                    await self._fetch()
        if not self._keys:
            raise unavailable("The token's issuer cannot be reached at the moment. Try again.")
        if kid is not None:
            return [self._keys[kid]] if kid in self._keys else []
        return list(self._keys.values())

    async def _fetch(self) -> None:
        """The old keys stay where new ones cannot be had."""
        self._tried = monotonic()
        try:
            body = await asyncio.to_thread(fetch, self.rules.jwks)
            found = jwt.PyJWKSet.from_json(body.decode("utf-8")).keys
        except (OSError, ValueError, PyJWTError):
            return
        self._keys = {key.key_id: key for key in found[:_MOST_KEYS]}
        self._fetched = monotonic()


def fetch(
    url: str, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> bytes:
    """GET, or POST of a form; waits, so on a thread. Raises OSError, ValueError."""
    context = ssl.create_default_context()
    opener = urllib.request.build_opener(
        _NoRedirects(), urllib.request.HTTPSHandler(context=context)
    )
    data = None if form is None else urlencode(form).encode("ascii")
    request = urllib.request.Request(url, data, {"accept": "application/json", **(headers or {})})
    with opener.open(request, timeout=_FETCH_SECONDS) as answer:
        body: bytes = answer.read(_LARGEST + 1)
    if len(body) > _LARGEST:
        raise ValueError("too large")
    return body


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any, **others: Any) -> None:
        return None


def verified(
    token: str, key: jwt.PyJWK, rules: TokenIssuer, audience: str
) -> dict[str, Any] | None:
    try:
        return jwt.decode(
            token,
            key,
            algorithms=list(rules.algorithms),
            audience=audience,
            issuer=rules.issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iss", "aud"]},
        )
    except (PyJWTError, ValueError, TypeError):
        return None
