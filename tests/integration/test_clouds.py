"""Azure, Bedrock and Vertex: addresses, credentials and bodies as each cloud wants them."""

import asyncio
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from anthropic import AsyncAnthropic
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from openai import AsyncOpenAI

from ai_gateway.settings.load import load_settings
from ai_gateway.settings.tree import SettingsError
from tests.serving import Got, answers, providing, serving

CONVERSED = json.dumps(
    {
        "output": {"message": {"role": "assistant", "content": [{"text": "hello from bedrock"}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7},
    }
).encode()
AWS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "canary-aws-secret",
    "AWS_SESSION_TOKEN": "canary-session",
}
MESSAGE = [{"role": "user", "content": "hi"}]
MODEL = "bedrock/anthropic.claude-sonnet-4-5-20250929-v1:0"


def openai(url: str) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0)


def is_signed(got: Got, port: int) -> bool:
    """Whether AWS would take the signature: made again from what arrived, it is the same."""
    names = got.headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    request = AWSRequest(
        method="POST", url=f"http://127.0.0.1:{port}{got.path}", data=got.body,
        headers={n: got.headers[n] for n in names if n not in ("host", "x-amz-date")},
    )  # fmt: skip
    signer = SigV4Auth(
        Credentials(
            AWS["AWS_ACCESS_KEY_ID"], AWS["AWS_SECRET_ACCESS_KEY"], AWS["AWS_SESSION_TOKEN"]
        ),
        "bedrock",
        "eu-west-1",
    )
    request.context["timestamp"] = got.headers["x-amz-date"]
    if "X-Amz-Security-Token" in request.headers:
        del request.headers["X-Amz-Security-Token"]
    request.headers["X-Amz-Security-Token"] = AWS["AWS_SESSION_TOKEN"]
    request.headers["X-Amz-Date"] = got.headers["x-amz-date"]
    canonical = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    return got.headers["authorization"].endswith(f"Signature={signature}")


def bedrock(port: int) -> dict[str, str]:
    return {"BEDROCK_REGION": "eu-west-1", "BEDROCK_BASE_URL": f"http://127.0.0.1:{port}"}


async def test_bedrock_is_asked_with_a_signature_that_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    async with (
        providing(answers(CONVERSED)) as provider,
        serving(bedrock(provider.port)) as running,
        openai(running.url) as client,
    ):
        answer = await client.chat.completions.create(model=MODEL, messages=MESSAGE)  # type: ignore[arg-type]
    assert answer.choices[0].message.content == "hello from bedrock"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 7
    got = provider.got[0]
    assert got.path == "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse"
    assert json.loads(got.body)["messages"] == [{"role": "user", "content": [{"text": "hi"}]}]
    assert is_signed(got, provider.port)
    assert "canary-aws-secret" not in str(got.headers)


async def test_bedrocks_api_key_is_a_bearer_token() -> None:
    async with providing(answers(CONVERSED)) as provider:
        settings = {**bedrock(provider.port), "AWS_BEARER_TOKEN_BEDROCK": "bedrock-key"}
        async with (
            serving(settings) as running,
            AsyncAnthropic(base_url=running.url, api_key="any") as client,
        ):
            answer = await client.messages.create(model=MODEL, max_tokens=9, messages=MESSAGE)  # type: ignore[arg-type]
    assert answer.content[0].type == "text"
    assert provider.got[0].headers["authorization"] == "Bearer bedrock-key"


def frame(name: str, data: Mapping[str, object]) -> bytes:
    headers = b""
    for header, value in ((":message-type", "event"), (":event-type", name)):
        headers += struct.pack("!B", len(header)) + header.encode() + b"\x07"
        headers += struct.pack("!H", len(value)) + value.encode()
    payload = json.dumps(data).encode()
    prelude = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack("!I", crc32(prelude)) + headers + payload
    return message + struct.pack("!I", crc32(message))


async def test_bedrocks_binary_stream_becomes_events_for_any_caller() -> None:
    sent = frame("messageStart", {"role": "assistant"})
    for text in ("hel", "lo"):
        sent += frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}})
    sent += frame("contentBlockStop", {"contentBlockIndex": 0})
    sent += frame("messageStop", {"stopReason": "end_turn"})
    sent += frame("metadata", {"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}})

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        assert got.path.endswith("/converse-stream")
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\n"
            b"connection: close\r\n\r\n"
        )
        for at in range(0, len(sent), 11):
            writer.write(sent[at : at + 11])
            await writer.drain()

    async with providing(script) as provider:
        settings = {**bedrock(provider.port), "AWS_BEARER_TOKEN_BEDROCK": "k"}
        async with serving(settings) as running:
            async with openai(running.url) as client:
                stream = await client.chat.completions.create(
                    model=MODEL, messages=MESSAGE, stream=True,  # type: ignore[arg-type]
                    stream_options={"include_usage": True},
                )  # fmt: skip
                chunks = [chunk async for chunk in stream]
            async with (
                AsyncAnthropic(base_url=running.url, api_key="any") as claude,
                claude.messages.stream(model=MODEL, max_tokens=9, messages=MESSAGE) as events,  # type: ignore[arg-type]
            ):
                text = await events.get_final_text()
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "hello"
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (1, 2)
    assert text == "hello"


async def test_without_aws_credentials_the_gateway_says_that_it_has_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in AWS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    async with (
        providing(answers(CONVERSED)) as provider,
        serving(bedrock(provider.port)) as running,
        openai(running.url) as client,
    ):
        with pytest.raises(Exception, match="no AWS credentials") as failed:
            await client.chat.completions.create(model=MODEL, messages=MESSAGE)  # type: ignore[arg-type]
    assert "502" in str(failed.value)
    assert provider.got == []


CHAT = json.dumps(
    {
        "id": "c", "object": "chat.completion", "created": 1, "model": "gpt-4o",
        "choices": [{"index": 0, "finish_reason": "stop",
                     "message": {"role": "assistant", "content": "from azure"}}],
    }
).encode()  # fmt: skip


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("azure/my-deployment", "/openai/v1/chat/completions"),
        (
            "azure-deployments/my-deployment",
            "/openai/deployments/my-deployment/chat/completions?api-version=2024-10-21",
        ),
    ],
)
async def test_azure_is_asked_at_its_own_paths_with_its_own_header(model: str, path: str) -> None:
    async with providing(answers(CHAT)) as provider:
        address = f"http://127.0.0.1:{provider.port}"
        settings = {
            "AZURE_API_KEY": "azure-key",
            "AZURE_BASE_URL": address,
            "AZURE_DEPLOYMENTS_BASE_URL": address,
        }
        async with serving(settings) as running, openai(running.url) as client:
            answer = await client.chat.completions.create(model=model, messages=MESSAGE)  # type: ignore[arg-type]
    assert answer.choices[0].message.content == "from azure"
    got = provider.got[0]
    assert (got.path, got.headers["api-key"]) == (path, "azure-key")
    assert json.loads(got.body)["model"] == "my-deployment"


