"""Many calls at once over kept connections, and what became of them."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence

CHAT = {
    "model": "gpt-4o-mini",
    "max_tokens": 20,
    "messages": [{"role": "user", "content": "hello"}],
}


async def many_calls(
    ports: Sequence[int], calls: int, connections: int = 64, user: str = "ada"
) -> Counter[int]:
    """How many of `calls`, spread over the gateways, were answered by which status. 0: a connection
    that ended without an answer."""
    body = json.dumps(CHAT).encode()
    request = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nx-user-id: %b\r\n"
        b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
        % (user.encode(), len(body), body)
    )
    left = iter(range(calls))
    statuses: Counter[int] = Counter()

    async def caller(port: int) -> None:
        writer = None
        for _ in left:
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
            except (OSError, asyncio.IncompleteReadError):
                statuses[0] += 1
                writer = None
                continue
            statuses[int(head.split(b" ", 2)[1])] += 1
        if writer is not None:
            writer.close()

    await asyncio.gather(*(caller(ports[at % len(ports)]) for at in range(connections)))
    return statuses
