"""JSON Web Tokens (RFC 7519) of an OpenID provider, taken as keys.

A token is checked once and then known like a key, for a minute at most; its issuer's public keys
(RFC 7517) are fetched when first needed, every few minutes, and when a token names one that is not
known, so that an issuer may rotate them at any time.
"""

import asyncio
import ssl
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic, time
from typing import Any, cast

import jwt
from jwt.exceptions import PyJWTError

from ai_gateway.model.call import Caller
from ai_gateway.model.key import Role, TokenIssuer
from ai_gateway.model.policy import Policy

from .access import unavailable
from .known import KnownKey
from .policies import merge

TenantPolicy = Callable[[str], Awaitable[Policy | None]]
"""A tenant's rules; None where it is disabled. Raises GatewayError(unavailable)."""

_KNOWN_SECONDS = 60.0
_REFRESH_SECONDS = 300.0
_LEAST_SECONDS = 10.0
"""Between two fetches of one issuer's keys, whatever tokens name."""
_FETCH_SECONDS = 5.0
_LARGEST = 1024 * 1024
_LEEWAY_SECONDS = 30
_LONGEST_NAME = 256
_MOST_KEYS = 32
_ROLES: Mapping[str, Role] = {"admin": "admin", "viewer": "viewer", "tenant-admin": "tenant-admin"}


class TokenReader:
    """`issuers` by their names in `gateway.yaml`."""

    def __init__(self, issuers: Mapping[str, TokenIssuer], tenant_policy: TenantPolicy) -> None:
        self._by_issuer = {
            (issuer.issuer, issuer.audience): _Issuer(issuer) for issuer in issuers.values()
        }
        self._tenant_policy = tenant_policy

    async def read(self, given: bytes) -> KnownKey | None:
        """None for a token that is not good. Raises GatewayError(unavailable) where that cannot be
        said: the issuer's keys, or the tenant's rules, cannot be had."""
        try:
            token = given.decode("ascii")
            header: dict[str, Any] = jwt.get_unverified_header(token)
            unchecked: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
        except (UnicodeDecodeError, PyJWTError):
            return None
        for issuer in self._issuers(unchecked):
            kid = header.get("kid")
            for key in await issuer.keys(kid if isinstance(kid, str) else None):
                claims = _verified(token, key, issuer.rules)
                if claims is not None:
                    return await self._known(claims, issuer.rules)
        return None

    def _issuers(self, unchecked: Mapping[str, Any]) -> "list[_Issuer]":
        audiences: Any = unchecked.get("aud")
        listed = cast("list[Any]", audiences) if isinstance(audiences, list) else [audiences]
        found = (self._by_issuer.get((str(unchecked.get("iss")), str(each))) for each in listed)
        return [issuer for issuer in found if issuer is not None]

    async def _known(self, claims: Mapping[str, Any], rules: TokenIssuer) -> KnownKey | None:
        tenant = rules.tenant or _name(claims.get(rules.tenant_claim))
        user = _name(claims.get(rules.user_claim))
        if tenant is None or user is None or not _is_tenant(tenant):
            return None
        policy = await self._tenant_policy(tenant)
        if policy is None:
            return None
        role = claims.get(rules.role_claim) if rules.role_claim is not None else None
        return KnownKey(
            caller=Caller(tenant=tenant, user=user, policy=merge(policy, rules.policy)),
            user_is_fixed=True,
            expires_at=float(claims["exp"]) + _LEEWAY_SECONDS,
            checked_until=time() + _KNOWN_SECONDS,
            role=_ROLES.get(role) if isinstance(role, str) else None,
        )


class _Issuer:
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
                if monotonic() - self._tried > _LEAST_SECONDS:
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
            body = await asyncio.to_thread(_get, self.rules.jwks)
            found = jwt.PyJWKSet.from_json(body.decode("utf-8")).keys
        except (OSError, ValueError, PyJWTError):
            return
        self._keys = {key.key_id: key for key in found[:_MOST_KEYS]}
        self._fetched = monotonic()


def _get(url: str) -> bytes:
    """Raises OSError, ValueError."""
    context = ssl.create_default_context()
    opener = urllib.request.build_opener(
        _NoRedirects(), urllib.request.HTTPSHandler(context=context)
    )
    with opener.open(url, timeout=_FETCH_SECONDS) as answer:
        body: bytes = answer.read(_LARGEST + 1)
    if len(body) > _LARGEST:
        raise ValueError("too large")
    return body


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any, **others: Any) -> None:
        return None


def _verified(token: str, key: jwt.PyJWK, rules: TokenIssuer) -> dict[str, Any] | None:
    try:
        return jwt.decode(
            token,
            key,
            algorithms=list(rules.algorithms),
            audience=rules.audience,
            issuer=rules.issuer,
            leeway=_LEEWAY_SECONDS,
            options={"require": ["exp", "iss", "aud"]},
        )
    except (PyJWTError, ValueError, TypeError):
        return None


def _name(claim: object) -> str | None:
    good = isinstance(claim, str) and claim.isprintable() and 0 < len(claim) <= _LONGEST_NAME
    return claim if good and isinstance(claim, str) else None


def _is_tenant(name: str) -> bool:
    """As `model.key.TenantId`."""
    plain = name.replace("-", "").replace("_", "").replace(".", "")
    return len(name) <= 64 and name[0].isalnum() and plain.isalnum() and name.isascii()
