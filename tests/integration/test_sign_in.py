"""Signing in to the dashboard by an OpenID provider, as a browser goes through it."""

import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import rsa
from msgspec import Struct
from pyreqwest.client import ClientBuilder
from pyreqwest.http import HeaderMap

from ai_gateway.settings.load import load_settings
from ai_gateway.settings.tree import SettingsError
from tests.integration.test_admin import ADMIN, admin
from tests.openid import CLIENT, SECRET, OpenId, openid
from tests.serving import Running, ask, serving

START = "/dashboard/sign-in/company"


def config(at: OpenId, path: Path, port: int = 1) -> Path:
    """`port`: of the gateway, where browsers are sent back to."""
    file = path / "gateway.yaml"
    file.write_text(
        f"""
auth:
  company:
    issuer: {at.url}
    audience: gateway
    jwks: {at.url}/keys
    role_claim: groups
    roles: {{gateway-admins: admin, finance: viewer, leads: tenant-admin}}
    sign_in:
      url: http://127.0.0.1:{port}
      client_id: {CLIENT}
      client_secret: env:OIDC_SECRET
      title: Company
"""
    )
    return file


ENVIRON = {"ADMIN_KEY": ADMIN, "OIDC_SECRET": SECRET}


class Signing(Struct):
    running: Running
    provider: OpenId


@pytest_asyncio.fixture
async def signing(tmp_path: Path) -> AsyncIterator[Signing]:
    async with openid() as provider, serving(ENVIRON, config(provider, tmp_path)) as running:
        yield Signing(running, provider)


class Visit(Struct):
    status: int
    headers: HeaderMap

    @property
    def location(self) -> str:
        return self.headers["location"]


async def visit(url: str, cookies: dict[str, str]) -> Visit:
    """One request as a browser makes it: cookies along, its own kept, no redirect followed."""
    async with ClientBuilder().follow_redirects(False).build() as client:
        cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
        got = await client.get(url).headers({"cookie": cookie}).build().send()
        for line in got.headers.getall("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            cookies[name] = value
            if "Max-Age=0" in line:
                del cookies[name]
        return Visit(got.status, got.headers)


async def sign_in(signing: Signing, cookies: dict[str, str], start: str = START) -> Visit:
    """To the provider and back; the gateway's own port stands in for the address it is known by."""
    begun = await visit(signing.running.url + start, cookies)
    back = await visit(begun.location, {})
    split = urlsplit(back.location)
    return await visit(f"{signing.running.url}{split.path}?{split.query}", cookies)


async def who(signing: Signing, cookies: dict[str, str]) -> dict[str, Any]:
    cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
    got = await ask("GET", signing.running.url + "/dashboard/session", cookie=cookie)
    return json.loads(got.body)


async def test_who_comes_back_from_the_provider_is_signed_in(signing: Signing) -> None:
    cookies: dict[str, str] = {}
    assert (await who(signing, {}))["sign_in"] == [{"name": "company", "title": "Company"}]
    back = await sign_in(signing, cookies, START + "?to=/dashboard/keys")
    assert (back.status, back.location) == (303, "/dashboard/keys")
    lines = back.headers.getall("set-cookie")
    session = next(line for line in lines if line.startswith("gateway_session"))
    assert "HttpOnly; SameSite=Strict" in session
    assert set(cookies) == {"gateway_session"}
    told = await who(signing, cookies)
    assert (told["role"], told["tenant"], told["name"]) == ("admin", None, "company:anna")
    url = signing.running.url + "/admin/keys"
    cookie = f"gateway_session={cookies['gateway_session']}"
    assert (await ask("POST", url, {"name": "x"}, cookie=cookie)).status == 403
    made = await ask("POST", url, {"name": "x"}, cookie=cookie, x_csrf_token=told["csrf"])
    assert made.status == 201
    done = await admin(signing.running, "GET", "/admin/actions")
    assert done["data"][0]["actor"] == "company:anna"
    out = await ask(
        "DELETE", signing.running.url + "/dashboard/session",
        cookie=cookie, x_csrf_token=told["csrf"],
    )  # fmt: skip
    assert json.loads(out.body)["go"].startswith(signing.provider.url + "/logout?client_id=")
    assert "Max-Age=0" in out.headers["set-cookie"]


@pytest.mark.parametrize(
    ("claims", "role", "tenant"),
    [
        ({"groups": ["staff", "finance"]}, "viewer", None),
        ({"groups": ["finance", "gateway-admins"]}, "admin", None),
        ({"groups": "finance"}, "viewer", None),
        ({"groups": ["leads"], "tenant": "acme"}, "tenant-admin", "acme"),
        ({"groups": ["gateway-admins"], "tenant": "acme"}, "admin", None),
    ],
)
async def test_claims_make_the_role_and_the_tenant(
    signing: Signing, claims: dict[str, Any], role: str, tenant: str | None
) -> None:
    signing.provider.claims = {"sub": "anna", **claims}
    cookies: dict[str, str] = {}
    await sign_in(signing, cookies)
    told = await who(signing, cookies)
    assert (told["role"], told["tenant"]) == (role, tenant)


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "anna"},
        {"sub": "anna", "groups": []},
        {"sub": "anna", "groups": ["admin"]},
        {"sub": "anna", "groups": {"gateway-admins": 1}},
        {"sub": "anna", "groups": ["leads"]},
        {"sub": "anna", "groups": ["leads"], "tenant": "../acme"},
        {"sub": "", "groups": ["gateway-admins"]},
    ],
)
async def test_who_has_no_role_stays_outside(signing: Signing, claims: dict[str, Any]) -> None:
    signing.provider.claims = claims
    cookies: dict[str, str] = {}
    back = await sign_in(signing, cookies)
    assert back.location == "/dashboard?sign_in=no_role"
    assert cookies == {}


