"""Recorded embeddings of OpenAI, Voyage, Cohere and Gemini, replayed through the whole gateway."""

import asyncio
import base64
import json
from array import array
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import Struct

from tests.serving import Got, Provider, in_front_of, post, providing, serving

from .test_recordings import RECORDINGS

pytestmark = pytest.mark.skipif(
    not RECORDINGS.is_dir(), reason=f"no recordings at {RECORDINGS} (set RECORDINGS)"
)


class Recording(Struct):
    name: str
    provider: str
    model: str
    request: Any
    status: int
    body: bytes


def recordings() -> Iterator[Recording]:
    for path in sorted(RECORDINGS.glob("*/*.json")):
        exchange = json.loads(path.read_text("utf-8"))
        url: str = exchange["request"]["url"].split("?")[0]
        request = exchange["request"]["body"]
        if not url.endswith(("/embeddings", "/v2/embed", ":batchEmbedContents")):
            continue
        model = url.rsplit("/", 1)[1].split(":")[0] if ":batch" in url else request["model"]
        yield Recording(
            name=f"{path.parent.name}/{path.stem}",
            provider=path.parent.name,
            model=model,
            request=request,
            status=exchange["response"]["status"],
            body=json.dumps(exchange["response"]["body"], ensure_ascii=False).encode(),
        )


ALL = list(recordings()) if RECORDINGS.is_dir() else []


class Replay:
    def __init__(self) -> None:
        self.recording: Recording | None = None

    async def script(self, got: Got, writer: asyncio.StreamWriter) -> None:
        recording = self.recording
        assert recording is not None
        head = (
            f"HTTP/1.1 {recording.status} Status\r\ncontent-type: application/json\r\n"
            f"content-length: {len(recording.body)}\r\nconnection: close\r\n\r\n"
        )
        writer.write(head.encode() + recording.body)
        await writer.drain()


def behind(provider: Provider) -> dict[str, str]:
    keys = {f"{name}_API_KEY": f"canary-{name}" for name in ("VOYAGE", "COHERE")}
    urls = {f"{name}_BASE_URL": provider.url for name in ("VOYAGE", "COHERE")}
    return {**in_front_of(provider), **keys, **urls}


async def asked(base: str, caller: str, recording: Recording, request: Any) -> tuple[int, bytes]:
    model = f"{recording.provider}/{recording.model}"
    if caller == "gemini":
        path = f"/v1beta/models/{model}:batchEmbedContents"
    else:
        path, request = "/v1/embeddings", {**request, "model": model}
    answered = await post(base + path, json.dumps(request).encode())
    return answered.status, answered.body


async def test_same_dialect_vectors_are_byte_equal() -> None:
    replay = Replay()
    done = 0
    async with providing(replay.script) as provider, serving(behind(provider)) as running:
        for recording in ALL:
            if recording.provider == "cohere":
                continue
            if recording.provider == "voyage" and recording.status != 200:
                # Voyage's vectors have OpenAI's shape; its errors do not, and are told in OpenAI's.
                continue
            replay.recording = recording
            caller = "gemini" if recording.provider == "gemini" else "openai"
            status, body = await asked(running.url, caller, recording, recording.request)
            assert (status, body) == (recording.status, recording.body), recording.name
            sent = json.loads(provider.got[-1].body)
            if recording.provider != "voyage":
                assert sent == recording.request, recording.name
            done += 1
    assert done >= 22


def vectors_of(recording: Recording) -> list[list[float]]:
    body = json.loads(recording.body)
    if recording.provider == "cohere":
        return body["embeddings"]["float"]
    if recording.provider == "gemini":
        return [entry["values"] for entry in body["embeddings"]]
    return [unpacked(entry["embedding"]) for entry in body["data"]]


def unpacked(vector: str | list[float]) -> list[float]:
    if isinstance(vector, list):
        return vector
    floats = array("f")
    floats.frombytes(base64.b64decode(vector))
    return floats.tolist()


@pytest.mark.parametrize("caller", ["openai", "gemini"])
async def test_callers_of_the_other_dialect_get_the_same_vectors(caller: str) -> None:
    replay = Replay()
    done = 0
    async with providing(replay.script) as provider, serving(behind(provider)) as running:
        for recording in ALL:
            if (recording.provider == "gemini") == (caller == "gemini"):
                continue
            replay.recording = recording
            done += 1
            if recording.status != 200:
                status, body = await asked(running.url, caller, recording, _texts(caller, 1))
                assert status >= 400, recording.name
                assert "error" in json.loads(body)
                continue
            expected = vectors_of(recording)
            request = _texts(caller, len(expected))
            status, body = await asked(running.url, caller, recording, request)
            answer = json.loads(body)
            assert status == 200, (recording.name, answer)
            if caller == "gemini":
                found = [entry["values"] for entry in answer["embeddings"]]
            else:
                found = [entry["embedding"] for entry in answer["data"]]
            assert found == expected, recording.name
    assert done >= 14


def _texts(caller: str, count: int) -> Any:
    texts = [f"text {i}" for i in range(count)]
    if caller == "openai":
        return {"input": texts}
    return {"requests": [{"content": {"parts": [{"text": text}]}} for text in texts]}
