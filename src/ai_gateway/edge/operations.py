"""What operators and their machines ask: health, readiness, metrics."""

from msgspec.json import encode
from starlette.requests import Request
from starlette.responses import Response

from ai_gateway.telemetry.metrics import Metrics

from .readiness import Readiness


class OperationsEndpoints:
    def __init__(self, readiness: Readiness, metrics: Metrics) -> None:
        self._readiness = readiness
        self._metrics = metrics

    async def health(self, request: Request) -> Response:
        """The process is alive; it says nothing about its dependencies."""
        return _json({"status": "healthy", "service": "ai-gateway"})

    async def ready(self, request: Request) -> Response:
        """200 while calls can be served; else 503 with every reason."""
        reasons = self._readiness.reasons()
        if reasons:
            return _json({"ready": False, "reasons": reasons}, 503)
        return _json({"ready": True})

    async def metrics(self, request: Request) -> Response:
        body, content_type = self._metrics.render(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})


def _json(value: object, status: int = 200) -> Response:
    return Response(encode(value), status, media_type="application/json")
