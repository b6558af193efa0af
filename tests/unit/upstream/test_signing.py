"""Credentials that end and are renewed."""

import asyncio
from time import time

import pytest

from ai_gateway.upstream.faults import UpstreamFault
from ai_gateway.upstream.signing import GoogleSigner

URL = "https://example.test"


class Tokens:
    """A token endpoint: what it gives next, how long that is good, and whether it is there."""

    def __init__(self) -> None:
        self.asked = 0
        self.seconds = 3600.0
        self.away = False

    def fetch(self) -> tuple[str, float]:
        self.asked += 1
        if self.away:
            raise OSError("a secret of the endpoint's")
        return f"token-{self.asked}", time() + self.seconds


@pytest.fixture
def tokens(monkeypatch: pytest.MonkeyPatch) -> Tokens:
    tokens = Tokens()
    monkeypatch.setattr(GoogleSigner, "_fetch", lambda _: tokens.fetch())
    return tokens


async def bearer(signer: GoogleSigner) -> bytes:
    ((_, value),) = await signer.headers(URL, b"")
    return value


async def test_calls_at_once_wait_for_one_token(tokens: Tokens) -> None:
    signer = GoogleSigner()
    assert set(await asyncio.gather(*(bearer(signer) for _ in range(20)))) == {b"Bearer token-1"}
    assert await bearer(signer) == b"Bearer token-1"
    assert tokens.asked == 1


async def test_a_token_near_its_end_is_renewed_and_serves_on_where_that_fails(
    tokens: Tokens,
) -> None:
    signer = GoogleSigner()
    tokens.seconds = 60
    assert await bearer(signer) == b"Bearer token-1"
    tokens.away = True
    for _ in range(20):
        assert await bearer(signer) == b"Bearer token-1"
    assert tokens.asked == 2, "not asked again by each call"


async def test_without_a_good_token_a_call_fails_and_the_next_asks_again(tokens: Tokens) -> None:
    signer = GoogleSigner()
    tokens.away = True
    for _ in range(2):
        with pytest.raises(UpstreamFault) as failed:
            await bearer(signer)
        assert "secret" not in failed.value.message
    tokens.away = False
    assert await bearer(signer) == b"Bearer token-3"
    tokens.seconds = -1
    signer = GoogleSigner()
    await bearer(signer)
    tokens.away = True
    with pytest.raises(UpstreamFault):
        await bearer(signer)
