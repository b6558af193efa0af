"""What is learnt from providers' rate-limit headers."""

import pytest

from ai_gateway.routing.quota import Quota, quotas_told, tells_quota, until_refill

NOW = 1_700_000_000.0
OPENAI = {
    b"x-ratelimit-limit-requests": b"5000",
    b"x-ratelimit-remaining-requests": b"4999",
    b"x-ratelimit-reset-requests": b"12ms",
    b"x-ratelimit-limit-tokens": b"160000",
    b"x-ratelimit-remaining-tokens": b"0",
    b"x-ratelimit-reset-tokens": b"6m0s",
}
ANTHROPIC = {
    b"anthropic-ratelimit-requests-limit": b"50",
    b"anthropic-ratelimit-requests-remaining": b"49",
    b"anthropic-ratelimit-requests-reset": b"2023-11-14T22:13:50Z",
    b"anthropic-ratelimit-input-tokens-remaining": b"8000",
}


def test_openai_and_anthropic_headers_are_read_as_they_stand_by_now() -> None:
    assert quotas_told(OPENAI, NOW, NOW + 60) == [
        Quota(unit="requests", remaining=4999, limit=5000, resets_in=0.0),
        Quota(unit="tokens", remaining=0, limit=160000, resets_in=300.0),
    ]
    assert quotas_told(ANTHROPIC, NOW, NOW) == [
        Quota(unit="requests", remaining=49, limit=50, resets_in=30.0),
        Quota(unit="input_tokens", remaining=8000),
    ]


def test_what_is_used_up_tells_for_how_long() -> None:
    assert until_refill(OPENAI, lambda: NOW) == 360.0
    assert until_refill(ANTHROPIC, lambda: NOW) is None
    assert tells_quota(OPENAI)
    assert tells_quota(ANTHROPIC)
    assert not tells_quota({b"content-type": b"application/json"})


@pytest.mark.parametrize(
    ("remaining", "reset"),
    [
        (b"", b"1s"),
        (b"many", b"1s"),
        (b"-1", b"1s"),
        (b"9" * 400, b"1s"),
        (b"\xb2", b"1s"),
    ],
)
def test_a_number_that_is_none_is_left_out(remaining: bytes, reset: bytes) -> None:
    headers = {
        b"x-ratelimit-remaining-requests": remaining,
        b"x-ratelimit-reset-requests": reset,
    }
    assert quotas_told(headers, NOW, NOW) == []
    assert until_refill(headers, lambda: NOW) is None


@pytest.mark.parametrize("reset", [b"", b"soon", b"nan", b"inf", b"9999-99-99T00:00:00Z", b"\xff"])
def test_a_time_that_cannot_be_read_is_not_told(reset: bytes) -> None:
    headers = {b"x-ratelimit-remaining-requests": b"0", b"x-ratelimit-reset-requests": reset}
    assert quotas_told(headers, NOW, NOW) == [Quota(unit="requests", remaining=0)]
    assert until_refill(headers, lambda: NOW) is None
