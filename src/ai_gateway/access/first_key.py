"""The first key of a database that had none, whoever makes it: the shell beside the gateway, or another replica."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from ai_gateway.background import end
from ai_gateway.storage.database import Database

if TYPE_CHECKING:
    from .store import KeyStore

_SECONDS = 0.25


class FirstKey:
    """Looks a few times a second whether there is a key, and ends with the first."""

    def __init__(
        self,
        database: Database,
        make_store: Callable[[], "KeyStore"],
        found: Callable[["KeyStore"], None],
        on_event: Callable[[Literal["info", "error"], str, str], None],
    ) -> None:
        """`found` is told the store, once it holds a key."""
        self._database = database
        self._make_store = make_store
        self._found = found
        self._on_event = on_event
        self._store: KeyStore | None = None
        self._trouble = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        await end(self._task)

    async def _run(self) -> None:
        while True:
            try:
                if await self._look():
                    return
                self._trouble = False
            except Exception as error:
                # All stays as it was when that could last be said.
                if not self._trouble:
                    self._on_event("error", "access_database_lost", type(error).__name__)
                self._trouble = True
            await asyncio.sleep(_SECONDS)

    async def _look(self) -> bool:
        if self._store is None:
            if not self._database.exists():
                return False
            # What the store imports takes a while: opening does that on a thread.
            await self._database.open()
            self._store = self._make_store()
        if not await self._store.any():
            return False
        self._found(self._store)
        return True
