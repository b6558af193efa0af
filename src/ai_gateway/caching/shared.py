"""Stored answers that every replica knows, in the state they share; and who of them asks.

An answer is looked up in the same round trip as the call is admitted. Of identical calls on several
replicas one holds a lease and asks; the others look for its answer or follow its stream (`live.py`), and
take over where lease and answer are both gone: the holder failed, or died. With the state lost, every
replica asks for itself.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from math import inf
from random import random
from secrets import token_bytes
from time import monotonic
from typing import Protocol

from ai_gateway.model.errors import GatewayError

from .entry import Entry, from_bytes, to_bytes
from .keys import pattern
from .live import LEASE_SECONDS, Begun, Followed, Live, SharedStreams
from .memory import Slot

_FIRST_LOOK, _LONGEST_LOOK = 0.01, 0.05
"""Seconds between two looks for another replica's answer."""


class SharedValues(SharedStreams, Protocol):
    """Of the room `state`; none of it raises."""

    def set(self, key: str, value: bytes, ttl: float) -> None: ...
    async def add(self, key: str, value: bytes, ttl: float) -> bool: ...
    async def delete_matching(self, pattern: str) -> int: ...


class SharedStore:
    def __init__(self, state: SharedValues) -> None:
        self._state = state
        self.live = Live(state)

    async def get(self, key: str) -> Slot | None:
        return read(await self._state.get(key))

    async def get_many(self, keys: Sequence[str]) -> list[Slot | None]:
        # They travel in one pipeline.
        return [read(one) for one in await asyncio.gather(*map(self._state.get, keys))]

    def put(self, key: str, entry: Entry, ttl: float) -> None:
        self._state.set(key, to_bytes(entry), ttl)

    def delete(self, key: str) -> None:
        self._state.delete(key)

    def note_hit(self, tenant: str, call_id: str, key: str) -> None:
        """So that it can be reported as wrong to any replica, for an hour."""
        self._state.set(f"gw:{{{tenant}}}:cache-hit:{call_id}", key.encode(), 3600)

    async def key_of_hit(self, tenant: str, call_id: str) -> str | None:
        found = await self._state.get(f"gw:{{{tenant}}}:cache-hit:{call_id}")
        return None if found is None else found.decode()

    async def purge(self, tenant: str | None, model: str | None) -> int:
        """By the name that was asked for. Gives how many."""
        return await self._state.delete_matching(pattern(tenant, model))

    @asynccontextmanager
    async def turn(
        self, key: str, patience: float | None, follows: Callable[[Begun], bool] | None
    ) -> AsyncGenerator[Slot | Followed | None, None]:
        """Inside it, an answer that another replica had; or its stream, which has begun and which
        `follows` had nothing against; or None, the right to ask. Raises GatewayError after `patience`
        seconds."""
        following = Following(self.live, key, _lease(key), follows)
        holder = token_bytes(8)
        try:
            found = await self._await_turn(key, holder, patience, following)
            if found is not None:
                yield found
                return
        finally:
            following.close()
        lease = _lease(key)
        renewing = asyncio.get_running_loop().create_task(self._renew(lease, holder))
        try:
            yield None
        finally:
            renewing.cancel()
            self._state.delete(lease)

    async def _await_turn(
        self, key: str, holder: bytes, patience: float | None, following: "Following"
    ) -> Slot | Followed | None:
        lease = _lease(key)
        wait = _FIRST_LOOK
        until = monotonic() + patience if patience is not None else inf
        while True:
            # In this order, in one pipeline: whoever gets the lease sees what its last holder stored.
            leads, slot = await asyncio.gather(
                self._state.add(lease, holder, LEASE_SECONDS), self.get(key)
            )
            if slot is not None:
                if leads:
                    self._state.delete(lease)
                return slot
            if leads:
                return None
            followed = await following.look()
            if followed is not None:
                return followed
            if monotonic() > until:
                raise GatewayError("timeout", "No answer came in the time that was set.")
            await asyncio.sleep(wait * (0.75 + random() / 2))
            wait = min(wait * 1.5, _LONGEST_LOOK)

    async def _renew(self, lease: str, holder: bytes) -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 3)
            self._state.set(lease, holder, LEASE_SECONDS)


class Following:
    """The wish to follow the one that holds the lease, for as long as one waits."""

    def __init__(
        self, live: Live, key: str, lease: str, follows: Callable[[Begun], bool] | None
    ) -> None:
        self._live = live
        self._key = key
        self._lease = lease
        self._follows = follows
        self._followed: Followed | None = None

    async def look(self) -> Followed | None:
        """Its stream, once its first piece is here."""
        if self._follows is None:
            return None
        if self._followed is None:
            self._followed = self._live.follow(self._key, self._lease)
        try:
            here = await self._followed.look()
        except GatewayError:
            # It broke off before anybody was sent any of it; whoever asks next is followed anew.
            self.close()
            return None
        if not here or self._followed.begun is None:
            return None
        if not self._follows(self._followed.begun):
            self.close()
            self._follows = None
            return None
        return self._followed

    def close(self) -> None:
        if self._followed is not None:
            self._followed.close()
            self._followed = None


def _lease(key: str) -> str:
    return f"lead:{key}"


def read(data: bytes | None) -> Slot | None:
    entry = None if data is None else from_bytes(data)
    return None if entry is None else Slot(entry)
