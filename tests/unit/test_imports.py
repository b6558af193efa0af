"""What the process imports, which it keeps in memory for as long as it runs."""

import os
import subprocess
import sys

import pytest

_GATEWAY = "import ai_gateway.cli, ai_gateway.app, ai_gateway.server"
_SENDER = """
from ai_gateway.model.otlp import OtlpTarget
from ai_gateway.telemetry.otlp import make_sender
make_sender(OtlpTarget(endpoint={!r}, protocol="http/protobuf", headers={{}}, service_name="", instance=""))
"""
_WHERE_CONFIGURED = {
    "alembic", "asyncpg", "botocore", "cryptography", "google.auth", "grpc", "jwt", "numpy",
    "opentelemetry", "redis", "requests", "sqlalchemy", "usearch", "websockets",
    "ai_gateway.migrate_from.litellm",
}  # fmt: skip


def imported(code: str, **environ: str) -> set[str]:
    """By a process of its own. No proxy is set in it but what `environ` sets."""
    own = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        capture_output=True, text=True, check=True, env={**own, **environ},
    )  # fmt: skip
    return set(done.stdout.split())


def test_what_is_not_configured_is_not_imported() -> None:
    assert not imported(_GATEWAY) & _WHERE_CONFIGURED


def test_a_collector_nearby_is_told_without_requests() -> None:
    assert "requests" not in imported(_SENDER.format("http://127.0.0.1:4318/v1/traces"))


@pytest.mark.parametrize(
    ("endpoint", "environ"),
    [
        ("https://collector.example/v1/traces", {}),
        ("http://collector.example/v1/traces", {"HTTP_PROXY": "http://127.0.0.1:3128"}),
    ],
)
def test_certificates_and_proxies_to_a_collector_are_heeded(
    endpoint: str, environ: dict[str, str]
) -> None:
    assert "requests" in imported(_SENDER.format(endpoint), **environ)
