"""`/dashboard/sign-in/{name}`: to an OpenID provider, and back from it with a session.

What the browser carries meanwhile is sealed in a cookie of its own, SameSite=Lax: it must come along when
the provider sends the browser back, which is another site's doing.
"""

import re
from time import time

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from ai_gateway.access.sign_in import Pending, SignInFailed, SignIns
from ai_gateway.dashboard.sessions import (
    COOKIE,
    SIGN_IN_COOKIE,
    SIGN_IN_SECONDS,
    Session,
    Sessions,
    SignedIn,
    session_cookie,
)
from ai_gateway.model.errors import GatewayError
from ai_gateway.telemetry.log import Log

from .calls import joined
from .dashboard import HEADERS, is_https

_PATH = "/dashboard/sign-in"
_OURS = re.compile(r"/dashboard(/[A-Za-z0-9_-]{1,64}){0,2}")
"""Where a page may ask to come back to: nowhere else."""


class SignInEndpoints:
    def __init__(self, sign_ins: SignIns, sessions: Sessions, log: Log) -> None:
        self._sign_ins = sign_ins
        self._sessions = sessions
        self._log = log

    def routes(self) -> list[BaseRoute]:
        return [
            Route(_PATH + "/{name}", self._begin),
            Route(_PATH + "/{name}/callback", self._finish),
        ]

    async def _begin(self, request: Request) -> Response:
        name: str = request.path_params["name"]
        to = request.query_params.get("to", "")
        to = to if _OURS.fullmatch(to) else "/dashboard"
        if self._sign_ins.seconds(name) is None:
            return self._sent("/dashboard")
        try:
            pending, address = await self._sign_ins.begin(name, to)
        except SignInFailed as failed:
            return self._failed(name, failed)
        value = self._sessions.seal(SIGN_IN_COOKIE, pending)
        return self._sent(address, _pending_cookie(value, SIGN_IN_SECONDS, request))

    async def _finish(self, request: Request) -> Response:
        name: str = request.path_params["name"]
        headers = joined(request.scope["headers"])
        pending = self._sessions.opened(SIGN_IN_COOKIE, headers, Pending, SIGN_IN_SECONDS)
        try:
            if pending is None or pending.name != name:
                raise SignInFailed("out_of_date")
            person = await self._sign_ins.finish(pending, request.query_params)
        except SignInFailed as failed:
            return self._failed(name, failed, request)
        except GatewayError:
            return self._failed(name, SignInFailed("away"), request)
        seconds = int(self._sign_ins.seconds(name) or 0)
        assert person.role is not None
        signed_in = SignedIn(
            provider=name, user=person.user, role=person.role, tenant=person.tenant
        )
        session = Session(until=time() + seconds, person=signed_in)
        self._log.event(
            "info",
            "sign_in",
            provider=name,
            user=person.user,
            role=person.role,
            tenant=person.tenant,
        )
        value = self._sessions.seal(COOKIE, session)
        response = self._sent(pending.to, _pending_cookie("", 0, request))
        response.headers.append(
            "set-cookie", session_cookie(value, seconds, secure=is_https(request))
        )
        return response

    def _failed(self, name: str, failed: SignInFailed, request: Request | None = None) -> Response:
        """Back to the page, which has words of its own for each reason."""
        self._log.event("warning", "sign_in_failed", provider=name[:64], why=failed.why)
        cookie = None if request is None else _pending_cookie("", 0, request)
        return self._sent(f"/dashboard?sign_in={failed.why}", cookie)

    def _sent(self, address: str, cookie: str | None = None) -> Response:
        response = Response(
            status_code=303, headers={**HEADERS, "cache-control": "no-store", "location": address}
        )
        if cookie is not None:
            response.headers.append("set-cookie", cookie)
        return response


def _pending_cookie(value: str, seconds: int, request: Request) -> str:
    secure = "; Secure" if is_https(request) else ""
    return (
        f"{SIGN_IN_COOKIE}={value}; Path={_PATH}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"
    )
