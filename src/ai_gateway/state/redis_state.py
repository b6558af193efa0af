"""State shared by many processes: Redis, by scripts that run there as one step on Redis's clock.

Every key of a tenant holds its name in braces, so that on Redis Cluster all that a call takes lies in
one slot. Buckets that belong to no tenant (a provider's) lie elsewhere: on Cluster they are taken by a
script of their own, after the tenant's, which get back what they gave where it refuses. So nothing is
ever granted beyond a limit, and what a tenant is refused never stands in another's way; at worst the
tenant's own buckets look emptier than they are for a round trip.
"""

import asyncio
from collections.abc import Callable, Sequence
from importlib.resources import files
from math import inf
from time import monotonic
from typing import Any

import msgspec
from redis.exceptions import RedisError

from .admission import Bucket, Claim, Grant, Quota, Settlement
from .connecting import RedisLink
from .gathering import Command, Gathering, Script, script
from .hearing import Hearing
from .store import Hearer, StateLost

LEASE_SECONDS = 60.0
"""After the death of a process, what its calls held comes back within this time."""

_SCANNED_AT_ONCE = 500
_encode = msgspec.msgpack.Encoder().encode


def _script(name: str) -> Script:
    return script((files("ai_gateway.state") / f"{name}.lua").read_bytes())


