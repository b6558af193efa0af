"""`ai-gateway migrate`: the database brought to its newest form, ahead of a roll-out."""

import asyncio
import sys

from ai_gateway.settings.tree import Settings
from ai_gateway.storage.database import DatabaseUnavailable

from .keys import open_database


def run(settings: Settings) -> int:
    try:
        return asyncio.run(_run(settings))
    except DatabaseUnavailable as error:
        print(f"ai-gateway: the database cannot be reached ({error})", file=sys.stderr)
        return 3


async def _run(settings: Settings) -> int:
    database = open_database(settings)
    try:
        await database.open()
        from ai_gateway.storage.migrate import current

        async with database.read() as connection:
            print(f"the database is at revision {await connection.run_sync(current)}")
    finally:
        await database.close()
    return 0
