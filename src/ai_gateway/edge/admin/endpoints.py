"""The table of admin routes, served: who asks, what they send, what they get."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.json import encode
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ai_gateway.dialects.openai_chat.errors import render_error
from ai_gateway.edge.asgi import Receive
from ai_gateway.edge.body import read_body
from ai_gateway.edge.calls import joined
from ai_gateway.model.errors import GatewayError
from ai_gateway.storage.database import DatabaseUnavailable
from ai_gateway.telemetry.log import Log

from .guard import Guard, require_role
from .route import AdminCall, AdminRoute

_LARGEST_BODY = 1024 * 1024
_NO_STORE = {"cache-control": "no-store"}


def admin_pages(table: Sequence[AdminRoute], guard: Guard, log: Log) -> list[Route]:
    """A Starlette route for each path."""
    by_path: dict[str, dict[str, AdminRoute]] = {}
    for route in table:
        by_path.setdefault(route.path, {})[route.method] = route
    return [
        Route(path, _Endpoint(methods, guard, log).serve, methods=["GET", "HEAD", *_METHODS])
        for path, methods in by_path.items()
    ]


_METHODS = ("POST", "PUT", "PATCH", "DELETE")


class _Endpoint:
    """One path with its methods."""

    def __init__(self, methods: Mapping[str, AdminRoute], guard: Guard, log: Log) -> None:
        self._methods = methods
        self._guard = guard
        self._log = log

    async def serve(self, request: Request) -> Response:
        try:
            return await self._answer(request)
        except GatewayError as error:
            return error_response(error)
        except DatabaseUnavailable:
            return error_response(away())

    async def _answer(self, request: Request) -> Response:
        headers = joined(request.scope["headers"])
        # Before anything else: who has no key learns nothing, not even what there is.
        actor = await self._guard.actor(headers)
        self._guard.require_csrf(request.method, headers)
        method = "GET" if request.method == "HEAD" else request.method
        route = self._methods.get(method)
        if route is None:
            allowed = ", ".join(sorted(self._methods))
            error = GatewayError("method_not_allowed", f"This path takes {allowed} requests.")
            error.headers = [("allow", allowed)]
            raise error
        require_role(actor, route)
        call = AdminCall(
            actor=actor,
            path=request.path_params,
            query=_query(request, route.query),
            body=await _body(request.receive, headers, route.takes),
        )
        answer = await route.handler(call)
        if method != "GET":
            target = ",".join(f"{n}={str(v)[:64]}" for n, v in call.path.items())
            self._log.event(
                "info", "admin", actor=actor.name, action=f"{method} {route.path}", target=target
            )
        if isinstance(answer, Response):
            return answer
        if route.gives is None:
            return Response(status_code=204, headers=_NO_STORE)
        return Response(
            encode(answer), route.status, media_type="application/json", headers=_NO_STORE
        )


def away() -> GatewayError:
    return GatewayError(
        "unavailable",
        "The database cannot be reached at the moment. Try again.",
        code="database_unavailable",
        retry_after=1,
    )


def error_response(error: GatewayError) -> Response:
    return Response(
        render_error(error, ""),
        error.status,
        media_type="application/json",
        headers={**dict(error.advice()), **_NO_STORE},
    )


def _query(request: Request, kind: type[Struct]) -> Struct:
    given: dict[str, Any] = dict(request.query_params)
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(error, "The query") from None


async def _body(receive: Receive, headers: Mapping[bytes, bytes], kind: Any) -> Any:
    if kind is None:
        return None
    if not headers.get(b"content-type", b"").lower().startswith(b"application/json"):
        # Also what keeps a web page from posting here without the browser asking first.
        raise GatewayError(
            "unsupported_media_type",
            "The body must be JSON: send the header 'content-type: application/json'.",
            field="content-type",
            code="unsupported_media_type",
        )
    body = await read_body(receive, headers, _LARGEST_BODY)
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise invalid(error, "The body") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise GatewayError(
            "invalid_request", "The body is not JSON.", code="invalid_json"
        ) from None


def invalid(error: msgspec.ValidationError, what: str) -> GatewayError:
    message, _, path = str(error).partition(" - at `$")
    field = path.rstrip("`").lstrip(".") or None
    return GatewayError("invalid_request", f"{what}: {message}.", field=field, code="invalid_value")
