"""Signing in by an OpenID provider: the authorization code flow (OpenID Connect Core 1.0, section 3.1)
with PKCE (RFC 7636), state and nonce, and the issuer's name in its answer (RFC 9207) where it gives one.

What a person may do is in the claims of the ID token, read as those of a token that is shown as a key.
"""

import asyncio
import base64
import hashlib
from collections.abc import Mapping
from hmac import compare_digest
from secrets import token_urlsafe
from time import monotonic
from typing import Any, Literal
from urllib.parse import quote, urlencode, urlsplit

import jwt
import msgspec
from jwt.exceptions import PyJWTError
from msgspec import Struct

from ai_gateway.model.errors import GatewayError
from ai_gateway.model.key import SignIn, TokenIssuer

from .claims import Person, person_of
from .issuer import Issuer, fetch, verified
from .tokens import TenantPolicy

Failure = Literal["refused", "out_of_date", "not_valid", "no_role", "away"]
"""`refused`: by the provider, or by the person there. `no_role`: known, but with nothing to do here."""

_KEPT_SECONDS = 3600.0
_LEAST_SECONDS = 5.0
_MOST_AT_ONCE = 8
_LONGEST_CODE = 4096


class SignInFailed(Exception):
    def __init__(self, why: Failure) -> None:
        super().__init__(why)
        self.why: Failure = why


class Offer(Struct, frozen=True):
    """A way to sign in."""

    name: str
    title: str


class Pending(Struct, frozen=True):
    """What the browser brings back, sealed, to show that it was the one that began."""

    name: str
    state: str
    nonce: str
    verifier: str
    to: str


class _Metadata(Struct, frozen=True):
    """OpenID Connect Discovery 1.0, as far as it is used."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    end_session_endpoint: str | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class _Tokens(Struct, frozen=True):
    id_token: str


class SignIns:
    """`issuers` by their names in `gateway.yaml`; `secrets`: the clients', by the same."""

    def __init__(
        self,
        issuers: Mapping[str, TokenIssuer],
        secrets: Mapping[str, str],
        tenant_policy: TenantPolicy,
    ) -> None:
        self._providers = {
            name: _Provider(name, rules, rules.sign_in, secrets.get(name))
            for name, rules in issuers.items()
            if rules.sign_in is not None
        }
        self._tenant_policy = tenant_policy

    def offers(self) -> list[Offer]:
        return [Offer(p.name, p.sign_in.title or p.name) for p in self._providers.values()]

    def seconds(self, name: str) -> float | None:
        """How long a session lasts that the provider began; None where it begins none (any more)."""
        found = self._providers.get(name)
        return None if found is None else found.sign_in.hours * 3600

    async def begin(self, name: str, to: str) -> tuple[Pending, str]:
        """What to keep, and where to send the browser. Raises SignInFailed, and KeyError for a name
        that is none."""
        return await self._providers[name].begin(to)

    async def finish(self, pending: Pending, given: Mapping[str, str]) -> Person:
        """Who came back; they have a role. `given` is the query. Raises SignInFailed."""
        provider = self._providers.get(pending.name)
        if provider is None:
            raise SignInFailed("out_of_date")
        person = await provider.finish(pending, given)
        if person.role is None or (person.role == "tenant-admin" and person.tenant is None):
            raise SignInFailed("no_role")
        if not await self.is_open(person.tenant):
            raise SignInFailed("no_role")
        return person

    async def is_open(self, tenant: str | None) -> bool:
        """Whether a tenant's people may come in: it is not disabled. Raises GatewayError(unavailable)."""
        return tenant is None or await self._tenant_policy(tenant) is not None

    async def leave(self, name: str) -> str | None:
        """Where a browser is to go that signs out; None where the provider wants no visit."""
        found = self._providers.get(name)
        return None if found is None else await found.leave()