class RedisState:
    """Raises StateLost where Redis fails; what is to be done about it is `TakeoverState`'s."""

    def __init__(
        self, link: RedisLink, gathering: Gathering, *, lease: float = LEASE_SECONDS
    ) -> None:
        self._link = link
        self._gathering = gathering
        self._lease = lease
        self._hearing = Hearing(link.listener)
        self._admit = _script("admit")
        self._settle = _script("settle")
        self._renew = _script("renew")
        self._held: dict[str, tuple[float, list[bytes], list[bytes]]] = {}
        """Of each call in flight that holds leases: since when, their keys, their members."""

    async def open(self) -> None:
        """Connects. Raises StateLost."""
        await self._gathering.open()

    def fail_waiting(self, reason: str) -> None:
        self._gathering.fail_waiting(reason)

    async def admit(self, claim: Claim) -> Grant:
        if self._link.is_cluster and any(bucket.shared for bucket in claim.buckets):
            return await self._admit_apart(claim)
        keys = _bucket_keys(claim.buckets)
        quotas = claim.quotas
        if quotas:
            _add_quota_keys(keys, quotas)
        if claim.look_up is not None:
            keys.append(claim.look_up.encode())
        payload = _encode(
            (
                claim.call_id,
                self._lease * 1e6,
                [
                    (b.capacity, b.refill, t)
                    for b, t in zip(claim.buckets, claim.takes, strict=True)
                ],
                [
                    (q.limit, r, q.hard, q.counted)
                    for q, r in zip(quotas, claim.reserves, strict=True)
                ],
                claim.look_up is not None,
            )
        )

        def unheard(reply: Any) -> None:
            # Whoever called has left meanwhile: what was granted goes back.
            if _grant(claim, reply).admitted:
                self.settle(_given_back(claim), None)

        asked = self._gathering.ask(self._admit.command(keys, payload), self._admit, unheard)
        try:
            reply = await asked
        except asyncio.CancelledError:
            if asked.done() and not asked.cancelled() and asked.exception() is None:
                # It came in the very turn in which the caller left.
                unheard(asked.result())
            raise
        grant = _grant(claim, reply)
        if grant.admitted and quotas:
            self._hold(claim)
        return grant

    def settle(self, settlement: Settlement, failed: Callable[[], None] | None) -> None:
        """Never waits; `failed` is called where it may not have been done."""
        self._held.pop(settlement.call_id, None)
        for command in self._settle_commands(settlement):
            self._gathering.tell(command, self._settle, failed)

    async def recount(self, quota: Quota, spent: int) -> None:
        key = quota.key.encode()
        await self._gathering.ask((b"HSETNX", key, b"s", b"%d" % spent))
        if quota.expires:
            await self._gathering.ask((b"EXPIREAT", key, b"%d" % quota.expires))

    async def used(self, quota: Quota) -> int | None:
        key = quota.key.encode()
        if not quota.counted:
            return int(await self._gathering.ask((b"ZCARD", _lease_key(key))))
        spent, held = await self._gathering.ask((b"HMGET", key, b"s", b"r"))
        return None if spent is None else int(spent) + int(held or 0)

    async def get(self, key: str) -> bytes | None:
        return await self._gathering.ask((b"GET", key.encode()))

    def set(self, key: str, value: bytes, ttl: float) -> None:
        self._gathering.tell((b"SET", key.encode(), value, b"PX", _milliseconds(ttl)))

    async def add(self, key: str, value: bytes, ttl: float) -> bool:
        command = (b"SET", key.encode(), value, b"NX", b"PX", _milliseconds(ttl))
        return await self._gathering.ask(command) is not None

    def delete(self, *keys: str) -> None:
        for key in keys:
            self._gathering.tell((b"UNLINK", key.encode()))

    async def delete_matching(self, pattern: str) -> int:
        """Raises StateLost."""
        deleted = 0
        try:
            async for key in self._link.client.scan_iter(match=pattern, count=_SCANNED_AT_ONCE):
                deleted += await self._gathering.ask((b"UNLINK", key))
        except (RedisError, OSError) as error:
            raise StateLost(type(error).__name__) from None
        return deleted

    def append(self, stream: str, value: bytes, most: int, ttl: float | None = None) -> None:
        self._gathering.tell(
            (b"XADD", stream.encode(), b"MAXLEN", b"~", b"%d" % most, b"*", b"v", value)
        )
        if ttl is not None:
            self._gathering.tell((b"PEXPIRE", stream.encode(), _milliseconds(ttl)))

    async def read_after(self, stream: str, id: bytes, count: int) -> list[tuple[bytes, bytes]]:
        """Raises StateLost."""
        found = await self._gathering.ask(
            (b"XRANGE", stream.encode(), b"(" + id, b"+", b"COUNT", b"%d" % count)
        )
        return [(at, fields[1]) for at, fields in found]

    def publish(self, channel: str, message: bytes) -> None:
        self._gathering.tell((b"PUBLISH", channel.encode(), message))

    def deliver(self, channel: str, message: bytes) -> None:
        self._hearing.deliver(channel, message)

    def subscribe(
        self, channel: str, hearer: Hearer, gap: Callable[[], None] | None = None
    ) -> None:
        self._hearing.subscribe(channel, hearer, gap)

    async def levels(self, buckets: Sequence[Bucket]) -> list[float]:
        """What each bucket holds, taking nothing."""
        levels = [0.0] * len(buckets)
        look = Claim(call_id="look", buckets=buckets, takes=[0.0] * len(buckets))
        own, apart = _by_slot(buckets)
        for group in (own, *apart):
            if group:
                grant = await self.admit(_part(look, group))
                for at, level in zip(group, grant.levels, strict=True):
                    levels[at] = level
        return levels

    async def command(self, *parts: bytes) -> Any:
        """Any other command of one key, in the same pipelines. Raises StateLost."""
        return await self._gathering.ask(parts)

    def renew_leases(self) -> None:
        """For calls that have been in flight for a while; to be called a few times per lease."""
        since = monotonic() - self._lease / 4
        for granted, keys, members in self._held.values():
            if granted < since:
                payload = _encode((self._lease * 1e6, members))
                self._gathering.tell(self._renew.command(keys, payload), self._renew)

    async def forget_sums(self, keys: Sequence[str]) -> None:
        """What was spent is counted anew, from the ledger, when next asked for. Raises StateLost."""
        asked = [self._gathering.ask((b"HDEL", key.encode(), b"s")) for key in keys]
        for one in asked:
            await one

    async def close(self) -> None:
        await self._hearing.close()
        await self._gathering.close()
        await self._link.close()

    def _hold(self, claim: Claim) -> None:
        keys = [_lease_key(q.key.encode()) for q in claim.quotas]
        members = [f"{claim.call_id}:{r}".encode() for r in claim.reserves]
        self._held[claim.call_id] = (monotonic(), keys, members)

    def _settle_commands(self, settlement: Settlement) -> list[Command]:
        own: Sequence[int] = range(len(settlement.buckets))
        apart: list[list[int]] = []
        if self._link.is_cluster:
            own, apart = _by_slot(settlement.buckets)
        commands = [self._correction(settlement.call_id, settlement, at, ()) for at in apart]
        if own or settlement.quotas:
            commands.append(
                self._correction(settlement.call_id, settlement, own, settlement.quotas)
            )
        return commands

    def _correction(
        self, call_id: str, settlement: Settlement, chosen: Sequence[int], quotas: Sequence[Quota]
    ) -> Command:
        buckets = [settlement.buckets[at] for at in chosen]
        keys = _bucket_keys(buckets)
        _add_quota_keys(keys, quotas)
        payload = _encode(
            (
                call_id,
                [
                    (b.capacity, b.refill, settlement.returns[at])
                    for at, b in zip(chosen, buckets, strict=True)
                ],
                [
                    (settlement.reserved[at], settlement.spent[at], q.counted)
                    for at, q in enumerate(quotas)
                ],
            )
        )
        return self._settle.command(keys, payload)

    async def _admit_apart(self, claim: Claim) -> Grant:
        """On Cluster, with buckets of other slots: the tenant's own first, the others if it was admitted.

        All at once would be a round trip less, but what one slot grants another may refuse: then a
        tenant over its limit empties everybody's bucket for the moment until its part is back.
        """
        own, apart = _by_slot(claim.buckets)
        levels = [bucket.capacity for bucket in claim.buckets]
        """Of a bucket that nobody was asked about: as if it were full."""
        grant = Grant(admitted=True, levels=(), used=())
        if own or claim.quotas or claim.look_up is not None:
            grant = await self.admit(
                msgspec.structs.replace(
                    _part(claim, own),
                    quotas=claim.quotas,
                    reserves=claim.reserves,
                    look_up=claim.look_up,
                )
            )
        for at, level in zip(own, grant.levels, strict=True):
            levels[at] = level
        grant.levels = levels
        if grant.refused_by >= len(own):
            grant.refused_by += len(claim.buckets) - len(own)
        elif grant.refused_by >= 0:
            grant.refused_by = own[grant.refused_by]
        granted = own
        try:
            for group in apart if grant.admitted else ():
                told = await self.admit(_part(claim, group))
                for at, level in zip(group, told.levels, strict=True):
                    levels[at] = level
                if not told.admitted:
                    grant.admitted, grant.wait = False, told.wait
                    grant.refused_by = group[told.refused_by]
                    self.settle(_given_back(claim, granted), None)
                    break
                granted = [*granted, *group]
        except (StateLost, asyncio.CancelledError):
            # Nobody will settle it.
            self.settle(_given_back(claim, granted), None)
            raise
        return grant


