"""Where traces go, out of the variables that may say so.

A Jaeger collector of old took spans at `:14268/api/traces`; every Jaeger since 1.35 takes OTLP at 4318
(HTTP) and 4317 (gRPC) of the same host, and only that is spoken here.
"""

from collections.abc import Mapping
from typing import Literal
from urllib.parse import unquote, urlsplit

from msgspec import Struct

_SIGNAL_PATH = "/v1/traces"
_OLD_PORTS = frozenset({14268, 14250, 6831, 6832, 5778, 9411})


class OtlpEndpoint(Struct, frozen=True, kw_only=True):
    url: str
    """HTTP: with the path; gRPC: scheme, host and port."""
    protocol: Literal["http/protobuf", "grpc"]
    warning: str | None = None


def traces_endpoint(
    *,
    traces: str | None,
    everything: str | None,
    jaeger: str | None,
    protocol: Literal["http/protobuf", "grpc"],
) -> OtlpEndpoint | None:
    """None where no variable is set. Raises ValueError for a JAEGER_ENDPOINT that is no address."""
    if traces is not None:
        return OtlpEndpoint(url=traces, protocol=protocol)
    if everything is not None:
        url = everything if protocol == "grpc" else everything + _SIGNAL_PATH
        return OtlpEndpoint(url=url, protocol=protocol)
    if jaeger is not None:
        return _from_jaeger(jaeger)
    return None


def logs_endpoint(
    *,
    logs: str | None,
    everything: str | None,
    protocol: Literal["http/protobuf", "grpc"],
) -> OtlpEndpoint | None:
    """None where no variable is set. (Jaeger takes no logs.)"""
    if logs is not None:
        return OtlpEndpoint(url=logs, protocol=protocol)
    if everything is None:
        return None
    url = everything if protocol == "grpc" else everything + "/v1/logs"
    return OtlpEndpoint(url=url, protocol=protocol)


def _from_jaeger(given: str) -> OtlpEndpoint:
    parts = urlsplit(given if "://" in given else f"http://{given}")
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
        raise ValueError("an address such as http://jaeger:4318")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if port == 4317:
        return OtlpEndpoint(url=f"{parts.scheme}://{host}:4317", protocol="grpc")
    if port in _OLD_PORTS or parts.path == "/api/traces":
        url = f"{parts.scheme}://{host}:4318{_SIGNAL_PATH}"
        return OtlpEndpoint(
            url=url,
            protocol="http/protobuf",
            warning=f"JAEGER_ENDPOINT names an address of Jaeger's old protocol; "
            f"traces go by OTLP to {url}. Set OTEL_EXPORTER_OTLP_ENDPOINT to say otherwise.",
        )
    path = parts.path.rstrip("/") or _SIGNAL_PATH
    return OtlpEndpoint(
        url=f"{parts.scheme}://{host}:{port or 4318}{path}", protocol="http/protobuf"
    )


def read_headers(given: str) -> Mapping[str, str]:
    """`name=value,name=value`, values percent-encoded, as the OTEL variables have it."""
    pairs = (part.partition("=") for part in given.split(",") if part.strip())
    return {name.strip().lower(): unquote(value.strip()) for name, _, value in pairs}
