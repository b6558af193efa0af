"""By which of the SDK's transports a collector is told."""

import pytest

from ai_gateway.telemetry import senders


@pytest.mark.parametrize(
    ("endpoint", "needs"),
    [
        ("http://collector:4318/v1/traces", False),
        ("https://collector:4318/v1/traces", True),
        ("http://name:password@collector:4318/v1/traces", True),
    ],
)
def test_what_only_requests_does_is_left_to_it(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, needs: bool
) -> None:
    monkeypatch.setattr(senders, "getproxies", dict)
    assert senders._needs_requests(endpoint) is needs  # pyright: ignore[reportPrivateUsage]
