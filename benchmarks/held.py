"""Streams that are open and still: `python -m benchmarks.held URL COUNT [KEY]`.

Opens them, waits until each has had its first event, prints a line, and holds them until its input ends.
"""

import asyncio
import sys
from urllib.parse import urlsplit

import uvloop

from .load import PATHS, body_of

AT_ONCE = 100


async def hold(url: str, count: int, key: str) -> None:
    parts = urlsplit(url)
    body = body_of("still")
    request = (
        f"POST {PATHS['still']} HTTP/1.1\r\nhost: {parts.netloc}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode() + body
    writers: list[asyncio.StreamWriter] = []
    turn = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with turn:
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            writers.append(writer)
            writer.write(request)
            await reader.readuntil(b"data: ")

    await asyncio.gather(*(one() for _ in range(count)))
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for writer in writers:
        writer.transport.abort()


if __name__ == "__main__":
    uvloop.run(hold(sys.argv[1], int(sys.argv[2]), sys.argv[3] if sys.argv[3:] else "bench"))
