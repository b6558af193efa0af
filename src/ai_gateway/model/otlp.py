"""Where telemetry of any kind goes."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct


class OtlpTarget(Struct, frozen=True, kw_only=True):
    endpoint: str
    """HTTP: the whole URL (`http://host:4318/v1/traces`); gRPC: `http://host:4317`."""
    protocol: Literal["http/protobuf", "grpc"]
    headers: Mapping[str, str]
    """Often credentials."""
    service_name: str
    instance: str
