"""Records and sums are let go of by age, a little at a time, by one replica at a time."""

import asyncio
from collections.abc import Callable
from time import time

from sqlalchemy import delete, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from ai_gateway.storage.database import Database
from ai_gateway.storage.tables import usage, usage_hourly

_SECONDS = 3600.0
_CHUNK = 2000
_PAUSE = 0.05
_LOCK = 0x6C6564676572  # "ledger"


class Retention:
    """`days` of records, `hourly_days` of sums; 0: for ever."""

    def __init__(
        self, database: Database, *, days: float, hourly_days: float, failed: Callable[[str], None]
    ) -> None:
        self._database = database
        self._days = days
        self._hourly_days = hourly_days
        self._failed = failed
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def let_go(self, now: float) -> int:
        """How many records went. `now`: seconds since the epoch."""
        gone = 0
        if self._days:
            # Ids begin with the time, so age is a range of the primary key.
            oldest = f"{int((now - self._days * 86400) * 1000):012x}"
            old = select(usage.c.id).where(usage.c.id < oldest).limit(_CHUNK)
            while True:
                async with self._database.write() as connection:
                    if not await _is_ours(connection):
                        return gone
                    found = await connection.execute(delete(usage).where(usage.c.id.in_(old)))
                gone += found.rowcount
                if found.rowcount < _CHUNK:
                    break
                await asyncio.sleep(_PAUSE)
        if self._hourly_days:
            oldest_hour = int((now - self._hourly_days * 86400) // 3600)
            async with self._database.write() as connection:
                if await _is_ours(connection):
                    await connection.execute(
                        delete(usage_hourly).where(usage_hourly.c.hour < oldest_hour)
                    )
        return gone

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_SECONDS)
            try:
                await self.let_go(time())
            except Exception as error:
                self._failed(type(error).__name__)


async def _is_ours(connection: AsyncConnection) -> bool:
    """On SQLite the transaction holds the only write lock anyway."""
    if connection.dialect.name != "postgresql":
        return True
    locked = await connection.execute(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    return bool(locked.scalar())