def google_account(tmp_path: Path, port: int) -> Path:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    path = tmp_path / "account.json"
    path.write_text(
        json.dumps(
            {
                "type": "service_account",
                "project_id": "acme",
                "private_key_id": "1",
                "private_key": pem,
                "client_email": "gateway@acme.example",
                "client_id": "1",
                "token_uri": f"http://127.0.0.1:{port}/token",
            }
        )
    )
    return path


GEMINI = json.dumps(
    {
        "candidates": [{"content": {"role": "model", "parts": [{"text": "from vertex"}]},
                        "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 3},
    }
).encode()  # fmt: skip
CLAUDE = json.dumps(
    {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5",
        "content": [{"type": "text", "text": "from vertex"}], "stop_reason": "end_turn",
        "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 2},
    }
).encode()  # fmt: skip


async def test_vertex_is_asked_with_googles_token_which_is_fetched_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = json.dumps({"access_token": "ya29.token", "expires_in": 3600, "token_type": "Bearer"})

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        body = CLAUDE if "anthropic" in got.path else GEMINI
        await answers(body)(got, writer)

    async with providing(answers(token.encode())) as google, providing(script) as provider:
        monkeypatch.setenv(
            "GOOGLE_APPLICATION_CREDENTIALS", str(google_account(tmp_path, google.port))
        )
        base = f"http://127.0.0.1:{provider.port}/v1/projects/acme/locations/global"
        settings = {
            "VERTEX_REGION": "global",
            "VERTEX_PROJECT": "acme",
            "VERTEX_BASE_URL": base,
            "VERTEX_ANTHROPIC_BASE_URL": base,
        }
        async with serving(settings) as running:
            async with openai(running.url) as client:
                asked = [
                    client.chat.completions.create(model="vertex/gemini-2.5-pro", messages=MESSAGE)  # type: ignore[arg-type]
                    for _ in range(5)
                ]
                answered = await asyncio.gather(*asked)
            async with AsyncAnthropic(base_url=running.url, api_key="any") as claude:
                said = await claude.messages.create(
                    model="vertex-anthropic/claude-sonnet-4-5@20250929", max_tokens=9,
                    messages=MESSAGE,  # type: ignore[arg-type]
                )  # fmt: skip
    assert {a.choices[0].message.content for a in answered} == {"from vertex"}
    assert said.content[0].type == "text"
    assert len(google.got) == 2, "one for each of the two rows"
    gemini, claude_asked = provider.got[0], provider.got[-1]
    assert gemini.headers["authorization"] == "Bearer ya29.token"
    assert gemini.path == (
        "/v1/projects/acme/locations/global/publishers/google/models/gemini-2.5-pro:generateContent"
    )
    assert claude_asked.path.endswith(
        "/publishers/anthropic/models/claude-sonnet-4-5%4020250929:rawPredict"
    )
    body: dict[str, Any] = json.loads(claude_asked.body)
    assert body["anthropic_version"] == "vertex-2023-10-16"
    assert "model" not in body


def test_a_cloud_with_half_of_its_variables_is_a_problem() -> None:
    with pytest.raises(SettingsError, match="VERTEX_REGION: is not set"):
        load_settings({"VERTEX_PROJECT": "acme"})
    with pytest.raises(SettingsError, match="BEDROCK_REGION: is not set"):
        load_settings({"AWS_BEARER_TOKEN_BEDROCK": "k"})
    with pytest.raises(SettingsError, match="BEDROCK_REGION: is no such name"):
        load_settings({"BEDROCK_REGION": "eu/../x"})


def test_addresses_follow_from_the_variables() -> None:
    settings = load_settings(
        {"BEDROCK_REGION": "us-east-1", "VERTEX_REGION": "global", "VERTEX_PROJECT": "acme"}
    )
    assert (
        settings.providers["bedrock"].base_url == "https://bedrock-runtime.us-east-1.amazonaws.com"
    )
    assert settings.providers["vertex"].base_url == (
        "https://aiplatform.googleapis.com/v1/projects/acme/locations/global"
    )
