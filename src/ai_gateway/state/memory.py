"""State for one process: plain dictionaries, bounded, on the monotonic clock."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from math import inf
from time import monotonic, time

from .admission import Bucket, Claim, Grant, Quota, Settlement
from .store import Hearer

_MOST_BUCKETS = 200_000
_MOST_QUOTAS = 200_000
_MOST_VALUE_BYTES = 64 * 1024 * 1024
_VALUE_OVERHEAD = 200
"""What an entry takes beside its key and value, about."""


class _Sum:
    """A quota's count. `spent` is None until someone says what it was."""

    __slots__ = ("expires", "held", "spent")

    def __init__(self, spent: int | None, expires: int) -> None:
        self.spent = spent
        self.held = 0
        self.expires = expires


class MemoryState:
    def __init__(
        self,
        *,
        clock: Callable[[], float] = monotonic,
        value_bytes: int = _MOST_VALUE_BYTES,
    ) -> None:
        self._clock = clock
        self._levels: dict[str, tuple[float, float, Bucket]] = {}
        """By a bucket's key what it held, when, and its capacity and rate at the time."""
        self._sums: dict[str, _Sum] = {}
        self._values: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._value_bytes = 0
        self._most_value_bytes = value_bytes
        self._hearers: dict[str, list[Hearer]] = {}

    async def admit(self, claim: Claim) -> Grant:
        return self.admit_now(claim)

    def admit_now(self, claim: Claim) -> Grant:
        now = self._clock()
        used: list[int] = []
        for quota, reserve in zip(claim.quotas, claim.reserves, strict=True):
            count = self._sums.get(quota.key)
            if count is None:
                count = self._new_sum(quota)
            if count.spent is None:
                return self._refused(claim, len(used), now)
            with_it = count.spent + count.held + reserve
            if with_it > quota.limit and quota.hard:
                return self._refused(claim, len(used), now)
            count.held += reserve
            used.append(with_it)
        levels: list[float] = []
        kept = self._levels
        for bucket, take in zip(claim.buckets, claim.takes, strict=True):
            last = kept.get(bucket.key)
            if last is None:
                if len(kept) >= _MOST_BUCKETS:
                    self._sweep_levels(now)
                level = bucket.capacity
            else:
                before, at, _ = last
                level = before + (now - at) * bucket.refill
                if level > bucket.capacity:
                    level = bucket.capacity
            if level < take:
                return self._refused(claim, len(used), now)
            levels.append(level - take)
        for bucket, level in zip(claim.buckets, levels, strict=True):
            kept[bucket.key] = level, now, bucket
        value = None if claim.look_up is None else self._value(claim.look_up)
        return Grant(admitted=True, levels=levels, used=used, value=value)

    def _refused(self, claim: Claim, held: int, now: float) -> Grant:
        """Gives back what the claim holds by now, of its first `held` quotas, and says why."""
        for quota, reserve in zip(claim.quotas[:held], claim.reserves, strict=False):
            count = self._sums.get(quota.key)
            if count is not None:
                count.held -= reserve
        levels = [self._level(bucket, now) for bucket in claim.buckets]
        refused_by, wait = -1, 0.0
        for at, bucket in enumerate(claim.buckets):
            lacking = claim.takes[at] - levels[at]
            if lacking > 0:
                needed = lacking / bucket.refill if bucket.refill > 0 else inf
                if needed >= wait:
                    refused_by, wait = at, needed
        used: list[int] = []
        unknown: list[int] = []
        for at, quota in enumerate(claim.quotas):
            count = self._sums.get(quota.key)
            if count is None:
                count = self._new_sum(quota)
            if count.spent is None:
                unknown.append(at)
                used.append(0)
                continue
            used.append(count.spent + count.held)
            if quota.hard and used[at] + claim.reserves[at] > quota.limit:
                refused_by, wait = len(claim.buckets) + at, 0.0
        return Grant(
            admitted=False,
            levels=levels,
            used=used,
            refused_by=-1 if unknown else refused_by,
            wait=wait,
            unknown=unknown,
            value=None if claim.look_up is None else self._value(claim.look_up),
        )

    def settle(self, settlement: Settlement) -> None:
        if settlement.buckets:
            now = self._clock()
            for bucket, back in zip(settlement.buckets, settlement.returns, strict=True):
                level = min(bucket.capacity, self._level(bucket, now) + back)
                self._levels[bucket.key] = level, now, bucket
        for quota, reserved, spent in zip(
            settlement.quotas, settlement.reserved, settlement.spent, strict=True
        ):
            count = self._sums.get(quota.key)
            if count is not None:
                count.held = max(0, count.held - reserved)
                if count.spent is not None:
                    count.spent += spent

    async def recount(self, quota: Quota, spent: int) -> None:
        count = self._sums.get(quota.key)
        if count is None:
            count = self._new_sum(quota)
        if count.spent is None:
            count.spent = spent

    async def used(self, quota: Quota) -> int | None:
        count = self._sums.get(quota.key)
        if count is None:
            return None if quota.counted else 0
        return None if count.spent is None else count.spent + count.held

    async def levels(self, buckets: Sequence[Bucket]) -> list[float]:
        now = self._clock()
        return [self._level(bucket, now) for bucket in buckets]

    def forget_counts(self) -> None:
        self._levels.clear()
        self._sums.clear()

    async def get(self, key: str) -> bytes | None:
        return self._value(key)

    def set(self, key: str, value: bytes, ttl: float) -> None:
        self._drop(key)
        size = len(key) + len(value) + _VALUE_OVERHEAD
        if size > self._most_value_bytes:
            return
        self._values[key] = (value, self._clock() + ttl)
        self._value_bytes += size
        while self._value_bytes > self._most_value_bytes:
            self._drop(next(iter(self._values)))

    async def add(self, key: str, value: bytes, ttl: float) -> bool:
        if self._value(key) is not None:
            return False
        self.set(key, value, ttl)
        return True

    def delete(self, *keys: str) -> None:
        for key in keys:
            self._drop(key)

    async def delete_matching(self, pattern: str) -> int:
        found = [key for key in self._values if fnmatchcase(key, pattern)]
        self.delete(*found)
        return len(found)

    def append(self, stream: str, value: bytes, most: int, ttl: float | None = None) -> None:
        """Nothing: streams tell other processes, and there are none."""

    async def read_after(self, stream: str, id: bytes, count: int) -> list[tuple[bytes, bytes]]:
        return []

    def publish(self, channel: str, message: bytes) -> None:
        for hearer in self._hearers.get(channel, ()):
            hearer(message)

    def subscribe(
        self, channel: str, hearer: Hearer, gap: Callable[[], None] | None = None
    ) -> None:
        self._hearers.setdefault(channel, []).append(hearer)

    def trouble(self) -> str | None:
        return None

    async def close(self) -> None:
        pass

    def _level(self, bucket: Bucket, now: float) -> float:
        kept = self._levels.get(bucket.key)
        if kept is None:
            return bucket.capacity
        level, at, _ = kept
        return min(bucket.capacity, level + (now - at) * bucket.refill)

    def _sweep_levels(self, now: float) -> None:
        """Full buckets go: nothing is lost by it. Where that frees too little, the oldest half goes."""
        full = [k for k, (_, _, b) in self._levels.items() if self._level(b, now) >= b.capacity]
        for key in full:
            del self._levels[key]
        if len(self._levels) > _MOST_BUCKETS // 2:
            oldest = sorted(self._levels, key=lambda k: self._levels[k][1])
            for key in oldest[: len(oldest) - _MOST_BUCKETS // 2]:
                del self._levels[key]

    def _new_sum(self, quota: Quota) -> _Sum:
        if len(self._sums) >= _MOST_QUOTAS:
            self._sweep_sums()
        count = self._sums[quota.key] = _Sum(None if quota.counted else 0, quota.expires)
        return count

    def _sweep_sums(self) -> None:
        """Past periods go; sums that nothing holds can be counted again from the ledger."""
        now = time()
        idle = [k for k, v in self._sums.items() if v.held == 0 or 0 < v.expires <= now]
        for key in idle:
            del self._sums[key]

    def _value(self, key: str) -> bytes | None:
        kept = self._values.get(key)
        if kept is None:
            return None
        if kept[1] <= self._clock():
            self._drop(key)
            return None
        self._values.move_to_end(key)
        return kept[0]

    def _drop(self, key: str) -> None:
        kept = self._values.pop(key, None)
        if kept is not None:
            self._value_bytes -= len(key) + len(kept[0]) + _VALUE_OVERHEAD
