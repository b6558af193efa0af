"""A small OpenID provider with a key of its own: discovery, keys, the authorization code flow with PKCE.

It lets in whoever `claims` describe, and is as strict as the standards want it with codes, clients and
challenges. `lie` is where a test has it lie.
"""

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from secrets import token_urlsafe
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.serving import Got, Provider, providing

CLIENT = "dashboard"
SECRET = "secret:of the client"
_KEY = rsa.generate_private_key(65537, 2048)


class OpenId:
    def __init__(self) -> None:
        self.url = ""
        self.claims: dict[str, Any] = {"sub": "anna", "groups": ["gateway-admins"]}
        self.lie: Callable[[dict[str, Any]], Any] = lambda claims: None
        """Changes the ID token's claims before they are signed."""
        self.key = _KEY
        self.refuses = False
        self.seen: list[str] = []
        self.redeemed = 0
        self._codes: dict[str, dict[str, str]] = {}

    async def script(self, got: Got, writer: asyncio.StreamWriter) -> None:
        split = urlsplit(got.path)
        given = {name: values[0] for name, values in parse_qs(split.query).items()}
        self.seen.append(split.path)
        match split.path:
            case "/.well-known/openid-configuration":
                await self._json(writer, self._metadata())
            case "/keys":
                public = jwt.algorithms.RSAAlgorithm.to_jwk(_KEY.public_key(), as_dict=True)
                await self._json(writer, {"keys": [{**public, "kid": "one", "alg": "RS256"}]})
            case "/authorize":
                await self._go(writer, self._authorized(given))
            case "/token":
                await self._redeem(got, writer)
            case "/logout":
                await self._go(writer, given["post_logout_redirect_uri"])
            case _:
                await self._answer(writer, 404, b"", "text/plain")

    def _metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "end_session_endpoint": f"{self.url}/logout",
            "jwks_uri": f"{self.url}/keys",
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }

    def _authorized(self, given: dict[str, str]) -> str:
        assert given["response_type"] == "code"
        assert given["client_id"] == CLIENT
        assert given["code_challenge_method"] == "S256"
        assert "openid" in given["scope"].split()
        back = {"state": given["state"], "iss": self.url}
        if self.refuses:
            back["error"] = "access_denied"
        else:
            code = back["code"] = token_urlsafe(16)
            self._codes[code] = given
        return f"{given['redirect_uri']}?{urlencode(back)}"

    async def _redeem(self, got: Got, writer: asyncio.StreamWriter) -> None:
        form = {name: values[0] for name, values in parse_qs(got.body.decode()).items()}
        kind, _, pair = got.headers["authorization"].partition(" ")
        client, _, secret = base64.b64decode(pair).decode().partition(":")
        asked = self._codes.pop(form["code"], None)
        challenge = base64.urlsafe_b64encode(
            hashlib.sha256(form["code_verifier"].encode()).digest()
        )
        good = (
            asked is not None
            and (kind, unquote(client), unquote(secret)) == ("Basic", CLIENT, SECRET)
            and form["grant_type"] == "authorization_code"
            and form["redirect_uri"] == asked["redirect_uri"]
            and challenge.rstrip(b"=").decode() == asked["code_challenge"]
        )
        if not good or asked is None:
            await self._json(writer, {"error": "invalid_grant"}, 400)
            return
        self.redeemed += 1
        now = int(time.time())
        claims = {
            "iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked["nonce"],
            **self.claims,
        }  # fmt: skip
        self.lie(claims)
        token = jwt.encode(claims, self.key, "RS256", headers={"kid": "one"})
        await self._json(writer, {"id_token": token, "access_token": "a", "token_type": "Bearer"})

    async def _json(self, writer: asyncio.StreamWriter, body: Any, status: int = 200) -> None:
        await self._answer(writer, status, json.dumps(body).encode(), "application/json")

    async def _go(self, writer: asyncio.StreamWriter, address: str) -> None:
        await self._answer(writer, 302, b"", "text/plain", f"location: {address}\r\n")

    async def _answer(
        self, writer: asyncio.StreamWriter, status: int, body: bytes, kind: str, more: str = ""
    ) -> None:
        head = (
            f"HTTP/1.1 {status} Status\r\ncontent-type: {kind}\r\n{more}"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()


@asynccontextmanager
async def openid() -> AsyncGenerator[OpenId, None]:
    one = OpenId()
    async with providing(one.script) as served:
        one.url = _root(served)
        yield one


def _root(served: Provider) -> str:
    return f"http://127.0.0.1:{served.port}"
