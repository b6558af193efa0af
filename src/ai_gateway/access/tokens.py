"""JSON Web Tokens (RFC 7519) of an OpenID provider, taken as keys.

A token is checked once and then known like a key, for a minute at most; its issuer's public keys
(RFC 7517) are fetched when first needed, every few minutes, and when a token names one that is not
known, so that an issuer may rotate them at any time.
"""

from collections.abc import Awaitable, Callable, Mapping
from time import time
from typing import Any, cast

import jwt
from jwt.exceptions import PyJWTError

from ai_gateway.model.call import Caller
from ai_gateway.model.key import TokenIssuer
from ai_gateway.model.policy import Policy

from .claims import person_of
from .issuer import LEEWAY_SECONDS, Issuer, verified
from .known import KnownKey
from .policies import merge

TenantPolicy = Callable[[str], Awaitable[Policy | None]]
"""A tenant's rules; None where it is disabled. Raises GatewayError(unavailable)."""

_KNOWN_SECONDS = 60.0


class TokenReader:
    """`issuers` by their names in `gateway.yaml`."""

    def __init__(self, issuers: Mapping[str, TokenIssuer], tenant_policy: TenantPolicy) -> None:
        self._by_issuer = {
            (issuer.issuer, issuer.audience): Issuer(issuer) for issuer in issuers.values()
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
                claims = verified(token, key, issuer.rules, issuer.rules.audience)
                if claims is not None:
                    return await self._known(claims, issuer.rules)
        return None

    def _issuers(self, unchecked: Mapping[str, Any]) -> list[Issuer]:
        audiences: Any = unchecked.get("aud")
        listed = cast("list[Any]", audiences) if isinstance(audiences, list) else [audiences]
        found = (self._by_issuer.get((str(unchecked.get("iss")), str(each))) for each in listed)
        return [issuer for issuer in found if issuer is not None]

    async def _known(self, claims: Mapping[str, Any], rules: TokenIssuer) -> KnownKey | None:
        person = person_of(claims, rules)
        if person is None or person.tenant is None:
            return None
        policy = await self._tenant_policy(person.tenant)
        if policy is None:
            return None
        return KnownKey(
            caller=Caller(
                tenant=person.tenant, user=person.user, policy=merge(policy, rules.policy)
            ),
            user_is_fixed=True,
            expires_at=float(claims["exp"]) + LEEWAY_SECONDS,
            checked_until=time() + _KNOWN_SECONDS,
            role=person.role,
        )
