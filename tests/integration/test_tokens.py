"""JSON Web Tokens of an OpenID provider as keys."""

import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from msgspec import Struct

from ai_gateway.access import issuer
from tests.integration.test_admin import ADMIN, ANSWER, ASKED, CHAT, admin, call
from tests.serving import Provider, Running, answers, ask, in_front_of, providing, serving

ISSUER = "https://id.example"
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())


def jwks(**keys: Any) -> bytes:
    """The public parts, by key id."""
    found: list[dict[str, Any]] = []
    for kid, key in keys.items():
        algorithm = jwt.algorithms.RSAAlgorithm if key is RSA else jwt.algorithms.ECAlgorithm
        public = algorithm.to_jwk(key.public_key(), as_dict=True)
        found.append(
            {**public, "kid": kid, "use": "sig", "alg": "RS256" if key is RSA else "ES256"}
        )
    return json.dumps({"keys": found}).encode()


def token(key: Any = RSA, kid: str | None = "one", algorithm: str = "RS256", **claims: Any) -> str:
    stated = {
        "iss": ISSUER, "aud": "gateway", "sub": "anna", "tenant": "acme",
        "exp": int(time.time()) + 600, **claims,
    }  # fmt: skip
    headers = {} if kid is None else {"kid": kid}
    kept = {name: value for name, value in stated.items() if value is not None}
    return jwt.encode(kept, key, algorithm, headers=headers)


class Guarded(Struct):
    running: Running
    issuer: Provider


@pytest_asyncio.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    async with (
        providing(answers(ANSWER)) as provider,
        providing(answers(jwks(one=RSA))) as issuer,
    ):
        config = tmp_path / "gateway.yaml"
        config.write_text(
            f"""
auth:
  company:
    issuer: {ISSUER}
    audience: gateway
    jwks: {issuer.url}/jwks
    role_claim: gateway_role
tenants:
  acme:
    policy:
      models: [gpt-*]
"""
        )
        environ = {**in_front_of(provider), "ADMIN_KEY": ADMIN}
        async with serving(environ, config) as running:
            yield Guarded(running, issuer)


async def test_a_good_token_is_a_key_of_its_claims_tenant_and_user(guarded: Guarded) -> None:
    running = guarded.running
    good = token()
    for _ in range(3):
        assert await call(running, good) == 200
    assert await call(running, x_api_key=good) == 200
    assert len(guarded.issuer.got) == 1
    assert await call(running, good, x_user_id="bert") == 403
    report = json.loads((await ask("GET", running.url + "/v1/usage", key=good)).body)
    assert (report["tenant"], report["user"], report["scope"]) == ("acme", "anna", "user")
    models = json.loads((await ask("GET", running.url + "/v1/models", key=good)).body)["data"]
    assert all("/gpt-" in model["id"] or model["id"] == "auto" for model in models)


def signed_by_nobody() -> str:
    """`alg: none`."""
    return jwt.encode({"iss": ISSUER, "aud": "gateway", "sub": "a", "tenant": "acme", "exp": 9e9}, None, "none")  # fmt: skip


def signed_with_the_public_key() -> str:
    """HS256 with what everybody knows, as if it were a shared secret."""
    parts = token().split(".")
    import base64
    import hashlib
    import hmac

    header = (
        base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT","kid":"one"}').rstrip(b"=").decode()
    )
    signed = f"{header}.{parts[1]}"
    mac = hmac.new(jwks(one=RSA), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def altered() -> str:
    head, _, signature = token().split(".")
    return f"{head}.{token(sub='bert').split('.')[1]}.{signature}"


@pytest.mark.parametrize(
    "make",
    [
        lambda: token(exp=int(time.time()) - 60),
        lambda: token(exp=None),
        lambda: token(nbf=int(time.time()) + 600),
        lambda: token(iss="https://other.example"),
        lambda: token(aud="other"),
        lambda: token(aud=None),
        lambda: token(iss=None),
        lambda: token(key=rsa.generate_private_key(65537, 2048)),
        lambda: token(kid="none-such"),
        lambda: token(tenant=None),
        lambda: token(tenant="../acme"),
        lambda: token(tenant=7),
        lambda: token(sub="x" * 300),
        lambda: token(sub="line\nbreak"),
        signed_by_nobody,
        signed_with_the_public_key,
        altered,
        lambda: "eyJ.eyJ.x",
        lambda: "eyJ" + "é" + ".a.b",
    ],
)
async def test_a_token_that_is_not_good_is_refused(
    guarded: Guarded, make: Callable[[], str]
) -> None:
    got = await ask("POST", guarded.running.url + CHAT, ASKED, make())
    assert got.status == 401
    assert json.loads(got.body)["error"]["code"] == "invalid_api_key"


async def test_an_issuer_may_rotate_its_keys(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer, "LEAST_SECONDS", 0)
    assert await call(guarded.running, token()) == 200
    new = token(key=EC, kid="two", algorithm="ES256")
    assert await call(guarded.running, new) == 401
    guarded.issuer.script = answers(jwks(two=EC))
    assert await call(guarded.running, new) == 200
    # What was withdrawn is no more, but for tokens that are known for the minute.
    assert await call(guarded.running, token(jti="another")) == 401


async def test_tokens_that_name_unknown_keys_do_not_flood_the_issuer(guarded: Guarded) -> None:
    for number in range(20):
        assert await call(guarded.running, token(kid=f"made-up-{number}")) == 401
    assert len(guarded.issuer.got) == 1


async def test_while_the_issuer_is_away_it_cannot_be_said(guarded: Guarded) -> None:
    guarded.issuer.script = answers(b"down", 500)
    got = await ask("POST", guarded.running.url + CHAT, ASKED, token())
    assert got.status == 503
    assert got.headers["retry-after"] == "1"


async def test_a_role_comes_from_its_claim(guarded: Guarded) -> None:
    url = guarded.running.url + "/admin/keys"
    assert (await ask("GET", url, key=token())).status == 403
    assert (await ask("GET", url, key=token(gateway_role="root"))).status == 403
    assert (await ask("GET", url, key=token(gateway_role="viewer"))).status == 200
    mine = token(gateway_role="tenant-admin")
    issued = json.loads((await ask("POST", url, {"name": "x"}, mine)).body)
    assert issued["details"]["tenant"] == "acme"


async def test_a_disabled_tenants_tokens_are_refused(guarded: Guarded) -> None:
    await admin(guarded.running, "POST", "/admin/tenants", {"id": "other"})
    good = token(tenant="other")
    assert await call(guarded.running, good) == 200
    await admin(guarded.running, "PATCH", "/admin/tenants/other", {"disabled": True})
    assert await call(guarded.running, good) == 401