def _part(claim: Claim, chosen: Sequence[int]) -> Claim:
    """The claim to some of its buckets, which lie in one slot, and to nothing else."""
    return Claim(
        call_id=claim.call_id,
        buckets=[msgspec.structs.replace(claim.buckets[at], shared=False) for at in chosen],
        takes=[claim.takes[at] for at in chosen],
    )


def _by_slot(buckets: Sequence[Bucket]) -> tuple[list[int], list[list[int]]]:
    """Where the tenant's own stand, and where those of each other hash tag do."""
    own: list[int] = []
    apart: dict[str, list[int]] = {}
    for at, bucket in enumerate(buckets):
        if bucket.shared:
            apart.setdefault(bucket.key[: bucket.key.find("}")], []).append(at)
        else:
            own.append(at)
    return own, list(apart.values())


def _given_back(claim: Claim, granted: Sequence[int] | None = None) -> Settlement:
    """`granted`: of which buckets; None: of all."""
    at = range(len(claim.buckets)) if granted is None else granted
    return Settlement(
        call_id=claim.call_id,
        buckets=[claim.buckets[i] for i in at],
        returns=[claim.takes[i] for i in at],
        quotas=claim.quotas,
        reserved=claim.reserves,
        spent=[0] * len(claim.quotas),
    )


def _bucket_keys(buckets: Sequence[Bucket]) -> list[bytes]:
    return [bucket.key.encode() for bucket in buckets]


def _add_quota_keys(keys: list[bytes], quotas: Sequence[Quota]) -> None:
    for quota in quotas:
        key = quota.key.encode()
        keys.append(key)
        keys.append(_lease_key(key))


def _lease_key(key: bytes) -> bytes:
    return key + b":leases"


def _milliseconds(seconds: float) -> bytes:
    return b"%d" % max(1, round(seconds * 1000))


def _grant(claim: Claim, reply: Any) -> Grant:
    try:
        status, at, wait = reply[0], reply[1], reply[2]
        buckets, quotas = len(claim.buckets), len(claim.quotas)
        levels = [level / 1000 for level in reply[3 : 3 + buckets]]
        used = reply[3 + buckets : 3 + buckets + quotas]
        value = None
        if claim.look_up is not None and len(reply) > 3 + buckets + quotas:
            value = reply[3 + buckets + quotas]
        return Grant(
            admitted=status == 1,
            levels=levels,
            used=used,
            refused_by=at - 1 if status == 0 else -1,
            wait=inf if wait == -1 else wait / 1000,
            unknown=[i for i, n in enumerate(used) if n < 0] if status == 2 else (),
            value=value,
        )
    except (TypeError, IndexError) as error:
        raise StateLost("an answer that cannot be read") from error
