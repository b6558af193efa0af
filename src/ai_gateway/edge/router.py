"""The gateway as one ASGI application: calls go straight to their endpoint, the rest to Starlette."""

from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import TYPE_CHECKING

from msgspec import Struct
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from ai_gateway.access.access import Access
from ai_gateway.dashboard.sessions import Sessions
from ai_gateway.dialects.registry import DIALECTS
from ai_gateway.limits.limits import Remaining
from ai_gateway.model.call import Caller
from ai_gateway.model.errors import GatewayError
from ai_gateway.pipeline import Pipeline
from ai_gateway.routing.router import Router
from ai_gateway.state.store import State
from ai_gateway.storage.database import Database
from ai_gateway.telemetry.log import Log
from ai_gateway.telemetry.metrics import Metrics

from .admin.endpoints import admin_pages
from .admin.guard import Guard
from .admin.table import AdminParts, admin_table
from .asgi import App, Message, Receive, Scope, Send
from .calls import CALL_ROUTES, CallEndpoint, joined, request_id_of, route_path
from .dashboard import DashboardEndpoints
from .documents import DocumentEndpoints
from .feedback import FeedbackEndpoint
from .forwards import FORWARD_ROUTES, PASS_THROUGH, ForwardedCalls, ForwardEndpoint, ForwardRoute
from .held import HELD_PREFIXES, HeldEndpoint, Holdings
from .mcp import PATH as MCP_PATH
from .mcp import PREFIX as MCP_PREFIX
from .mcp import McpEndpoint, McpGate
from .models import ModelsEndpoint, dialect_of
from .operations import OperationsEndpoints
from .readiness import Readiness
from .realtime import PATH as REALTIME_PATH
from .realtime import RealtimeEndpoint
from .rebinding import guard_of
from .usage import UsageEndpoint
from .websocket import WebSocketEndpoint

if TYPE_CHECKING:
    from ai_gateway.access.sign_in import SignIns

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


class Parts(Struct, frozen=True, kw_only=True):
    """What the edge hands its callers' requests to."""

    pipeline: Pipeline
    router: Router
    feedback: Database | None
    """Where feedback is kept."""
    metrics: Metrics
    log: Log
    readiness: Readiness
    access: Access
    sign_ins: "SignIns | None"
    trace_url: str | None
    """Where people look at a trace, with `{trace_id}` in it."""
    admin_key: str | None
    metrics_key: str | None
    """Asked of who reads the metrics; None: nobody is asked."""
    budgets: Callable[[Caller], Awaitable[list[Remaining]]]
    """What is left of a caller's."""
    admin: AdminParts
    holdings: Holdings
    mcp: Mapping[str, McpGate]
    state: State
    mode: str
    """Of access: who is let in as long as calls need no key."""
    max_body_bytes: int
    max_upload_bytes: int
    pass_through: tuple[str, ...]
    """Providers whose own paths callers may use."""


def build_edge(parts: Parts) -> App:
    calls: Mapping[str, CallEndpoint] = {
        route.path: CallEndpoint(
            route,
            pipeline=parts.pipeline,
            metrics=parts.metrics,
            log=parts.log,
            max_body_bytes=parts.max_body_bytes,
        )
        for route in CALL_ROUTES
    }
    sockets: Mapping[str, WebSocketEndpoint] = {
        route.path: WebSocketEndpoint(
            route,
            access=parts.access,
            pipeline=parts.pipeline,
            metrics=parts.metrics,
            log=parts.log,
        )
        for route in CALL_ROUTES
        if route.websocket
    }
    forwards = {route.path: _forward(parts, route) for route in FORWARD_ROUTES}
    pass_through = _forward(parts, PASS_THROUGH)
    held = _held(parts)
    mcp = ForwardEndpoint(
        MCP_PATH,
        McpEndpoint(parts.mcp, parts.access, parts.pipeline, parts.state).serve,
        metrics=parts.metrics,
        log=parts.log,
    )
    passed = frozenset(parts.pass_through)
    realtime = RealtimeEndpoint(
        pipeline=parts.pipeline,
        metrics=parts.metrics,
        log=parts.log,
        max_message_bytes=parts.max_body_bytes,
    )
    pages = _count(_pages(parts), parts.metrics)

    guard, access = guard_of(parts.mode), parts.access

    async def edge(scope: Scope, receive: Receive, send: Send) -> None:
        if guard is not None and not access.closed and not guard.lets_in(scope["headers"]):
            await _turn_away(scope, receive, send)
            return
        if scope["type"] == "http":
            call = calls.get(scope["path"]) or calls.get(route_path(scope["path"]))
            if call is not None and scope["method"] == "POST":
                await call(scope, receive, send)
                return
            forward = forwards.get(scope["path"])
            if forward is None and scope["path"].startswith(HELD_PREFIXES):
                forward = held
            if forward is None and scope["path"].startswith(MCP_PREFIX):
                forward = mcp
            if forward is None and passed and scope["path"].split("/", 2)[1] in passed:
                forward = pass_through
            if forward is not None:
                await forward(scope, receive, send)
                return
            scope.pop("gateway.cycle", None)
            scope.pop("gateway.connection", None)
            await pages(scope, receive, send)
        elif scope["type"] == "websocket":
            if scope["path"] == REALTIME_PATH:
                await realtime(scope, receive, send)
                return
            socket = sockets.get(scope["path"])
            if socket is not None:
                await socket(scope, receive, send)
                return
            await receive()
            await send({"type": "websocket.close", "code": 1000})

    return edge


