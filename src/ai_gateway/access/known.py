"""Keys that were looked up, kept so that a call waits for no database: bounded, wrong ones as well."""

from collections.abc import Callable
from math import inf
from typing import Generic, TypeVar

from msgspec import Struct

from ai_gateway.model.call import Caller
from ai_gateway.model.key import Role

_Value = TypeVar("_Value")


class KnownKey(Struct, frozen=True, kw_only=True):
    """A good key, as it was when it was looked up."""

    caller: Caller
    """For a call that names no user."""
    user_is_fixed: bool
    """The key belongs to one user; `X-User-ID` may not name another."""
    expires_at: float
    """Seconds since the epoch; infinity where it does not."""
    checked_until: float = inf
    """When it has to be looked up again: a token's issuer may have withdrawn its keys."""
    role: Role | None = None
    """What it may do in the admin API beside making calls; None: nothing."""


class KnownKeys:
    """Hash -> KnownKey, or None for a hash that is no key's. Good and wrong ones are bounded apart, so
    that guesses push no good key out.

    `epoch` counts what was forgotten: an answer asked for before is not kept after.
    """

    def __init__(self, capacity: int) -> None:
        self._good = _Generations[KnownKey](capacity)
        self._wrong = _Generations[None](max(1, capacity // 4))
        self.epoch = 0

    def __len__(self) -> int:
        return len(self._good) + len(self._wrong)

    def get(self, hash: bytes) -> KnownKey | None:
        """Raises KeyError where nothing is known."""
        try:
            return self._good.get(hash)
        except KeyError:
            return self._wrong.get(hash)

    def keep(self, hash: bytes, key: KnownKey | None, epoch: int) -> None:
        """`epoch` is what it was when the answer was asked for."""
        if epoch != self.epoch:
            return
        if key is None:
            self._wrong.put(hash, None)
        else:
            self._good.put(hash, key)

    def forget(self, hash: bytes) -> None:
        self.epoch += 1
        self._good.pop(hash)
        self._wrong.pop(hash)

    def forget_tenant(self, tenant: str) -> None:
        self.epoch += 1
        self._good.drop(lambda _, key: key.caller.tenant == tenant)

    def forget_all(self) -> None:
        self.epoch += 1
        self._good.drop(lambda _hash, _key: True)
        self._wrong.drop(lambda _hash, _none: True)


class _Generations(Generic[_Value]):
    """A bounded map: what is asked for moves to the young half, the old half is let go of whole."""

    def __init__(self, capacity: int) -> None:
        self._half = max(1, capacity // 2)
        self._young: dict[bytes, _Value] = {}
        self._old: dict[bytes, _Value] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, key: bytes) -> _Value:
        """Raises KeyError."""
        try:
            return self._young[key]
        except KeyError:
            found = self._old.pop(key)
            self.put(key, found)
            return found

    def put(self, key: bytes, value: _Value) -> None:
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        self._young[key] = value

    def pop(self, key: bytes) -> None:
        self._young.pop(key, None)
        self._old.pop(key, None)

    def drop(self, unwanted: Callable[[bytes, _Value], bool]) -> None:
        for half in (self._young, self._old):
            for key in [k for k, v in half.items() if unwanted(k, v)]:
                del half[key]