class _Provider:
    def __init__(self, name: str, rules: TokenIssuer, sign_in: SignIn, secret: str | None) -> None:
        self.name = name
        self.sign_in = sign_in
        self._rules = rules
        self._secret = secret
        self._issuer = Issuer(rules)
        self._back = f"{sign_in.url}/dashboard/sign-in/{quote(name, safe='')}/callback"
        self._metadata: _Metadata | None = None
        self._fetched = self._tried = float("-inf")
        self._at_once = asyncio.Semaphore(_MOST_AT_ONCE)

    async def begin(self, to: str) -> tuple[Pending, str]:
        metadata = await self._discover()
        pending = Pending(self.name, token_urlsafe(24), token_urlsafe(24), token_urlsafe(48), to)
        challenge = hashlib.sha256(pending.verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": self.sign_in.client_id,
            "redirect_uri": self._back,
            "scope": " ".join(dict.fromkeys(("openid", *self.sign_in.scopes))),
            "state": pending.state,
            "nonce": pending.nonce,
            "code_challenge": base64.urlsafe_b64encode(challenge).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return pending, _with(metadata.authorization_endpoint, asked)

    async def finish(self, pending: Pending, given: Mapping[str, str]) -> Person:
        if not compare_digest(pending.state.encode(), given.get("state", "").encode()):
            raise SignInFailed("out_of_date")
        metadata = await self._discover()
        stated = given.get("iss")
        if stated is None and metadata.authorization_response_iss_parameter_supported:
            raise SignInFailed("not_valid")
        if stated is not None and stated != self._rules.issuer:
            raise SignInFailed("not_valid")
        code = given.get("code", "")
        if "error" in given or not 0 < len(code) <= _LONGEST_CODE:
            raise SignInFailed("refused")
        token = await self._redeem(metadata, code, pending.verifier)
        claims = await self._checked(token, pending.nonce)
        person = person_of(claims, self._rules)
        if person is None:
            raise SignInFailed("no_role")
        return person

    async def leave(self) -> str | None:
        try:
            metadata = await self._discover()
        except SignInFailed:
            return None
        if metadata.end_session_endpoint is None:
            return None
        back = {
            "client_id": self.sign_in.client_id,
            "post_logout_redirect_uri": f"{self.sign_in.url}/dashboard",
        }
        return _with(metadata.end_session_endpoint, back)

    async def _redeem(self, metadata: _Metadata, code: str, verifier: str) -> str:
        """The ID token for the code."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._back,
            "code_verifier": verifier,
            "client_id": self.sign_in.client_id,
        }
        headers: dict[str, str] = {}
        if self._secret is not None:
            if "client_secret_basic" in metadata.token_endpoint_auth_methods_supported:
                # RFC 6749, section 2.3.1: both are form-encoded first.
                pair = f"{quote(self.sign_in.client_id, '')}:{quote(self._secret, '')}"
                headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
            else:
                form["client_secret"] = self._secret
        body = await self._fetch(metadata.token_endpoint, form, headers)
        try:
            return msgspec.json.decode(body, type=_Tokens).id_token
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise SignInFailed("not_valid") from None

    async def _checked(self, token: str, nonce: str) -> Mapping[str, Any]:
        """The claims of an ID token (section 3.1.3.7)."""
        client = self.sign_in.client_id
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            keys = await self._issuer.keys(kid if isinstance(kid, str) else None)
        except PyJWTError:
            raise SignInFailed("not_valid") from None
        except GatewayError:
            raise SignInFailed("away") from None
        for key in keys:
            claims = verified(token, key, self._rules, client)
            if claims is None:
                continue
            # The library saw to it that the client is in `aud`: alone, or named again as `azp`.
            alone = claims["aud"] in (client, [client])
            if claims.get("azp", client if alone else None) != client:
                break
            if not compare_digest(str(claims.get("nonce")).encode(), nonce.encode()):
                break
            return claims
        raise SignInFailed("not_valid")

    async def _discover(self) -> _Metadata:
        now = monotonic()
        if now - self._fetched > _KEPT_SECONDS and now - self._tried > _LEAST_SECONDS:
            self._tried = now
            url = f"{self._rules.issuer.rstrip('/')}/.well-known/openid-configuration"
            try:
                found = msgspec.json.decode(await self._fetch(url), type=_Metadata)
            except (msgspec.DecodeError, UnicodeDecodeError, SignInFailed):
                found = None
            if found is not None and self._fits(found):
                self._metadata, self._fetched = found, now
        if self._metadata is None:
            raise SignInFailed("away")
        return self._metadata

    def _fits(self, found: _Metadata) -> bool:
        addresses = (found.authorization_endpoint, found.token_endpoint, found.end_session_endpoint)
        return found.issuer == self._rules.issuer and all(
            address is None or is_private(address) for address in addresses
        )

    async def _fetch(
        self, url: str, form: Mapping[str, str] | None = None, headers: Mapping[str, str] = {}
    ) -> bytes:
        if self._at_once.locked():
            raise SignInFailed("away")
        async with self._at_once:
            try:
                return await asyncio.to_thread(fetch, url, form, headers)
            except (OSError, ValueError):
                # Also what it answers to a code that is not good: no more can be said of it.
                raise SignInFailed("not_valid" if form else "away") from None


def is_private(address: str) -> bool:
    """Whether what is sent there is read by nobody else: https, or this machine."""
    parts = urlsplit(address)
    local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost")
    return parts.scheme == "https" or local


def _with(address: str, query: Mapping[str, str]) -> str:
    return f"{address}{'&' if '?' in address else '?'}{urlencode(query)}"
