"""Providers are reached over TLS, and only those whose certificate holds."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from tests.serving import answers, post, providing, serving, streams

CHAT = "/v1/chat/completions"
ANSWER = b'{"id":"c","model":"m","choices":[{"index":0,"message":{"content":"x"},"finish_reason":"stop"}]}'
STREAM = b'data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
ASKED = b'{"model":"gpt-4o","messages":[{"role":"user","content":"x"}]}'


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """One that this machine trusts, for the length of a test."""
    made = trustme.CA()
    path = tmp_path / "ca.pem"
    made.cert_pem.write_to_path(str(path))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return made


def served(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def environ(port: int, host: str = "localhost") -> dict[str, str]:
    return {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": f"https://{host}:{port}/v1"}


async def test_whole_answers_and_streams_come_over_tls(authority: trustme.CA) -> None:
    tls = served(authority.issue_cert("localhost"))
    async with (
        providing(answers(ANSWER), tls) as provider,
        serving(environ(provider.port)) as running,
    ):
        for _ in range(3):
            assert (await post(running.url + CHAT, ASKED)).body == ANSWER
        provider.script = streams(STREAM)
        got = await post(running.url + CHAT, ASKED[:-1] + b',"stream":true}')
        assert got.body == STREAM


async def test_a_certificate_for_another_name_is_refused(authority: trustme.CA) -> None:
    tls = served(authority.issue_cert("elsewhere.example"))
    async with (
        providing(answers(ANSWER), tls) as provider,
        serving(environ(provider.port)) as running,
    ):
        got = await post(running.url + CHAT, ASKED)
    assert got.status == 502
    assert b"certificate" in got.body
    assert provider.got == []


async def test_an_expired_certificate_is_refused(authority: trustme.CA) -> None:
    now = datetime.now(UTC)
    expired = authority.issue_cert(
        "localhost", not_before=now - timedelta(days=9), not_after=now - timedelta(days=1)
    )
    async with (
        providing(answers(ANSWER), served(expired)) as provider,
        serving(environ(provider.port)) as running,
    ):
        got = await post(running.url + CHAT, ASKED)
    assert got.status == 502
    assert b"certificate" in got.body
    assert provider.got == []


async def test_a_certificate_nobody_trusts_is_refused(authority: trustme.CA) -> None:
    tls = served(trustme.CA().issue_cert("localhost"))
    async with (
        providing(answers(ANSWER), tls) as provider,
        serving(environ(provider.port)) as running,
    ):
        assert (await post(running.url + CHAT, ASKED)).status == 502
    assert provider.got == []


async def test_plain_http_where_tls_is_meant_is_refused() -> None:
    async with providing(answers(ANSWER)) as provider, serving(environ(provider.port)) as running:
        got = await post(running.url + CHAT, ASKED)
    assert got.status == 502
