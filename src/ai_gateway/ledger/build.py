"""The ledger as configured: spool, replay, retention, one of each for the process."""

import asyncio
from collections.abc import Callable
from functools import cache
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from ai_gateway.background import end
from ai_gateway.storage.database import Database

from .backlog import Backlog
from .ledger import Ledger
from .replay import Replayer
from .spool import Spool

if TYPE_CHECKING:
    from .query import LedgerQueries

_RETENTION_SECONDS = 3600.0
_DAYS_FIRST_SECONDS, _DAYS_SECONDS = 60.0, 900.0
"""When the sums of days are made."""
_CLOSING_SECONDS = 5.0


class LedgerSettings(Struct, frozen=True, kw_only=True):
    directory: Path
    """Of the spool."""
    days: float
    """How long records are kept; 0: for ever."""
    hourly_days: float
    """How long sums are."""
    price_version: str


class OpenLedger:
    """`on_event(level, event, why)` gets what is worth a line in the log."""

    def __init__(
        self,
        settings: LedgerSettings,
        database: Database,
        *,
        lost: Callable[[int], None],
        on_event: Callable[[Literal["info", "error"], str, str], None],
    ) -> None:
        self._settings = settings
        self._database = database
        self._on_event = on_event
        self.spool = Spool(settings.directory, lost=lost)
        self.backlog = Backlog(self.spool, settings.directory)
        self.ledger = Ledger(self.spool, price_version=settings.price_version)
        self.replayer = Replayer(self.spool, database, on_trouble=self._on_trouble, refused=lost)
        self._retaining: asyncio.Task[None] | None = None
        self._summing_up: asyncio.Task[None] | None = None

        @cache
        def queries() -> "LedgerQueries":
            from .query import LedgerQueries

            return LedgerQueries(database)

        self.queries = queries
        """Made when first used: it needs the database."""

    def start(self) -> None:
        self.replayer.start()
        loop = asyncio.get_running_loop()
        self._retaining = loop.create_task(self._retain())
        self._summing_up = loop.create_task(self._sum_up_days())

    async def close(self) -> None:
        await end(self._retaining)
        await end(self._summing_up)
        await self.replayer.close(_CLOSING_SECONDS)
        self.spool.close()

    def note(self) -> str | None:
        """What `/ready` says of it; None where all is well."""
        if self.spool.trouble is not None:
            return f"ledger: {self.spool.held} records are in memory alone: {self.spool.trouble}"
        if self.replayer.trouble is not None:
            return f"ledger: records wait in the spool: {self.replayer.trouble}"
        return None

    def _on_trouble(self, why: str | None) -> None:
        if why is None:
            self._on_event("info", "ledger_database_back", "")
        else:
            self._on_event("error", "ledger_database_lost", why)

    async def _retain(self) -> None:
        while True:
            await asyncio.sleep(_RETENTION_SECONDS)
            try:
                await self._database.open()
                from .retain import let_go

                await let_go(
                    self._database,
                    days=self._settings.days,
                    hourly_days=self._settings.hourly_days,
                    now=time(),
                )
            except Exception as error:
                self._on_event("error", "ledger_retention_failed", type(error).__name__)

    async def _sum_up_days(self) -> None:
        wait = _DAYS_FIRST_SECONDS
        while True:
            await asyncio.sleep(wait)
            wait = _DAYS_SECONDS
            try:
                if not self._database.exists():
                    continue
                await self._database.open()
                from .daily import sum_up

                await sum_up(self._database, time())
            except Exception as error:
                self._on_event("error", "ledger_days_failed", type(error).__name__)