LIES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "of another nonce": lambda claims: claims.update(nonce="x"),
    "without a nonce": lambda claims: claims.pop("nonce"),
    "of another issuer": lambda claims: claims.update(iss="https://other.example"),
    "for another client": lambda claims: claims.update(aud="other"),
    "for several, none of them named": lambda claims: claims.update(aud=[CLIENT, "other"]),
    "for several, another named": lambda claims: claims.update(aud=[CLIENT, "o"], azp="o"),
    "for us, but meant for another": lambda claims: claims.update(azp="other"),
    "expired": lambda claims: claims.update(exp=int(time.time()) - 60),
    "without an end": lambda claims: claims.pop("exp"),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_token_is_not_taken_that_is(signing: Signing, lie: str) -> None:
    signing.provider.lie = LIES[lie]
    cookies: dict[str, str] = {}
    back = await sign_in(signing, cookies)
    assert back.location == "/dashboard?sign_in=not_valid"
    assert cookies == {}


async def test_a_token_for_several_that_names_us_is_good(signing: Signing) -> None:
    signing.provider.lie = lambda claims: claims.update(aud=[CLIENT, "o"], azp=CLIENT)
    assert (await sign_in(signing, {})).location == "/dashboard"


async def test_a_token_of_another_key_is_not_taken(signing: Signing) -> None:
    signing.provider.key = rsa.generate_private_key(65537, 2048)
    assert (await sign_in(signing, {})).location == "/dashboard?sign_in=not_valid"


async def test_another_browser_cannot_finish_what_one_began(signing: Signing) -> None:
    cookies: dict[str, str] = {}
    begun = await visit(signing.running.url + START, cookies)
    back = await visit(begun.location, {})
    split = urlsplit(back.location)
    theirs = f"{signing.running.url}{split.path}?{split.query}"
    other: dict[str, str] = {}
    await visit(signing.running.url + START, other)
    for held in ({}, other, {"gateway_sign_in": "forged"}):
        got = await visit(theirs, dict(held))
        assert got.location == "/dashboard?sign_in=out_of_date"
    assert signing.provider.redeemed == 0
    # Its own cookie is good for the one answer, and a code for one time.
    mine = dict(cookies)
    assert (await visit(theirs, mine)).location == "/dashboard"
    assert "gateway_sign_in" not in mine
    assert (await visit(theirs, dict(cookies))).location == "/dashboard?sign_in=not_valid"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda q: q.update(state="x"), "out_of_date"),
        (lambda q: q.pop("state"), "out_of_date"),
        (lambda q: q.update(iss="https://other.example"), "not_valid"),
        (lambda q: q.pop("iss"), "not_valid"),
        (lambda q: q.pop("code"), "refused"),
        (lambda q: q.update(code="x"), "not_valid"),
    ],
)  # fmt: skip
async def test_an_answer_that_was_tampered_with_is_refused(
    signing: Signing, change: Callable[[dict[str, str]], Any], why: str
) -> None:
    cookies: dict[str, str] = {}
    begun = await visit(signing.running.url + START, cookies)
    split = urlsplit((await visit(begun.location, {})).location)
    query = {name: values[0] for name, values in parse_qs(split.query).items()}
    change(query)
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    got = await visit(f"{signing.running.url}{split.path}?{asked}", cookies)
    assert got.location == f"/dashboard?sign_in={why}"
    assert cookies == {}


