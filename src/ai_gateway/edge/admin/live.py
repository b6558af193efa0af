"""New calls as they come into the ledger, and their sums, for every page that looks on."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from itertools import islice
from time import monotonic, time
from typing import TYPE_CHECKING

from msgspec.json import encode

from ai_gateway.model.usage_report import CallRecord, RunningSums, UsageSums
from ai_gateway.storage.database import DatabaseUnavailable

if TYPE_CHECKING:
    from ai_gateway.ledger.query import LedgerQueries

_MOST = 100
"""Calls told at once: a page shows no more of them."""
_LOOKED_AT = 500
_KNOWN = 2000
_EVERY = 2.0
_MOST_HOURS = 3
_SECONDS = 300
"""A stream ends after this; the browser asks again, with its session as it then is."""


class LiveCalls:
    """One look a second at the newest calls for each tenant that is looked at, and one for all, however
    many look on; none while nobody does. Of more than 100 new ones the newest are told; after 500, the next
    look comes a second later. A call that took so long that 500 others began meanwhile is not told."""

    def __init__(self) -> None:
        self._lists: dict[str | None, _NewCalls] = {}

    async def events(
        self, ledger: "LedgerQueries", tenant: str | None
    ) -> AsyncGenerator[bytes, None]:
        news = self._lists.setdefault(tenant, _NewCalls())
        news.watchers += 1
        try:
            await news.look(ledger, tenant)
            told, quiet = news.count, 0
            yield b"retry: 1000\n: begun\n\n"
            until = monotonic() + _SECONDS
            while monotonic() < until:
                await asyncio.sleep(1.0)
                await news.look(ledger, tenant)
                event = news.event(told)
                told = news.count
                quiet = 0 if event else quiet + 1
                if event:
                    yield event
                elif quiet % 15 == 0:
                    yield b": still here\n\n"
        finally:
            news.watchers -= 1
            if not news.watchers:
                self._lists.pop(tenant, None)


class _NewCalls:
    def __init__(self) -> None:
        self.watchers = 0
        self.count = 0
        """Calls that were news so far."""
        self._lock = asyncio.Lock()
        self._looked: float | None = None
        self._wait = 0.9
        self._known: dict[str, None] = {}
        self._news: deque[CallRecord] = deque(maxlen=_KNOWN)
        self._written: dict[int, bytes] = {}

    def event(self, told: int) -> bytes:
        """What is new since `told`, written once for all who were told as much; empty for nothing."""
        if told == self.count:
            return b""
        found = self._written.get(told)
        if found is None:
            fresh = list(islice(reversed(self._news), self.count - told))
            found = self._written[told] = b"data: " + encode(fresh) + b"\n\n"
        return found

    async def look(self, ledger: "LedgerQueries", tenant: str | None) -> None:
        async with self._lock:
            first = self._looked is None
            if self._looked is not None and monotonic() - self._looked < self._wait:
                return
            try:
                # What was there before anybody looked is no news.
                most = 0 if first else _MOST
                ids, calls = await ledger.new_calls(
                    tenant, self._known, looked_at=_LOOKED_AT, most=most
                )
            except DatabaseUnavailable:
                return
            finally:
                self._looked = monotonic()
            self._wait = 1.9 if len(ids) == _LOOKED_AT and not first else 0.9
            self._written.clear()
            self._known.update(dict.fromkeys(reversed(ids)))
            self._news.extend(reversed(calls))
            self.count += len(calls)
            for id in list(islice(self._known, max(0, len(self._known) - _KNOWN))):
                del self._known[id]


class LiveSums:
    """What came in since the last look, one look every two seconds for each tenant that is looked at,
    however many look on."""

    def __init__(self) -> None:
        self._looks: dict[str | None, _Look] = {}

    async def events(
        self, ledger: "LedgerQueries", tenant: str | None
    ) -> AsyncGenerator[bytes, None]:
        look = self._looks.setdefault(tenant, _Look())
        look.watchers += 1
        try:
            yield b"retry: 1000\n: begun\n\n"
            told, until = 0, monotonic() + _SECONDS
            while monotonic() < until:
                await look.again(ledger, tenant)
                if look.number != told and look.last is not None:
                    told = look.number
                    yield b"data: " + encode(look.last) + b"\n\n"
                await asyncio.sleep(_EVERY)
        finally:
            look.watchers -= 1
            if not look.watchers:
                self._looks.pop(tenant, None)


class _Look:
    """Sums since an hour that stays for a while, and so only grow; what they grew by is the news."""

    def __init__(self) -> None:
        self.watchers = 0
        self.number = 0
        self.last: RunningSums | None = None
        self._lock = asyncio.Lock()
        self._at = 0.0
        self._since = 0
        self._sums: UsageSums | None = None

    async def again(self, ledger: "LedgerQueries", tenant: str | None) -> None:
        async with self._lock:
            now = monotonic()
            if now - self._at < _EVERY - 0.1:
                return
            hour = int(time()) // 3600
            if hour - self._since > _MOST_HOURS:
                # A call that ends late counts in the hour when it came.
                self._since, self._sums = hour - 1, None
            try:
                sums = await ledger.running(tenant, self._since)
            except DatabaseUnavailable:
                return
            before, seconds = self._sums, now - self._at
            self._sums, self._at = sums, now
            if before is not None:
                self.number += 1
                self.last = RunningSums(
                    at=datetime.now(UTC),
                    seconds=round(seconds, 3),
                    requests=sums.requests - before.requests,
                    errors=sums.errors - before.errors,
                    cached=sums.cached - before.cached,
                    tokens=sums.input_tokens + sums.output_tokens
                    - before.input_tokens - before.output_tokens,
                    cost_usd=sums.cost_usd - before.cost_usd,
                )  # fmt: skip
