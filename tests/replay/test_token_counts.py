"""Recorded token counts of Anthropic, replayed through the whole gateway."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import Struct

from tests.serving import Got, in_front_of, post, providing, serving

from .test_embeddings import ALL as EMBEDDINGS
from .test_recordings import ALL as CHATS
from .test_recordings import RECORDINGS

pytestmark = pytest.mark.skipif(
    not RECORDINGS.is_dir(), reason=f"no recordings at {RECORDINGS} (set RECORDINGS)"
)


class Recording(Struct):
    name: str
    request: Any
    status: int
    body: bytes


def recordings() -> Iterator[Recording]:
    for path in sorted(RECORDINGS.glob("*/*.json")):
        exchange = json.loads(path.read_text("utf-8"))
        if exchange["request"]["url"].split("?")[0].endswith("/messages/count_tokens"):
            response = exchange["response"]
            body = json.dumps(response["body"], ensure_ascii=False).encode()
            yield Recording(path.stem, exchange["request"]["body"], response["status"], body)


ALL = list(recordings()) if RECORDINGS.is_dir() else []


async def test_counts_are_relayed_to_the_letter_and_told_to_geminis_callers() -> None:
    at = ALL[0]

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        head = (
            f"HTTP/1.1 {at.status} Status\r\ncontent-type: application/json\r\n"
            f"content-length: {len(at.body)}\r\nconnection: close\r\n\r\n"
        )
        writer.write(head.encode() + at.body)
        await writer.drain()

    async with providing(script) as provider, serving(in_front_of(provider)) as running:
        for at in ALL:
            request = {**at.request, "model": "anthropic/replayed"}
            path = "/v1/messages/count_tokens?beta=true"
            got = await post(running.url + path, json.dumps(request).encode())
            assert (got.status, got.body) == (at.status, at.body), at.name
            assert json.loads(provider.got[-1].body) == {**at.request, "model": "replayed"}
            asked = {"contents": [{"role": "user", "parts": [{"text": "as recorded"}]}]}
            path = "/v1beta/models/anthropic/replayed:countTokens"
            got = await post(running.url + path, json.dumps(asked).encode())
            assert got.status == at.status, at.name
            if at.status == 200:
                counted = json.loads(got.body)["totalTokens"]
                assert counted == json.loads(at.body)["input_tokens"], at.name
    assert len(ALL) >= 7


def test_no_recording_is_left_out() -> None:
    assert len(CHATS) + len(EMBEDDINGS) + len(ALL) == len(list(RECORDINGS.glob("*/*.json")))