async def test_a_refusal_at_the_provider_is_told(signing: Signing) -> None:
    signing.provider.refuses = True
    assert (await sign_in(signing, {})).location == "/dashboard?sign_in=refused"


@pytest.mark.parametrize(
    "to", ["https://evil.example", "//evil.example", "/dashboard/..//evil", "/admin", "/dashboardx"]
)
async def test_nobody_is_sent_anywhere_else_after(signing: Signing, to: str) -> None:
    assert (await sign_in(signing, {}, f"{START}?to={to}")).location == "/dashboard"


async def test_a_disabled_tenants_people_are_out_at_once(signing: Signing) -> None:
    await admin(signing.running, "POST", "/admin/tenants", {"id": "acme"})
    signing.provider.claims = {"sub": "bo", "groups": ["leads"], "tenant": "acme"}
    cookies: dict[str, str] = {}
    await sign_in(signing, cookies)
    assert (await who(signing, cookies))["state"] == "signed_in"
    await admin(signing.running, "PATCH", "/admin/tenants/acme", {"disabled": True})
    assert (await who(signing, cookies))["state"] == "signed_out"
    assert (await sign_in(signing, {})).location == "/dashboard?sign_in=no_role"


async def test_a_person_is_no_caller(signing: Signing) -> None:
    """The session opens the admin API alone, and the sealed person is no key anywhere."""
    cookies: dict[str, str] = {}
    await sign_in(signing, cookies)
    cookie = f"gateway_session={cookies['gateway_session']}"
    got = await ask("GET", signing.running.url + "/v1/models", cookie=cookie)
    assert got.status == 401
    for swapped in (f"gateway_sign_in={cookies['gateway_session']}", cookie[:-4] + "AAAA"):
        assert (await ask("GET", signing.running.url + "/admin/keys", cookie=swapped)).status == 401


async def test_with_the_provider_away_keys_still_open_the_door(tmp_path: Path) -> None:
    async with openid() as provider:
        file = config(provider, tmp_path)
    async with serving(ENVIRON, file) as running:
        got = await visit(running.url + START, {})
        assert got.location == "/dashboard?sign_in=away"
        assert (await ask("POST", running.url + "/dashboard/session", {"key": ADMIN})).status == 200


async def test_an_unknown_provider_leads_nowhere(signing: Signing) -> None:
    got = await visit(signing.running.url + "/dashboard/sign-in/nobody", {})
    assert got.location == "/dashboard"


async def test_a_token_for_the_dashboard_is_no_key(signing: Signing) -> None:
    """Its audience is another."""
    now = int(time.time())
    claims = {
        "iss": signing.provider.url, "aud": CLIENT, "sub": "a", "tenant": "acme", "exp": now + 60,
        "groups": ["gateway-admins"],
    }  # fmt: skip
    token = jwt.encode(claims, signing.provider.key, "RS256", headers={"kid": "one"})
    assert (await ask("GET", signing.running.url + "/admin/keys", key=token)).status == 401
    good = jwt.encode(
        {**claims, "aud": "gateway"}, signing.provider.key, "RS256", headers={"kid": "one"}
    )
    assert (await ask("GET", signing.running.url + "/admin/keys", key=good)).status == 200


@pytest.mark.parametrize(
    ("change", "environ", "said"),
    [
        ("", {"ADMIN_KEY": ""}, "auth.company.sign_in: needs ADMIN_KEY"),
        ("", {"OIDC_SECRET": ""}, "auth.company.sign_in.client_secret: "),
        ("role_claim: groups", {}, "auth.company.role_claim: must be there"),
        ("issuer: http://id.example", {}, "auth.company.issuer: must be an https address"),
    ],
)
def test_what_cannot_work_is_said_at_the_start(
    tmp_path: Path, change: str, environ: dict[str, str], said: str
) -> None:
    one = OpenId()
    one.url = "https://id.example"
    file = config(one, tmp_path)
    text = file.read_text()
    if change.startswith("issuer"):
        text = text.replace("issuer: https://id.example", change)
    elif change:
        text = text.replace(change, "")
    file.write_text(text)
    with pytest.raises(SettingsError, match=said):
        load_settings({**ENVIRON, **environ}, file)
