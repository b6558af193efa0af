"""`/dashboard`: its files, and signing in and out. What it shows comes from the admin API."""

from collections.abc import Mapping
from functools import cached_property
from importlib.resources import files
from time import time
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct
from msgspec.json import encode
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from ai_gateway import __version__
from ai_gateway.dashboard.sessions import (
    COOKIE,
    SECONDS,
    Session,
    Sessions,
    cookie_of,
    session_cookie,
)
from ai_gateway.dialects.openai_chat.errors import render_error
from ai_gateway.model.errors import GatewayError
from ai_gateway.telemetry.log import Log

from .admin.guard import Guard
from .admin.route import Actor
from .body import read_body
from .calls import joined

if TYPE_CHECKING:
    from ai_gateway.access.sign_in import SignIns

_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}
_LARGEST_KEY = 4096


class _SignIn(Struct, frozen=True, forbid_unknown_fields=True):
    key: str


class DashboardEndpoints:
    """`sign_ins`: by OpenID providers; None where there are none."""

    def __init__(
        self,
        guard: Guard,
        sessions: Sessions | None,
        sign_ins: "SignIns | None",
        log: Log,
        *,
        trace_url: str | None,
    ) -> None:
        self._guard = guard
        self._trace_url = trace_url
        self._sessions = sessions
        self._sign_ins = sign_ins
        self._log = log

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/dashboard", self._index),
            Route("/dashboard/session", self._session, methods=["GET", "POST", "DELETE"]),
            *self._sign_in_routes(),
            Route("/dashboard/static/{name:path}", self._static),
            Route("/dashboard/{page:path}", self._index),
        ]

    def _sign_in_routes(self) -> list[BaseRoute]:
        if self._sign_ins is None or self._sessions is None:
            return []
        # Brings the reading of tokens along, which only who has a provider pays for.
        from .sign_in import SignInEndpoints

        return SignInEndpoints(self._sign_ins, self._sessions, self._log).routes()

    @cached_property
    def _files(self) -> Mapping[str, bytes]:
        """Read when somebody looks."""
        return _load()

    async def _index(self, request: Request) -> Response:
        if request.url.path.endswith("/"):
            return RedirectResponse("/dashboard")
        return self._file("index.html", "no-cache")

    async def _static(self, request: Request) -> Response:
        name: str = request.path_params["name"]
        if name not in self._files:
            return Response("not found", 404, headers=HEADERS)
        # The page asks for its files by version, so that an upgrade is seen at once.
        return self._file(name, "public, max-age=31536000, immutable")

    def _file(self, name: str, cache: str) -> Response:
        kind = _TYPES[name.rsplit(".", 1)[-1]]
        headers = {**HEADERS, "cache-control": cache, "content-type": kind}
        return Response(self._files[name], headers=headers)

    async def _session(self, request: Request) -> Response:
        headers = joined(request.scope["headers"])
        try:
            match request.method:
                case "POST":
                    return await self._sign_in(request, headers)
                case "DELETE":
                    return await self._sign_out(headers)
                case _:
                    return await self._who(headers)
        except GatewayError as error:
            body = render_error(error, request.scope["gateway.request_id"])
            return Response(body, error.status, headers={**_json_headers(), **dict(error.advice())})

    async def _sign_in(self, request: Request, headers: Mapping[bytes, bytes]) -> Response:
        if self._sessions is None:
            raise GatewayError(
                "permission",
                "There is nobody to sign in yet: start the gateway with an ADMIN_KEY.",
                code="no_admin_key",
            )
        if not headers.get(b"content-type", b"").startswith(b"application/json"):
            raise GatewayError("unsupported_media_type", "The body must be JSON.")
        body = await read_body(request.receive, headers, _LARGEST_KEY)
        try:
            key = msgspec.json.decode(body, type=_SignIn).key.strip()
            credential = {b"authorization": b"Bearer " + key.encode("ascii")}
        except (msgspec.DecodeError, UnicodeEncodeError):
            raise GatewayError("authentication", "The key is not valid.") from None
        actor = await self._guard.actor(credential)
        cookie = self._sessions.seal(COOKIE, Session(until=time() + SECONDS, key=key))
        set_cookie = {"set-cookie": session_cookie(cookie, SECONDS, secure=is_https(request))}
        return self._told(actor, cookie, set_cookie)

    async def _who(self, headers: Mapping[bytes, bytes]) -> Response:
        cookie = cookie_of(headers)
        if self._sessions is None or cookie is None:
            return Response(encode(self._nobody()), headers=_json_headers())
        try:
            actor = await self._guard.actor({b"cookie": headers[b"cookie"]})
        except GatewayError as error:
            if error.kind != "authentication":
                raise
            return Response(encode(self._nobody()), headers=_json_headers())
        return self._told(actor, cookie, {})

    def _nobody(self) -> dict[str, Any]:
        offers = [] if self._sign_ins is None else self._sign_ins.offers()
        state = "no_admin_key" if self._sessions is None else "signed_out"
        return {"state": state, "version": __version__, "sign_in": offers}

    def _told(self, actor: Actor, cookie: str, more: Mapping[str, str]) -> Response:
        assert self._sessions is not None
        told: dict[str, Any] = {
            "state": "signed_in",
            "name": actor.name,
            "role": actor.role,
            "tenant": actor.tenant,
            "csrf": self._sessions.csrf_token(cookie),
            "version": __version__,
            "trace_url": self._trace_url,
        }
        return Response(encode(told), headers={**_json_headers(), **more})

    async def _sign_out(self, headers: Mapping[bytes, bytes]) -> Response:
        """Tells where to go to sign out at the provider as well."""
        go = None
        if self._sessions is not None:
            if not self._sessions.is_csrf_good(headers):
                raise GatewayError("permission", "The page is out of date: load it anew.")
            session = self._sessions.session(headers)
            if session is not None and session.person is not None and self._sign_ins is not None:
                go = await self._sign_ins.leave(session.person.provider)
        gone = session_cookie("", 0, secure=False)
        return Response(encode({"go": go}), headers={**_json_headers(), "set-cookie": gone})


def _json_headers() -> dict[str, str]:
    return {**HEADERS, "content-type": "application/json", "cache-control": "no-store"}


def is_https(request: Request) -> bool:
    """Also behind a proxy that speaks TLS. A lie here only makes a cookie that plain HTTP does not
    send."""
    return request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"


def _load() -> dict[str, bytes]:
    root = files("ai_gateway.dashboard") / "static"
    found: dict[str, bytes] = {}
    for entry in root.iterdir():
        if entry.is_file():
            found[entry.name] = entry.read_bytes()
        else:
            found |= {f"{entry.name}/{inner.name}": inner.read_bytes() for inner in entry.iterdir()}
    version = __version__.encode()
    return {name: data.replace(b"__VERSION__", version) for name, data in found.items()}
