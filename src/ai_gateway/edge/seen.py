"""A provider's JSON answer that is looked at, and may be changed, before its caller gets it."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec.json import decode, encode

from ai_gateway.forward import ForwardReply, Headers
from ai_gateway.model.call import Outcome
from ai_gateway.model.errors import GatewayError

LARGEST_SEEN = 4 * 1024 * 1024

Seen = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
"""Looks at a provider's answer; gives what the caller gets."""


class SeenReply:
    """Holds a JSON answer until it has been looked at; anything else goes on as it comes."""

    def __init__(self, inner: ForwardReply, seen: Seen) -> None:
        self._inner = inner
        self._seen = seen
        self._outcome: Outcome | None = None
        self._headers: Headers = []
        self._pieces: list[bytes] | None = None
        self._size = 0

    @property
    def begun(self) -> bool:
        return self._inner.begun

    async def start(self, outcome: Outcome, headers: Headers) -> None:
        if outcome.status == 200:
            self._outcome, self._pieces = outcome, []
            self._headers = [h for h in headers if h[0] != b"content-length"]
        else:
            await self._inner.start(outcome, headers)

    async def piece(self, data: bytes) -> None:
        if self._pieces is None:
            await self._inner.piece(data)
            return
        self._size += len(data)
        if self._size > LARGEST_SEEN:
            raise GatewayError("upstream", "The provider's answer is larger than can be checked.")
        self._pieces.append(data)

    async def end(self) -> None:
        if self._pieces is not None:
            assert self._outcome is not None
            try:
                answer = decode(b"".join(self._pieces), type=dict[str, Any])
            except msgspec.DecodeError:
                raise GatewayError("upstream", "The provider sent what is no answer.") from None
            body = encode(await self._seen(answer))
            length = (b"content-length", b"%d" % len(body))
            await self._inner.start(self._outcome, [*self._headers, length])
            await self._inner.piece(body)
        await self._inner.end()
