"""What is done about a fault that nothing foresaw: it is counted, it gets a line, the caller an answer."""

import os

from ai_gateway.model.errors import GatewayError
from ai_gateway.telemetry.log import Log
from ai_gateway.telemetry.metrics import Metrics


class LastResort:
    """One of an endpoint; to be told of every exception that is no GatewayError."""

    def __init__(self, endpoint: str, metrics: Metrics, log: Log) -> None:
        """`endpoint`: as documented."""
        self._endpoint = endpoint
        self._metrics = metrics
        self._log = log

    def failed(self, error: Exception, request_id: str) -> GatewayError:
        """What the caller is told."""
        self._metrics.internal_errors.add()
        self._log.event(
            "error",
            "internal_error",
            request_id=request_id,
            endpoint=self._endpoint,
            error=type(error).__name__,
            where=_place_of(error),
        )
        return GatewayError(
            "internal", "The gateway failed; its log names this request.", code="internal_error"
        )


def shutting_down() -> GatewayError:
    """For a call that the time to drain was too short for."""
    return GatewayError(
        "unavailable",
        "The gateway is shutting down. Try again.",
        code="shutting_down",
        retry_after=1,
    )


def _place_of(error: BaseException) -> str:
    """The innermost place of the fault, as file:line. A traceback could hold a caller's words."""
    trace = error.__traceback__
    if trace is None:
        return "unknown"
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"
