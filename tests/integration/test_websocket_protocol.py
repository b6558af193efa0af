"""The WebSocket protocol, kept and broken, case by case: what the Autobahn test suite asks of a server
(its sections 1 to 7, 12 and 13), by a client that writes every frame itself.

A text that is no request is answered by an error in JSON, so an answer shows that the message was
taken. What breaks the protocol closes the socket with the code that RFC 6455 names, and nothing else.
"""

import asyncio
import json
import struct
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec import Struct

from tests.serving import Running, get, serving

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FIN = 0x80
KEY = b"\x01\x02\x03\x04"


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    head = bytes([(FIN if fin else 0) | rsv << 4 | opcode])
    size = len(payload)
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 1 << 16:
        head += bytes([0x80 | 126]) + struct.pack("!H", size)
    else:
        head += bytes([0x80 | 127]) + struct.pack("!Q", size)
    masked = bytes(b ^ KEY[i % 4] for i, b in enumerate(payload))
    return head + KEY + masked


def close(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason)


class Frame(Struct, frozen=True):
    opcode: int
    payload: bytes
    rsv: int = 0

    @property
    def code(self) -> int:
        return struct.unpack("!H", self.payload[:2])[0] if self.payload else 0


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes, size: int = 0) -> None:
        """In pieces of `size` bytes, if given."""
        for at in range(0, len(data), size or len(data) or 1):
            self.writer.write(data[at : at + (size or len(data))])
            await self.writer.drain()
            if size:
                await asyncio.sleep(0)

    async def read(self) -> Frame | None:
        """None: the connection is closed."""
        try:
            async with asyncio.timeout(10):
                head = await self.reader.readexactly(2)
                assert not head[1] & 0x80, "a server masks nothing"
                size = head[1] & 0x7F
                if size == 126:
                    (size,) = struct.unpack("!H", await self.reader.readexactly(2))
                elif size == 127:
                    (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
                payload = await self.reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return Frame(head[0] & 0xF, payload, head[0] >> 4 & 7)

    async def read_all(self) -> list[Frame]:
        """Until the connection is closed; a close is answered."""
        found: list[Frame] = []
        while (got := await self.read()) is not None:
            found.append(got)
            if got.opcode == CLOSE and got.code != 1002:
                self.writer.write(frame(CLOSE, got.payload))
        return found


@asynccontextmanager
async def connected(running: Running, *headers: str) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    lines = [
        "GET /v1/chat/completions HTTP/1.1", "host: localhost", "connection: Upgrade",
        "upgrade: websocket", "sec-websocket-version: 13",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==", *headers,
    ]  # fmt: skip
    writer.write("".join(f"{line}\r\n" for line in lines).encode() + b"\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


def is_answer(got: Frame | None) -> bool:
    return got is not None and got.opcode == TEXT and b'"error"' in got.payload


TAKEN: dict[str, bytes] = {
    "1.1.1 an empty text": frame(TEXT),
    "1.1.2 a text of 125 bytes": frame(TEXT, b"*" * 125),
    "1.1.3 a text of 126 bytes": frame(TEXT, b"*" * 126),
    "1.1.4 a text of 127 bytes": frame(TEXT, b"*" * 127),
    "1.1.5 a text of 128 bytes": frame(TEXT, b"*" * 128),
    "1.1.6 a text of 65,535 bytes": frame(TEXT, b"*" * 65_535),
    "1.1.7 a text of 65,536 bytes": frame(TEXT, b"*" * 65_536),
    "2.7 a pong nobody asked for": frame(PONG) + frame(TEXT, b"x"),
    "2.8 one with a payload": frame(PONG, b"unsolicited") + frame(TEXT, b"x"),
    "5.3 a text in two frames": frame(TEXT, b"a", fin=False) + frame(CONT, b"b"),
    "5.15 in frames some of which are empty": (
        frame(TEXT, b"", fin=False) + frame(CONT, b"", fin=False) + frame(CONT, b"x")
    ),
    "6.2.1 text in many scripts": frame(TEXT, "Hello-µ@ßöäüàá-UTF-8!! \U0001f600".encode()),
    "6.2.2 cut between the bytes of a sign": (
        frame(TEXT, b"\xce\xba\xe1\xbd", fin=False) + frame(CONT, b"\xb9\xcf\x83")
    ),
    "6.2.3 a frame for every byte": (
        b"".join(frame(TEXT if i == 0 else CONT, bytes([b]), fin=False)
                 for i, b in enumerate("κόσμε".encode())) + frame(CONT)
    ),
    "6.6 the last sign there is": frame(TEXT, b"\xf4\x8f\xbf\xbf"),
    "6.22 signs that are none": frame(TEXT, b"\xef\xbf\xbe\xef\xbf\xbf"),
    "mask of zeros": b"\x81\x81\x00\x00\x00\x00x",
    "a length written longer than it need be": b"\x81\xfe\x00\x01" + KEY + bytes([ord("x") ^ 1]),
}  # fmt: skip


@pytest.mark.parametrize("size", [0, 1, 997])
async def test_what_keeps_to_the_protocol_is_answered(size: int) -> None:
    async with serving({}) as running:
        for case, data in TAKEN.items():
            if size == 1 and len(data) > 1000:
                continue
            async with connected(running) as client:
                await client.send(data, size)
                assert is_answer(await client.read()), case


async def test_pings_are_answered_in_order_with_what_they_hold() -> None:
    async with serving({}) as running, connected(running) as client:
        payloads = [b"", b"a", b"\x00\xff\xfe", b"x" * 125, *(b"%d" % i for i in range(100))]
        await client.send(b"".join(frame(PING, payload) for payload in payloads))
        for payload in payloads:
            assert await client.read() == Frame(PONG, payload)
        await client.send(frame(TEXT, b"a", fin=False) + frame(PING, b"in between"))
        assert await client.read() == Frame(PONG, b"in between")
        await client.send(frame(CONT, b"b"))
        assert is_answer(await client.read())


BROKEN: dict[str, tuple[bytes, int]] = {
    "2.5 a ping of 126 bytes": (frame(PING, b"x" * 126), 1002),
    "2.5 a pong of 126 bytes": (frame(PONG, b"x" * 126), 1002),
    "3.1 RSV3": (frame(TEXT, b"x", rsv=1), 1002),
    "3.2 RSV2": (frame(TEXT, b"x", rsv=2), 1002),
    "3.4 RSV1, though no compression was agreed on": (frame(TEXT, b"x", rsv=4), 1002),
    "3.5 RSV on a ping": (frame(PING, b"x", rsv=5), 1002),
    "3.6 RSV on a close": (frame(CLOSE, b"", rsv=6), 1002),
    "3.7 RSV on a continuation": (frame(TEXT, b"a", fin=False) + frame(CONT, b"b", rsv=4), 1002),
    **{f"4 opcode {n}": (frame(n, b"x"), 1002) for n in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "5.1 a ping in fragments": (frame(PING, b"a", fin=False) + frame(CONT, b"b"), 1002),
    "5.2 a pong in fragments": (frame(PONG, b"a", fin=False) + frame(CONT, b"b"), 1002),
    "5.9 a continuation of nothing": (frame(CONT, b"x") + frame(TEXT, b"x"), 1002),
    "5.10 the same, unfinished": (frame(CONT, b"x", fin=False), 1002),
    "5.18 a text in the midst of another": (
        frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002,
    ),
    "5.18 a binary in the midst of a text": (
        frame(TEXT, b"a", fin=False) + frame(BINARY, b"b"), 1002,
    ),
    "6.3 text that is not UTF-8": (frame(TEXT, b"ok \xff\xff"), 1007),
    "6.4 not UTF-8 in a later frame": (
        frame(TEXT, b"\xce\xba", fin=False) + frame(CONT, b"\xed\xa0\x80"), 1007,
    ),
    "6.8 a sign that is not whole": (frame(TEXT, b"\xce"), 1007),
    "6.8 not whole over frames": (frame(TEXT, b"\xf0\x9f", fin=False) + frame(CONT, b"\x98"), 1007),
    "6.10 beyond the last sign": (frame(TEXT, b"\xf4\x90\x80\x80"), 1007),
    "6.13 a continuation byte alone": (frame(TEXT, b"\x80"), 1007),
    "6.17 an overlong slash": (frame(TEXT, b"\xc0\xaf"), 1007),
    "6.20 a surrogate": (frame(TEXT, b"\xed\xa0\x80"), 1007),
    "6.20 a pair of them": (frame(TEXT, b"\xed\xa0\x80\xed\xb0\x80"), 1007),
    "7.3.2 a close of one byte": (frame(CLOSE, b"\x03"), 1002),
    "7.3.6 a close of 126 bytes": (close(1000, b"x" * 124), 1002),
    "7.5.1 a reason that is not UTF-8": (close(1000, b"\xce\xba\xed\xa0\x80"), 1007),
    **{
        f"7.9 a close of code {code}": (close(code), 1002)
        for code in (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535)
    },
    "a frame without a mask": (b"\x81\x01x", 1002),
    "a length with its highest bit set": (b"\x81\xff\xff" + b"\x00" * 7 + KEY, 1009),
    "4 exabytes promised": (b"\x81\xff" + struct.pack("!Q", 2**62) + KEY, 1009),
    "a binary message": (frame(BINARY, b"x"), 1003),
}  # fmt: skip


async def test_what_breaks_the_protocol_closes_the_socket_with_its_code(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wrong: list[str] = []
    async with serving({}) as running:
        for case, (data, code) in BROKEN.items():
            async with connected(running) as client:
                await client.send(data)
                found = await client.read_all()
            codes = [f.code for f in found if f.opcode == CLOSE]
            if codes != [code] or any(f.opcode == TEXT for f in found):
                wrong.append(f"{case}: {codes} in place of {code}")
        assert not wrong, "\n".join(wrong)
        assert (await get(running.url + "/health")).status == 200
        metrics = (await get(running.url + "/metrics")).body.decode()
        assert "\ngateway_in_flight 0.0\n" in metrics
    assert caplog.records == [], "a caller made the server print something"


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999])  # fmt: skip
async def test_a_close_is_answered_by_a_close_and_nothing_after_it(code: int) -> None:
    async with serving({}) as running, connected(running) as client:
        reason = b"x" * 123 if code == 1000 else b""
        await client.send(close(code, reason) + frame(TEXT, b"late") + frame(PING, b"late"))
        found = await client.read_all()
    assert [f.opcode for f in found] == [CLOSE]
    assert found[0].code in (code, 1000)


async def test_a_close_without_a_code_is_answered() -> None:
    async with serving({}) as running, connected(running) as client:
        await client.send(frame(CLOSE))
        assert [f.opcode for f in await client.read_all()] == [CLOSE]


async def test_a_flood_of_pings_that_nobody_reads_is_held_back() -> None:
    async with serving({}) as running, connected(running) as client:
        ping = frame(PING, b"x" * 125) * 1000

        async def flood() -> None:
            while True:
                client.writer.write(ping)
                await client.writer.drain()

        with pytest.raises((TimeoutError, ConnectionError)):
            await asyncio.wait_for(flood(), 3)
        # Others are served meanwhile.
        async with connected(running) as other:
            await other.send(frame(TEXT, b"x"))
            assert is_answer(await other.read())


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\0\0\xff\xff")


async def test_what_is_small_when_packed_is_measured_unpacked() -> None:
    offer = "sec-websocket-extensions: permessage-deflate"
    async with serving({"MAX_BODY_BYTES": "100000"}) as running:
        async with connected(running, offer) as client:
            await client.send(frame(TEXT, deflated(b"[" + b" " * 50_000_000), rsv=4))
            found = await client.read_all()
        assert [f.code for f in found if f.opcode == CLOSE] in ([1009], [1002])
        async with connected(running) as client:
            await client.send(frame(TEXT, json.dumps({"x": 1}).encode()))
            assert is_answer(await client.read())
