"""What changes with every call and must be one for all processes, behind one protocol.

`MemoryState` serves one process; `RedisState` many. Values are bytes; times to live are seconds. What
is lost with the state costs no more than the design says: buckets begin full, sums are recounted from
the ledger, a value is a miss. No method but `admit` and `recount` raises for a state out of reach.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from .admission import Bucket, Claim, Grant, Quota, Settlement

Hearer = Callable[[bytes], None]


class StateLost(Exception):
    """The shared state cannot be reached, or does not answer in time."""


class State(Protocol):
    async def admit(self, claim: Claim) -> Grant:
        """One atomic step, one round trip. Raises StateLost."""
        ...

    def settle(self, settlement: Settlement) -> None:
        """Never waits: it is sent along with what else is to send."""
        ...

    async def recount(self, quota: Quota, spent: int) -> None:
        """Gives the sum of a quota that `admit` did not know; a sum known by now stays. Raises StateLost."""
        ...

    async def used(self, quota: Quota) -> int | None:
        """Spent and set aside; None where it is not known. Raises StateLost."""
        ...

    async def levels(self, buckets: Sequence[Bucket]) -> list[float]:
        """What each bucket holds, taking nothing. Raises StateLost."""
        ...

    async def get(self, key: str) -> bytes | None: ...

    def set(self, key: str, value: bytes, ttl: float) -> None:
        """Never waits."""
        ...

    async def add(self, key: str, value: bytes, ttl: float) -> bool:
        """Sets it unless it is there: true where it was not. A lock is this. True if state is lost."""
        ...

    def delete(self, *keys: str) -> None:
        """Never waits."""
        ...

    async def delete_matching(self, pattern: str) -> int:
        """Deletes every value whose key fits the pattern (`*`, `?`, `[...]`). Gives how many. It looks
        at every key there is, in small steps: for what an operator asks for, not for a call's path."""
        ...

    def append(self, stream: str, value: bytes, most: int, ttl: float | None = None) -> None:
        """To a stream that is kept to about `most` values, the oldest going first, and for `ttl` seconds
        after its last. Never waits."""
        ...

    async def read_after(self, stream: str, id: bytes, count: int) -> list[tuple[bytes, bytes]]:
        """Ids and values that came after `id` (`b"0"`: from the oldest), in order, at most `count`."""
        ...

    def publish(self, channel: str, message: bytes) -> None:
        """To the subscribers in every process, this one among them. At most once; never waits."""
        ...

    def subscribe(
        self, channel: str, hearer: Hearer, gap: Callable[[], None] | None = None
    ) -> None:
        """`gap` is called where messages may have been missed."""
        ...

    def trouble(self) -> str | None:
        """Why the shared state is out of reach, fit for an operator; None while all is well."""
        ...

    async def close(self) -> None: ...
