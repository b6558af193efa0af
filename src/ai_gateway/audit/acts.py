"""Acts of administrators that change nothing in the database (a cache purged, a breaker forced, a
`gateway.yaml` swapped): on record as soon as the database is there, however long that takes.

What changes the database is recorded in the transaction that changes it (`storage.admin_audit`).
"""

import asyncio
from collections import deque
from collections.abc import Callable
from time import time_ns
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from ai_gateway.courier import Loss
from ai_gateway.storage.database import Database

_MOST_WAITING = 1000
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 5.0


class Act(Struct, frozen=True, kw_only=True):
    """As `storage.admin_audit.record_action` takes it."""

    actor: str
    action: str
    tenant: str | None
    target: str
    detail: Any
    at: int
    """Milliseconds since 1970."""


class Acts:
    def __init__(self, database: Database, lost: Callable[[Loss, int], None]) -> None:
        self._database = database
        self._lost = lost
        self._waiting: deque[Act] = deque()
        self._task: asyncio.Task[None] | None = None
        self.trouble: str | None = None
        """Why acts wait."""

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def note(
        self, *, actor: str, action: str, tenant: str | None, target: str, detail: Any = None
    ) -> None:
        """On the event loop's thread. Waits for nothing."""
        if len(self._waiting) >= _MOST_WAITING:
            self._lost("full", 1)
            return
        self._waiting.append(
            Act(
                actor=actor,
                action=action,
                tenant=tenant,
                target=target,
                detail=detail,
                at=time_ns() // 1_000_000,
            )
        )
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._write())

    async def close(self, seconds: float = 2.0) -> None:
        if self._task is not None:
            await asyncio.wait([self._task], timeout=seconds)
            self._task.cancel()
        if self._waiting:
            self._lost("closing", len(self._waiting))

    async def _write(self) -> None:
        """In their order; whatever the database throws as it comes and goes, it is tried again."""
        pause = _FIRST_PAUSE
        while self._waiting:
            try:
                await self._database.open()
                from ai_gateway.storage.admin_audit import record_action

                async with self._database.write() as connection:
                    await record_action(connection, **asdict(self._waiting[0]))
            except Exception as error:  # a background loop: told by /ready, and a gauge
                self.trouble = f"{self.waiting} wait for the database: {type(error).__name__}"
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                self._waiting.popleft()
                self.trouble = None
                pause = _FIRST_PAUSE
