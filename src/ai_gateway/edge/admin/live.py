"""New calls as they come into the ledger, for every page that looks on."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING

from msgspec.json import encode

from ai_gateway.model.usage_report import CallRecord
from ai_gateway.storage.database import DatabaseUnavailable

if TYPE_CHECKING:
    from ai_gateway.ledger.query import LedgerQueries

_MOST = 200
_KNOWN = 2000
_SECONDS = 300
"""A stream ends after this; the browser asks again, with its session as it then is."""


class LiveCalls:
    """One look a second at the newest calls, however many look on; none while nobody does. A call
    that took so long that 200 others began meanwhile is not shown."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._looked = 0.0
        self._known: dict[str, None] = {}
        self._news: deque[CallRecord] = deque(maxlen=_KNOWN)
        self._count = 0

    async def events(
        self, ledger: "LedgerQueries", tenant: str | None
    ) -> AsyncGenerator[bytes, None]:
        await self._look(ledger)
        told, quiet = self._count, 0
        yield b"retry: 1000\n: begun\n\n"
        until = monotonic() + _SECONDS
        while monotonic() < until:
            await asyncio.sleep(1.0)
            await self._look(ledger)
            new = self._count - told
            told = self._count
            fresh = list(islice(reversed(self._news), new))
            if tenant is not None:
                fresh = [one for one in fresh if one.tenant == tenant]
            quiet = 0 if fresh else quiet + 1
            if fresh:
                yield b"data: " + encode(fresh) + b"\n\n"
            elif quiet % 15 == 0:
                yield b": still here\n\n"

    async def _look(self, ledger: "LedgerQueries") -> None:
        async with self._lock:
            if monotonic() - self._looked < 0.9:
                return
            try:
                page = await ledger.calls(tenant=None, limit=_MOST)
            except DatabaseUnavailable:
                return
            finally:
                self._looked = monotonic()
            for one in reversed(page.data):
                if one.id not in self._known:
                    self._known[one.id] = None
                    self._news.append(one)
                    self._count += 1
            for id in list(islice(self._known, max(0, len(self._known) - _KNOWN))):
                del self._known[id]
