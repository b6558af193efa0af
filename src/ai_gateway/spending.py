"""What the ledger says was spent, for limits that have lost their own count."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from ai_gateway.catalogue.cost import nano_dollars
from ai_gateway.limits.limits import SpendingUnknown
from ai_gateway.limits.rules import Sum
from ai_gateway.storage.database import DatabaseUnavailable

if TYPE_CHECKING:
    from ai_gateway.ledger.query import LedgerQueries

_PATIENCE = 1.0


class LedgerSpending:
    """`catch_up` brings what this process has settled into the database first; what another one has
    in its spool (half a second's worth) is not seen."""

    def __init__(
        self, queries: "Callable[[], LedgerQueries]", catch_up: Callable[[], Awaitable[None]]
    ) -> None:
        self._queries = queries
        self._catch_up = catch_up
        self._asking: dict[str, asyncio.Task[int]] = {}

    async def spent(self, tenant: str, account: Sum) -> int:
        """Where many calls at once find the sum lost, the ledger is asked once."""
        key = account.quota.key
        asking = self._asking.get(key)
        if asking is None:
            asking = asyncio.get_running_loop().create_task(self._ask(tenant, account))
            self._asking[key] = asking

            def asked(task: asyncio.Task[int]) -> None:
                del self._asking[key]
                if not task.cancelled():
                    # Looked at: those who asked may all have left.
                    task.exception()

            asking.add_done_callback(asked)
        # Shielded: a caller who leaves does not end it for the others.
        return await asyncio.shield(asking)

    async def _ask(self, tenant: str, account: Sum) -> int:
        subject = "" if account.per == "tenant" else account.name
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._catch_up()
                dollars, tokens = await self._queries().spent(
                    account.per, tenant, subject, account.since
                )
        except (DatabaseUnavailable, TimeoutError) as error:
            raise SpendingUnknown from error
        return tokens if account.unit == "tokens" else nano_dollars(dollars)
