"""Sums that are lost, told by the ledger."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from ai_gateway.limits.limits import SpendingUnknown
from ai_gateway.limits.rules import Sum
from ai_gateway.spending import LedgerSpending
from ai_gateway.state.admission import Quota
from ai_gateway.storage.database import DatabaseUnavailable

ACCOUNT = Sum(
    quota=Quota(key="gw:{t}:spent:user:ada", limit=10), per="user", name="ada", unit="tokens",
    period="month", since=0, ends=0, soft=None,
)  # fmt: skip


class Ledger:
    def __init__(self, fault: Exception | None = None) -> None:
        self.asked = 0
        self.fault = fault

    async def spent(self, *_: Any) -> tuple[Decimal, int]:
        self.asked += 1
        await asyncio.sleep(0.01)
        if self.fault is not None:
            raise self.fault
        return Decimal("0.5"), 7


async def _caught_up() -> None: ...


async def test_many_who_find_a_sum_lost_ask_the_ledger_once() -> None:
    ledger: Any = Ledger()
    spending = LedgerSpending(lambda: ledger, _caught_up)
    asked = [asyncio.ensure_future(spending.spent("t", ACCOUNT)) for _ in range(40)]
    await asyncio.sleep(0)
    asked[0].cancel()
    told = await asyncio.gather(*asked, return_exceptions=True)
    assert told[1:] == [7] * 39
    assert isinstance(told[0], asyncio.CancelledError)
    assert ledger.asked == 1
    assert await spending.spent("t", ACCOUNT) == 7
    assert ledger.asked == 2


async def test_a_ledger_that_is_away_is_told_to_all_and_asked_anew_by_the_next() -> None:
    ledger: Any = Ledger(DatabaseUnavailable("away"))
    spending = LedgerSpending(lambda: ledger, _caught_up)
    told = await asyncio.gather(
        *(spending.spent("t", ACCOUNT) for _ in range(5)), return_exceptions=True
    )
    assert [type(one) for one in told] == [SpendingUnknown] * 5
    ledger.fault = None
    assert await spending.spent("t", ACCOUNT) == 7
    ledger.fault = TimeoutError()
    with pytest.raises(SpendingUnknown):
        await spending.spent("t", ACCOUNT)