async def _turn_away(scope: Scope, receive: Receive, send: Send) -> None:
    scope.pop("gateway.cycle", None)
    scope.pop("gateway.connection", None)
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    error = GatewayError(
        "permission",
        "Without keys this gateway serves programs on its own machine: call it as localhost or "
        "127.0.0.1, and not from a web page. Set ADMIN_KEY, or ACCESS=open, to open it.",
        code="not_this_machine",
    )
    body = DIALECTS["openai_chat"].render_error(error, "")
    await Response(body, error.status, media_type="application/json")(scope, receive, send)


def _forward(parts: Parts, route: ForwardRoute) -> ForwardEndpoint:
    calls = ForwardedCalls(
        route,
        parts.pipeline,
        max_body_bytes=parts.max_body_bytes,
        max_upload_bytes=parts.max_upload_bytes,
    )
    return ForwardEndpoint(route.path, calls.carry, metrics=parts.metrics, log=parts.log)


def _held(parts: Parts) -> ForwardEndpoint:
    served = HeldEndpoint(
        parts.holdings, parts.access, parts.pipeline, max_upload_bytes=parts.max_upload_bytes
    )
    return ForwardEndpoint(
        "/v1/files, /v1/batches", served.serve, metrics=parts.metrics, log=parts.log
    )


def _pages(parts: Parts) -> Starlette:
    sessions = None if parts.admin_key is None else Sessions(parts.admin_key)
    guard = Guard(parts.access, parts.admin_key, sessions, parts.sign_ins)
    dashboard = DashboardEndpoints(
        guard, sessions, parts.sign_ins, parts.log, trace_url=parts.trace_url
    )
    operations = OperationsEndpoints(parts.readiness, parts.metrics, guard, parts.metrics_key)
    models = ModelsEndpoint(parts.router, parts.access)
    table = admin_table(parts.admin)
    documents = DocumentEndpoints(table)
    return Starlette(
        routes=[
            Route("/health", operations.health),
            Route("/ready", operations.ready),
            Route("/metrics", operations.metrics),
            Route("/v1/models", models.list),
            Route("/v1/models/{id:path}", models.get),
            Route(
                "/v1/feedback",
                FeedbackEndpoint(parts.access, parts.feedback, parts.admin.cache).post,
                methods=["POST"],
            ),
            Route("/v1/usage", UsageEndpoint(parts.access, parts.admin.ledger, parts.budgets).get),
            # Only a wrong method leads here: a POST has gone to its endpoint before.
            *(
                Route(route.path.replace("{model}", "{model:path}"), _wrong_method)
                for route in CALL_ROUTES
            ),
            Route("/v1beta/models", models.list),
            Route("/v1beta/models/{id:path}", models.get),
            Route("/openapi.json", documents.openapi),
            Route("/docs", documents.page),
            Route("/", documents.page),
            *dashboard.routes(),
            *admin_pages(table, guard, parts.log),
        ],
        exception_handlers={404: _not_found, 405: _wrong_method, 500: _internal},
    )


def _count(app: App, metrics: Metrics) -> App:
    """Gives requests their ids and counts them by documented route, never by a path that a caller
    made up."""

    async def counted(scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        status = 500
        request_id = scope["gateway.request_id"] = request_id_of(joined(scope["headers"]))

        async def watching_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()), (b"x-request-id", request_id.encode("ascii"))
                ]  # fmt: skip
            await send(message)

        try:
            await app(scope, receive, watching_send)
        finally:
            route = scope.get("route")
            endpoint = route.path.replace(":path}", "}") if isinstance(route, Route) else "other"
            method = scope["method"] if scope["method"] in _METHODS else "other"
            metrics.observe_http(method, endpoint, status, perf_counter() - started)

    return counted


async def _not_found(request: HttpRequest, error: Exception) -> Response:
    return _error(
        request,
        GatewayError(
            "not_found",
            "There is nothing at this path; /docs lists what there is.",
            code="unknown_path",
        ),
    )


async def _wrong_method(request: HttpRequest, error: Exception | None = None) -> Response:
    allowed = "POST" if any(r.path == route_path(request.url.path) for r in CALL_ROUTES) else "GET"
    response = _error(
        request, GatewayError("method_not_allowed", f"This path takes {allowed} requests.")
    )
    response.headers["allow"] = allowed
    return response


async def _internal(request: HttpRequest, error: Exception) -> Response:
    return _error(request, GatewayError("internal", "The gateway failed.", code="internal_error"))


def _error(request: HttpRequest, error: GatewayError) -> Response:
    dialect = DIALECTS[dialect_of(request)]
    body = dialect.render_error(error, request.scope["gateway.request_id"])
    return Response(body, error.status, media_type="application/json")
