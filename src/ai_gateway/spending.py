"""What the ledger says was spent, for limits that have lost their own count."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from ai_gateway.limits.limits import SpendingUnknown
from ai_gateway.limits.rules import Sum, nano_dollars
from ai_gateway.storage.database import DatabaseUnavailable

if TYPE_CHECKING:
    from ai_gateway.ledger.query import LedgerQueries

_PATIENCE = 1.0


class LedgerSpending:
    def __init__(self, queries: "Callable[[], LedgerQueries]") -> None:
        self._queries = queries

    async def spent(self, tenant: str, account: Sum) -> int:
        subject = "" if account.per == "tenant" else account.name
        try:
            async with asyncio.timeout(_PATIENCE):
                dollars, tokens = await self._queries().spent(
                    account.per, tenant, subject, account.since
                )
        except (DatabaseUnavailable, TimeoutError) as error:
            raise SpendingUnknown from error
        return tokens if account.unit == "tokens" else nano_dollars(dollars)
