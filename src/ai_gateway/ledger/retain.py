"""Records and sums are let go of by age, a little at a time, by one replica at a time."""

import asyncio

from sqlalchemy import delete, select

from ai_gateway.storage.database import Database
from ai_gateway.storage.sole import is_sole
from ai_gateway.storage.tables import usage, usage_daily, usage_days, usage_hourly

_CHUNK = 2000
_PAUSE = 0.05
_LOCK = 0x6C6564676572  # "ledger"


async def let_go(database: Database, *, days: float, hourly_days: float, now: float) -> int:
    """Records older than `days`, sums older than `hourly_days`; 0: none. `now`: seconds since the
    epoch. How many records went. Raises DatabaseUnavailable."""
    gone = 0
    if days:
        # Ids begin with the time, so age is a range of the primary key.
        oldest = f"{int((now - days * 86400) * 1000):012x}"
        old = select(usage.c.id).where(usage.c.id < oldest).limit(_CHUNK)
        while True:
            async with database.write() as connection:
                if not await is_sole(connection, _LOCK):
                    return gone
                found = await connection.execute(delete(usage).where(usage.c.id.in_(old)))
            gone += found.rowcount
            if found.rowcount < _CHUNK:
                break
            await asyncio.sleep(_PAUSE)
    if hourly_days:
        # By whole days, so that a day's sums stay those of its hours.
        oldest_day = int((now - hourly_days * 86400) // 86400)
        async with database.write() as connection:
            if await is_sole(connection, _LOCK):
                for old in (
                    usage_hourly.c.hour < oldest_day * 24,
                    usage_daily.c.day < oldest_day,
                    usage_days.c.day < oldest_day,
                ):
                    await connection.execute(delete(old.left.table).where(old))
    return gone
