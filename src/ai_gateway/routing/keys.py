"""A provider's credentials, used in turn; one that was refused or throttled rests for a while."""

from collections.abc import Mapping, Sequence

from ai_gateway.upstream.client import Address
from ai_gateway.upstream.signing import Signer

LONGEST_REST = 300.0
"""Whatever a provider says: a `Retry-After` of years must not lose a credential for good."""


class Key:
    """One credential of one provider, whatever the model."""

    __slots__ = ("number", "resting_until", "secret", "weight")

    def __init__(self, secret: str | None, number: int, weight: float = 1.0) -> None:
        self.secret = secret
        self.weight = weight
        """Its share of the calls, beside the others'."""
        self.number = number
        """Its place among the provider's; what logs may name it by."""
        self.resting_until = 0.0
        """Refused (401, 402): until then no model is asked with it."""


class Rest:
    """Of one credential with one model, in whatever dialect that is asked."""

    __slots__ = ("headers", "key", "told_at", "until")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.until = 0.0
        """Throttled (429), or known to have nothing left: until then others go first."""
        self.headers: Mapping[bytes, bytes] | None = None
        """Of the last answer that told what is left of a quota."""
        self.told_at = 0.0
        """When that was, in Unix seconds."""

    def told(self, headers: Mapping[bytes, bytes], now: float) -> None:
        self.headers = headers
        self.told_at = now


class Door:
    """One credential's way to one destination: an address whose head holds it."""

    __slots__ = ("address", "key", "rest", "signer", "stream_address")

    def __init__(
        self,
        address: Address,
        key: Key,
        stream_address: Address | None = None,
        signer: Signer | None = None,
        rest: Rest | None = None,
    ) -> None:
        self.address = address
        self.signer = signer
        """Where each request is signed anew."""
        self.stream_address = stream_address or address
        """Where a stream is asked for; the same at most providers."""
        self.key = key
        self.rest = rest or Rest(key)

    def free_at(self) -> float:
        return max(self.rest.until, self.key.resting_until)

    def throttled(self, now: float, seconds: float) -> None:
        self.rest.until = max(self.rest.until, now + min(seconds, LONGEST_REST))

    def refused(self, now: float, seconds: float) -> None:
        self.key.resting_until = max(self.key.resting_until, now + min(seconds, LONGEST_REST))


class Doors:
    """A destination's, one for each credential of its provider."""

    __slots__ = ("_due", "_next", "all")

    def __init__(self, doors: Sequence[Door]) -> None:
        self.all = tuple(doors)
        self._next = 0
        even = len({door.key.weight for door in self.all}) == 1
        self._due: list[float] | None = None if even else [0.0] * len(self.all)
        """Where weights differ: how much each is owed (smooth weighted round robin, as in nginx)."""

    def rested(self, now: float, but: int = -1) -> bool:
        """Whether any is free, leaving out credential number `but`."""
        for door in self.all:
            if door.rest.until <= now and door.key.resting_until <= now and door.key.number != but:
                return True
        return False

    def free_at(self) -> float:
        """When the first of them is free."""
        return min(door.free_at() for door in self.all)

    def pick(self, now: float) -> Door:
        """The next that is free; where none is, the one that is soonest."""
        doors = self.all
        if len(doors) == 1:
            return doors[0]
        if self._due is not None:
            return self._weighted(now, self._due)
        start = self._next
        self._next = (start + 1) % len(doors)
        for step in range(len(doors)):
            door = doors[(start + step) % len(doors)]
            if door.free_at() <= now:
                return door
        return min(doors, key=Door.free_at)

    def _weighted(self, now: float, due: list[float]) -> Door:
        """Each free one is owed its weight anew; the one owed most is taken, and pays for all."""
        best, total = -1, 0.0
        for at, door in enumerate(self.all):
            if door.free_at() > now:
                continue
            due[at] += door.key.weight
            total += door.key.weight
            if best < 0 or due[at] > due[best]:
                best = at
        if best < 0:
            return min(self.all, key=Door.free_at)
        due[best] -= total
        return self.all[best]
