"""Every way in which a provider can fail, as scripts for `tests.serving.providing`."""

import asyncio
import gzip
import json
import time
from typing import Literal

from msgspec import Struct

from tests.serving import Got, Script, answers

ANSWER = b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"word"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'
CHUNK = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"word"},"finish_reason":null}]}\n\n'
LAST = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
ERROR = b'data: {"error":{"message":"overloaded","type":"server_error","code":529}}\n\n'
_EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"

Fate = Literal["whole", "replaced", "error event"]
"""What becomes of a call to a route whose second target is well: the ill one's answer is good enough; the
second one's comes in its place; or it broke too late for that, and the stream says so."""


class Fault(Struct, frozen=True):
    number: int
    name: str
    script: Script
    alone: tuple[int, ...] = (502,)
    """The statuses that a caller may be told where there is no second target."""
    whole: Fate = "replaced"
    stream: Fate = "replaced"


def asks_stream(got: Got) -> bool:
    return bool(json.loads(got.body).get("stream"))


async def send(writer: asyncio.StreamWriter, *pieces: bytes, pause: float = 0.0) -> None:
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        if pause:
            await asyncio.sleep(pause)


async def good(got: Got, writer: asyncio.StreamWriter) -> None:
    if asks_stream(got):
        await send(writer, _EVENTS, CHUNK, CHUNK, LAST, DONE)
    else:
        await answers(ANSWER)(got, writer)


async def hang(got: Got, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def late(got: Got, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(2)
    await good(got, writer)


async def stall(got: Got, writer: asyncio.StreamWriter) -> None:
    if asks_stream(got):
        await send(writer, _EVENTS, CHUNK, CHUNK[:30])
    else:
        await send(writer, b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{")
    await asyncio.sleep(30)


async def reset(got: Got, writer: asyncio.StreamWriter) -> None:
    if asks_stream(got):
        await send(writer, _EVENTS, CHUNK)
        await asyncio.sleep(0.05)
    else:
        await send(writer, b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{")
    writer.transport.abort()


def stream_of(*pieces: bytes) -> Script:
    """Whole answers are good; streams are these pieces, a moment apart, and then the end."""

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        if asks_stream(got):
            await send(writer, _EVENTS, *pieces, pause=0.03)
        else:
            await good(got, writer)

    return script


async def byte_by_byte(got: Got, writer: asyncio.StreamWriter) -> None:
    whole = _EVENTS + CHUNK + LAST + DONE
    if not asks_stream(got):
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        whole = head % len(ANSWER) + ANSWER
    await send(writer, *(whole[i : i + 1] for i in range(len(whole))))


async def huge(got: Got, writer: asyncio.StreamWriter) -> None:
    """100 MB: a whole answer, or a single event that does not end."""
    if asks_stream(got):
        await send(writer, _EVENTS, b'data: {"x":"')
    else:
        await send(writer, b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n")
    await send(writer, *[b" " * 65536] * 1600)


async def too_long(got: Got, writer: asyncio.StreamWriter) -> None:
    """More than its content-length says, so that the rest could be taken for the next answer."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 20\r\n\r\n"
    await send(writer, head + ANSWER)


async def not_utf8(got: Got, writer: asyncio.StreamWriter) -> None:
    if asks_stream(got):
        await send(writer, _EVENTS, CHUNK.replace(b"word", b"\xff\xfe"), LAST, DONE)
    else:
        await answers(ANSWER.replace(b"word", b"\xff\xfe"))(got, writer)


def in_turn(*scripts: Script, each: int) -> Script:
    """So many calls of the one, then so many of the next."""
    count = 0

    async def script(got: Got, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        chosen = scripts[count // each % len(scripts)]
        count += 1
        await chosen(got, writer)

    return script


async def flapping(got: Got, writer: asyncio.StreamWriter) -> None:
    await (good if int(time.monotonic()) % 2 else refusal(500))(got, writer)


def refusal(status: int, **headers: str) -> Script:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return answers(b'{"error":{"message":"no","type":"server_error"}}', status, headers=named)


def gzipped() -> Script:
    bomb = gzip.compress(b" " * 50_000_000)
    return answers(bomb, headers={"content-encoding": "gzip"})


_LONG = CHUNK.replace(b"word", b"w" * 1_000_000)


FAULTS: tuple[Fault, ...] = (
    Fault(2, "accepts, never answers", hang, alone=(504,)),
    Fault(3, "first byte after 2 s", late, alone=(504,)),
    Fault(4, "stalls in the body", stall, alone=(504, 200), stream="error event"),
    Fault(5, "resets in the body", reset, alone=(502, 200), stream="error event"),
    Fault(6, "closes within an event", stream_of(CHUNK, CHUNK[:40]), alone=(200,), whole="whole", stream="error event"),
    Fault(6, "closes within the first event", stream_of(CHUNK[:40]), alone=(200, 502), whole="whole"),
    Fault(7, "no end mark, not finished", stream_of(CHUNK, CHUNK), alone=(200,), whole="whole", stream="error event"),
    Fault(7, "no end mark, finished", stream_of(CHUNK, LAST), alone=(200,), whole="whole", stream="whole"),
    Fault(8, "an error event first", stream_of(ERROR), alone=(200, 529), whole="whole"),
    Fault(8, "an error event later", stream_of(CHUNK, ERROR), alone=(200,), whole="whole", stream="error event"),
    Fault(9, "HTML under 200", answers(b"<html>", content_type="text/html")),
    Fault(10, "truncated JSON", answers(b'{"id":"x","choices":[{"mess')),
    Fault(11, "content-length too large", answers(ANSWER, headers={"content-length": "9999"})),
    Fault(11, "content-length too small", too_long),
    Fault(12, "a line of 1 MB", stream_of(_LONG, CHUNK, LAST, DONE), alone=(200,), whole="whole", stream="whole"),
    Fault(13, "one byte a packet", byte_by_byte, alone=(200,), whole="whole", stream="whole"),
    Fault(14, "100 MB", huge),
    Fault(15, "429, retry-after a date", refusal(429, retry_after="Wed, 21 Oct 2099 07:28:00 GMT"), alone=(429, 503)),
    Fault(15, "429, retry-after 0", refusal(429, retry_after="0"), alone=(429, 503)),
    Fault(15, "429, retry-after 10^9", refusal(429, retry_after="1000000000"), alone=(429, 503)),
    Fault(15, "429, retry-after garbage", refusal(429, retry_after="soon"), alone=(429, 503)),
    Fault(16, "500, 502, 503, 529 in bursts of 20",
          in_turn(refusal(500), good, refusal(502), good, refusal(503), good, refusal(529), good, each=20),
          alone=(200, 500, 502, 503, 529)),
    Fault(17, "up and down every second", flapping, alone=(200, 500, 503)),
    Fault(20, "invalid UTF-8", not_utf8),
    Fault(21, "50 MB in 50 kB of gzip", gzipped()),
    Fault(22, "redirects elsewhere", refusal(307, location="http://127.0.0.1:1/steal")),
)  # fmt: skip
