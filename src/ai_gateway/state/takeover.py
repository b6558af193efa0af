"""What happens when Redis is away: this process counts for itself until it is back.

A circuit, as around a provider: the first failure opens it and no call waits any more; a probe that
must write, within the same time-out, closes it. Buckets begin full in each process while it is open.
Sums of budgets that were spent from meanwhile are counted anew from the ledger afterwards, so nothing is
lost or counted twice; what calls still held is given back by name, which may safely happen twice.
"""

import asyncio
from collections.abc import Callable, Sequence
from random import uniform

from msgspec.structs import replace

from ai_gateway.background import end

from .admission import Bucket, Claim, Grant, Quota, Settlement
from .memory import MemoryState
from .redis_state import LEASE_SECONDS, RedisState
from .store import Hearer, StateLost

_PROBE_PAUSES = (0.05, 0.1, 0.25, 0.5, 1.0)
_MOST_REMEMBERED = 100_000
_PROBE = Claim(
    call_id="probe",
    buckets=(Bucket(key="gw:{probe}:bucket", capacity=1.0, refill=1.0),),
    takes=(0.0,),
)


class TakeoverState:
    def __init__(
        self,
        shared: RedisState,
        local: MemoryState,
        *,
        refuse: bool,
        changed: Callable[[str | None], None],
    ) -> None:
        """`refuse`: rather refuse calls than count apart. `changed(reason)`: Redis is lost, or back (None)."""
        self._shared = shared
        self._local = local
        self._refuse = refuse
        self._changed = changed
        self._trouble: str | None = None
        self._probing: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._doubtful: set[str] = set()
        """Keys of sums that miss spending."""
        self._unreleased: list[Settlement] = []

    async def open(self) -> None:
        """Never fails: a Redis that is not there yet is one that is away."""
        self._renewing = asyncio.get_running_loop().create_task(self._renew())
        try:
            await self._shared.open()
            await self._shared.admit(_PROBE)
        except StateLost as lost:
            self.lose(str(lost))

    def lose(self, reason: str) -> None:
        """To be told of every failure; the first one counts."""
        if self._trouble is not None:
            return
        self._trouble = reason
        self._shared.fail_waiting(reason)
        self._changed(reason)
        self._probing = asyncio.get_running_loop().create_task(self._probe())

    def trouble(self) -> str | None:
        return self._trouble

    async def admit(self, claim: Claim) -> Grant:
        if self._trouble is None:
            try:
                return await self._shared.admit(claim)
            except StateLost:
                if claim.quotas:
                    # It may have been granted all the same, unheard.
                    self._remember(_release(claim))
        if self._refuse:
            raise StateLost(self._trouble or "lost")
        grant = self._local.admit_now(claim)
        grant.degraded = True
        return grant

    def settle(self, settlement: Settlement) -> None:
        if settlement.degraded:
            self._local.settle(settlement)
            if self._trouble is not None:
                self._doubt(settlement)
                return
            nothing = [0] * len(settlement.quotas)
            settlement = replace(settlement, buckets=(), returns=(), reserved=nothing)
        if self._trouble is None:
            self._shared.settle(settlement, lambda: self._unsettled(settlement))
        else:
            self._unsettled(settlement)

    async def recount(self, quota: Quota, spent: int) -> None:
        if self._trouble is None:
            try:
                await self._shared.recount(quota, spent)
                return
            except StateLost:
                pass
        await self._local.recount(quota, spent)

    async def used(self, quota: Quota) -> int | None:
        if self._trouble is None:
            try:
                return await self._shared.used(quota)
            except StateLost:
                pass
        return await self._local.used(quota)

    async def levels(self, buckets: Sequence[Bucket]) -> list[float]:
        if self._trouble is None:
            try:
                return await self._shared.levels(buckets)
            except StateLost:
                pass
        return await self._local.levels(buckets)

    async def get(self, key: str) -> bytes | None:
        if self._trouble is not None:
            return None
        try:
            return await self._shared.get(key)
        except StateLost:
            return None

    def set(self, key: str, value: bytes, ttl: float) -> None:
        if self._trouble is None:
            self._shared.set(key, value, ttl)

    async def add(self, key: str, value: bytes, ttl: float) -> bool:
        if self._trouble is not None:
            return True
        try:
            return await self._shared.add(key, value, ttl)
        except StateLost:
            return True

    def delete(self, *keys: str) -> None:
        if self._trouble is None:
            self._shared.delete(*keys)

    async def delete_matching(self, pattern: str) -> int:
        """0 while Redis is away: nothing of it can be read then either."""
        if self._trouble is not None:
            return 0
        try:
            return await self._shared.delete_matching(pattern)
        except StateLost:
            return 0

    def append(self, stream: str, value: bytes, most: int, ttl: float | None = None) -> None:
        if self._trouble is None:
            self._shared.append(stream, value, most, ttl)

    async def read_after(self, stream: str, id: bytes, count: int) -> list[tuple[bytes, bytes]]:
        if self._trouble is not None:
            return []
        try:
            return await self._shared.read_after(stream, id, count)
        except StateLost:
            return []

    def publish(self, channel: str, message: bytes) -> None:
        if self._trouble is None:
            self._shared.publish(channel, message)
        else:
            self._shared.deliver(channel, message)

    def subscribe(
        self, channel: str, hearer: Hearer, gap: Callable[[], None] | None = None
    ) -> None:
        self._shared.subscribe(channel, hearer, gap)

    async def close(self) -> None:
        await end(self._renewing, self._probing)
        await self._shared.close()

    def _unsettled(self, settlement: Settlement) -> None:
        self._doubt(settlement)
        if settlement.quotas:
            nothing = [0] * len(settlement.quotas)
            self._remember(replace(settlement, buckets=(), returns=(), spent=nothing))

    def _doubt(self, settlement: Settlement) -> None:
        for quota, spent in zip(settlement.quotas, settlement.spent, strict=True):
            if spent:
                self._doubtful.add(quota.key)

    def _remember(self, release: Settlement) -> None:
        # What is not remembered comes back by the end of its lease.
        if len(self._unreleased) < _MOST_REMEMBERED:
            self._unreleased.append(release)

    async def _probe(self) -> None:
        attempt = 0
        while self._trouble is not None:
            pause = _PROBE_PAUSES[min(attempt, len(_PROBE_PAUSES) - 1)]
            await asyncio.sleep(pause * uniform(0.8, 1.2))
            attempt += 1
            try:
                await self._shared.open()
                await self._shared.admit(_PROBE)
                await self._shared.admit(_PROBE)
                doubtful, self._doubtful = self._doubtful, set()
                try:
                    await self._shared.forget_sums(list(doubtful))
                except StateLost:
                    self._doubtful |= doubtful
                    raise
            except StateLost:
                continue
            self._local.forget_counts()
            self._trouble = None
            releases, self._unreleased = self._unreleased, []
            for release in releases:
                self._shared.settle(release, None)
            self._changed(None)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 4)
            if self._trouble is None:
                self._shared.renew_leases()


def _release(claim: Claim) -> Settlement:
    return Settlement(
        call_id=claim.call_id,
        quotas=claim.quotas,
        reserved=claim.reserves,
        spent=[0] * len(claim.quotas),
    )
