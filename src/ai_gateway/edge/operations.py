"""What operators and their machines ask: health, readiness, metrics."""

from hmac import compare_digest

from msgspec.json import encode
from starlette.requests import Request
from starlette.responses import Response

from ai_gateway.access.headers import credential
from ai_gateway.access.keys import hash_of
from ai_gateway.model.errors import GatewayError
from ai_gateway.telemetry.metrics import Metrics

from .admin.endpoints import error_response
from .admin.guard import Guard
from .calls import joined
from .readiness import Readiness


class OperationsEndpoints:
    def __init__(
        self, readiness: Readiness, metrics: Metrics, guard: Guard, metrics_key: str | None
    ) -> None:
        self._readiness = readiness
        self._metrics = metrics
        self._guard = guard
        self._metrics_key = metrics_key

    async def health(self, request: Request) -> Response:
        """The process is alive; it says nothing about its dependencies."""
        return _json({"status": "healthy", "service": "ai-gateway"})

    async def ready(self, request: Request) -> Response:
        """200 while calls can be served; else 503 with every reason. Notes say what is degraded."""
        reasons = self._readiness.reasons()
        notes = {"notes": found} if (found := self._readiness.notes()) else {}
        if reasons:
            return _json({"ready": False, "reasons": reasons, **notes}, 503)
        return _json({"ready": True, **notes})

    async def metrics(self, request: Request) -> Response:
        """For everybody who reaches the port, unless METRICS_KEY is set: then for who has it, or ADMIN_KEY."""
        if self._metrics_key is not None:
            headers = joined(request.scope["headers"])
            given = credential(headers) or b""
            is_key = compare_digest(hash_of(given), hash_of(self._metrics_key.encode("utf-8")))
            if not is_key and not self._guard.is_admin_key(headers):
                return error_response(
                    GatewayError(
                        "authentication", "The metrics need METRICS_KEY as a bearer token."
                    )
                )
        body, content_type = self._metrics.render(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})


def _json(value: object, status: int = 200) -> Response:
    return Response(encode(value), status, media_type="application/json")
