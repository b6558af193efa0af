"""What a call asks of the shared counts, and what it is told: the nouns between `limits` and `state`.

Amounts of a quota are whole numbers in the quota's own unit (calls, tokens, billionths of a dollar),
so that sums are exact.
"""

from collections.abc import Sequence

from msgspec import Struct


class Bucket(Struct, frozen=True, kw_only=True):
    """A token bucket: it holds `capacity`, and gains `refill` a second up to that."""

    key: str
    capacity: float
    refill: float
    shared: bool = False
    """Not the tenant's own but everybody's: on Redis Cluster its key lies in another slot."""


class Quota(Struct, frozen=True, kw_only=True):
    """A sum that may not pass `limit`: what is spent, and what calls in flight have set aside.

    What a call set aside is a lease: should its process die, it comes back by itself.
    """

    key: str
    limit: int
    hard: bool = True
    """False: never refuses."""
    counted: bool = True
    """False: nothing is ever spent, calls only hold it (a cap on calls in flight)."""
    expires: int = 0
    """Unix seconds from which the count is of no more use; 0: it never ends."""


class Claim(Struct, frozen=True, kw_only=True):
    """All that one call takes, granted as a whole or not at all."""

    call_id: str
    buckets: Sequence[Bucket] = ()
    takes: Sequence[float] = ()
    """From each bucket."""
    quotas: Sequence[Quota] = ()
    reserves: Sequence[int] = ()
    """Of each quota."""
    look_up: str | None = None
    """A key whose value is wanted in the same round trip."""


class Grant(Struct, kw_only=True):
    """The answer to a claim."""

    admitted: bool
    levels: Sequence[float]
    """What each bucket holds now."""
    used: Sequence[int]
    """Spent and set aside of each quota, this call's part included where it was admitted."""
    refused_by: int = -1
    """The index of what refused, quotas counted on after the buckets; of several, the one that will
    refuse the longest."""
    wait: float = 0.0
    """Seconds until the bucket that refused holds enough; infinite where it never will."""
    unknown: Sequence[int] = ()
    """Indices of quotas whose sum is lost; nothing was taken. Give it (`State.recount`), ask again."""
    value: bytes | None = None
    """Of `Claim.look_up`."""
    degraded: bool = False
    """Counted by this process alone, since the shared counts are out of reach."""


class Settlement(Struct, frozen=True, kw_only=True):
    """What a granted call has truly used."""

    call_id: str
    buckets: Sequence[Bucket] = ()
    returns: Sequence[float] = ()
    """To each bucket; negative where more was used than taken."""
    quotas: Sequence[Quota] = ()
    reserved: Sequence[int] = ()
    spent: Sequence[int] = ()
    """Of each quota, in place of what was reserved."""
    degraded: bool = False
    """As the grant said."""
