"""A provider as fast as Python allows: canned answers from a bare asyncio protocol.

    python -m benchmarks.upstream PORT

`POST .../chat/completions` gives a 1.2 kB answer, or with `"stream":true` a stream; models whose name
ends in `-slow` stream an event every 50 ms for as long as `SLOW_EVENTS` lasts, those in `-still` one event
and then nothing until the caller goes, those in `-first` one event and 20 ms later the rest. `POST .../messages` does
the same in Anthropic's dialect, `POST .../embeddings` gives a vector of 1,536 numbers in base64.
"""

import asyncio
import base64
import sys
from array import array
from typing import cast

import uvloop
from msgspec.json import encode

WORDS = "The quick brown fox jumps over the lazy dog and runs on through the field. "
STREAM_EVENTS = 64
SLOW_EVENTS = 200
SLOW_PAUSE = 0.05


def _response(body: bytes, content_type: bytes = b"application/json") -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n"
    return head % (content_type, len(body)) + body


_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


_USAGE = {"prompt_tokens": 120, "completion_tokens": 200, "total_tokens": 320}
_TEXT = WORDS * 11

CHAT = _response(
    encode(
        {
            "id": "chatcmpl-bench",
            "object": "chat.completion",
            "created": 1700000000,
            "model": "gpt-4o-mini-2024-07-18",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": _TEXT, "refusal": None},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": _USAGE,
            "system_fingerprint": "fp_bench",
        }
    )
)
MESSAGES = _response(
    encode(
        {
            "id": "msg_bench",
            "type": "message",
            "role": "assistant",
            "model": "claude-haiku-4-5",
            "content": [{"type": "text", "text": _TEXT}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 120, "output_tokens": 200},
        }
    )
)
EMBEDDINGS = _response(
    encode(
        {
            "object": "list",
            "data": [
                {
                    "object": "embedding",
                    "index": 0,
                    "embedding": base64.b64encode(array("f", [0.01] * 1536).tobytes()).decode(),
                }
            ],
            "model": "text-embedding-3-small",
            "usage": {"prompt_tokens": 8, "total_tokens": 8},
        }
    )
)


def _chat_event(delta: dict[str, str], finish: str | None = None) -> bytes:
    body = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "gpt-4o-mini-2024-07-18",
        "system_fingerprint": "fp_bench",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
    }
    return b"data: " + encode(body) + b"\n\n"


_CHAT_USAGE = b'data: {"id":"chatcmpl-bench","choices":[],"usage":' + encode(_USAGE) + b"}\n\n"
CHAT_EVENTS = [
    _chat_event({"role": "assistant", "content": ""}),
    *[_chat_event({"content": "word "})] * STREAM_EVENTS,
    _chat_event({}, "stop"),
    _CHAT_USAGE,
    b"data: [DONE]\n\n",
]
SLOW_EVENT = _chat_event({"content": "word "})
FIRST_PAUSE = 0.02
_CHUNKS = [_chunk(event) for event in CHAT_EVENTS]
"""Made once: what is measured is the gateway, not its provider."""


class Upstream(asyncio.Protocol):
    """HTTP/1.1 as far as the gateway's client speaks it: a head, a content-length, a body."""

    calls = 0

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not derive from asyncio.Transport.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._buffer[:end].lower()
            at = head.find(b"content-length:")
            size = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + size:
                return
            body = self._buffer[end + 4 : end + 4 + size]
            self._buffer = self._buffer[end + 4 + size :]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        assert self._transport is not None
        Upstream.calls += 1
        path = head.split(b" ", 2)[1]
        if path.endswith(b"/count"):
            self._transport.write(_response(b"%d" % Upstream.calls))
        elif path.endswith(b"/embeddings"):
            self._transport.write(EMBEDDINGS)
        elif b'"stream":true' in body or b'"stream": true' in body:
            if b"-slow" in body:
                self._task = asyncio.get_running_loop().create_task(self._slowly())
                return
            if b"-still" in body:
                self._transport.write(_STREAM_HEAD + _chunk(SLOW_EVENT))
                return
            if b"-first" in body:
                self._transport.write(_STREAM_HEAD + _CHUNKS[0])
                asyncio.get_running_loop().call_later(FIRST_PAUSE, self._stream, 1)
                return
            self._transport.write(_STREAM_HEAD)
            self._stream(0)
        elif path.endswith(b"/messages"):
            self._transport.write(MESSAGES)
        else:
            self._transport.write(CHAT)

    def _stream(self, first: int) -> None:
        """Event by event, as providers do; loop and kernel may still join them."""
        assert self._transport is not None
        for chunk in _CHUNKS[first:]:
            self._transport.write(chunk)
        self._transport.write(b"0\r\n\r\n")

    async def _slowly(self) -> None:
        assert self._transport is not None
        self._transport.write(_STREAM_HEAD)
        for _ in range(SLOW_EVENTS):
            self._transport.write(_chunk(SLOW_EVENT))
            await asyncio.sleep(SLOW_PAUSE)
        for event in CHAT_EVENTS[-3:]:
            self._transport.write(_chunk(event))
        self._transport.write(b"0\r\n\r\n")


async def start(port: int) -> asyncio.Server:
    """On the running loop; port 0 takes any that is free."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(Upstream, "127.0.0.1", port, backlog=4096)


async def _serve(port: int) -> None:
    await (await start(port)).serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
