"""What goes with an error."""

import pytest

from ai_gateway.model.errors import GatewayError


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (1.4, "2"), (2.5, "3"), (60.01, "61")]
)
def test_retry_after_is_whole_seconds_and_never_too_soon(seconds: float, told: str) -> None:
    error = GatewayError("unavailable", "Later.", retry_after=seconds)
    assert dict(error.advice())["retry-after"] == told


def test_a_providers_advice_is_handed_on() -> None:
    error = GatewayError("rate_limited", "Later.", retry_after=1.2)
    error.headers = (("x-should-retry", "true"),)
    assert error.advice() == [("x-should-retry", "true"), ("retry-after", "2")]
    assert GatewayError("internal", "Oh.").advice() == []
