"""Forgetting what changed: keys that were revoked, made, rotated, on this replica or another.

The database is asked for changes a few times a second. Asking always holds, where being told
(LISTEN, publish/subscribe) loses what is said while a connection is down; and it costs one look at
one small index.
"""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Literal

from ai_gateway.background import end

from .known import KnownKeys

if TYPE_CHECKING:
    from .store import KeyStore

_SECONDS = 0.25
_PATIENCE = 5.0


class Follower:
    """`on_event(level, event, why)` is told once when the database is lost, and once when it is back."""

    def __init__(
        self,
        store: "KeyStore",
        known: KnownKeys,
        *,
        stale_seconds: float,
        on_event: Callable[[Literal["info", "error"], str, str], None],
    ) -> None:
        """`stale_seconds`: how long known keys are believed while the database cannot be asked."""
        self._store = store
        self._known = known
        self._stale_seconds = stale_seconds
        self._on_event = on_event
        self._version: int | None = None
        self._heard = monotonic()
        self._trouble: str | None = None
        self._task: asyncio.Task[None] | None = None

    def note(self) -> str | None:
        """What `/ready` says of it; None where all is well."""
        if self._trouble is None:
            return None
        return f"access: keys not in memory cannot be looked up: {self._trouble}"

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        await end(self._task)

    async def look(self) -> None:
        """Once. Raises what the database raises."""
        async with asyncio.timeout(_PATIENCE):
            if self._version is None:
                # What was looked up before the first version is known may have changed since.
                self._version = await self._store.version()
                self._known.forget_all()
                return
            for version, hash, tenant in await self._store.changes(self._version):
                if hash is not None:
                    self._known.forget(hash)
                if tenant is not None:
                    self._known.forget_tenant(tenant)
                self._version = version

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except Exception as error:
                self._lost(type(error).__name__)
            else:
                self._heard = monotonic()
                if self._trouble is not None:
                    self._trouble = None
                    self._on_event("info", "access_database_back", "")
            await asyncio.sleep(_SECONDS)

    def _lost(self, why: str) -> None:
        if self._trouble is None:
            self._trouble = why
            self._on_event("error", "access_database_lost", why)
        if monotonic() - self._heard > self._stale_seconds and len(self._known):
            self._known.forget_all()
