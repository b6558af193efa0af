"""Reading a request's body, bounded."""

import asyncio
from collections.abc import Mapping

from ai_gateway.model.errors import GatewayError

from .asgi import Receive

_LINGER_SECONDS = 2.0


class CallerLeft(Exception):
    """The connection closed before the body was whole."""


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], limit: int) -> bytes:
    """The whole body, at most `limit` bytes. Raises GatewayError(too_large), CallerLeft.

    A declared length over the limit is refused without reading any of it.
    """
    declared = headers.get(b"content-length")
    if declared is not None and len(declared) < 20 and int(declared) > limit:
        raise too_large(limit)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise CallerLeft
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > limit:
            raise too_large(limit)
        return body
    pieces = [body]
    size = len(body)
    while message.get("more_body", False):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerLeft
        piece: bytes = message.get("body", b"")
        size += len(piece)
        if size > limit:
            raise too_large(limit)
        pieces.append(piece)
    return b"".join(pieces)


def too_large(limit: int) -> GatewayError:
    return GatewayError(
        "too_large",
        f"The request body is larger than {limit} bytes. Send less, or raise MAX_BODY_BYTES.",
        code="request_too_large",
    )


async def linger(receive: Receive) -> None:
    """Reads and drops what a refused caller still sends, for a moment: closing at once would reset
    the connection, and the caller would never see why."""
    try:
        async with asyncio.timeout(_LINGER_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
    except TimeoutError:
        return
