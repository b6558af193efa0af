"""From the spool into the database, in the background."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import monotonic

from ai_gateway.background import end
from ai_gateway.storage.database import Database

from .record import is_record
from .spool import Spool, batches

_SECONDS = 0.5
_LONGEST_WAIT = 5.0
_ORPHANS_SECONDS = 30.0
_BATCH = 500
_PATIENCE = 30.0
"""For one batch. A database that takes longer counts as lost; the batch is tried again."""


class Replayer:
    """`on_trouble` is told why, once, when the database is lost, and None when it is back.
    `refused` counts records that the database does not take; they are put aside."""

    def __init__(
        self,
        spool: Spool,
        database: Database,
        *,
        on_trouble: Callable[[str | None], None],
        refused: Callable[[int], None],
    ) -> None:
        self._spool = spool
        self._database = database
        self._on_trouble = on_trouble
        self._refused = refused
        self._task: asyncio.Task[None] | None = None
        self._orphans_due = 0.0
        self._turn = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None
        """The replay that has not begun yet."""
        self.trouble: str | None = None
        """Why records wait in the spool."""

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self, seconds: float) -> None:
        """What cannot be replayed in this time stays in the spool for the next start."""
        await end(self._task)
        try:
            async with asyncio.timeout(seconds):
                await self.replay()
        except Exception as error:
            self._lost(error)

    async def replay(self) -> None:
        """Everything settled so far, to its end. Raises DatabaseUnavailable, TimeoutError."""
        async with self._turn:
            await self._replay()

    async def _replay(self) -> None:
        self._spool.rotate()
        if self._spool.has_ended:
            await asyncio.to_thread(self._spool.make_durable)
        for segment in self._spool.waiting():
            await self._keep(segment)
        if monotonic() >= self._orphans_due:
            self._orphans_due = monotonic() + _ORPHANS_SECONDS
            for segment in self._spool.orphans():
                await self._keep(segment)

    async def catch_up(self) -> None:
        """`replay`, shared by all who ask before it begins: each who waits for one that is under way would
        else have one of its own."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._begin_next())
            self._next.add_done_callback(_look_at)
        await asyncio.shield(self._next)

    async def _begin_next(self) -> None:
        async with self._turn:
            self._next = None
            await self._replay()

    async def _run(self) -> None:
        wait = _SECONDS
        while True:
            try:
                await self.replay()
            except Exception as error:
                self._lost(error)
                wait = min(wait * 2, _LONGEST_WAIT)
            else:
                wait = _SECONDS
                if self.trouble is not None:
                    self.trouble = None
                    self._on_trouble(None)
            await asyncio.sleep(wait)

    async def _keep(self, segment: Path) -> None:
        """A segment is removed once all of it is committed; until then it is replayed anew."""
        parts = batches(segment, _BATCH)
        while (read := await asyncio.to_thread(_read, parts)) is not None:
            lines, broken = read
            for line in broken:
                self._put_aside(segment, line)
            if lines:
                await self._keep_lines(segment, lines)
        segment.unlink(missing_ok=True)

    async def _keep_lines(self, segment: Path, lines: Sequence[bytes]) -> None:
        # Opening imports SQLAlchemy, off the loop; after it, these imports cost nothing.
        await self._database.open()
        from sqlalchemy.exc import DataError, IntegrityError

        try:
            await self._commit(lines)
        except (DataError, IntegrityError):
            if len(lines) == 1:
                # Not even alone: whatever it is, it must not keep the others.
                self._put_aside(segment, lines[0])
                return
            half = len(lines) // 2
            await self._keep_lines(segment, lines[:half])
            await self._keep_lines(segment, lines[half:])

    async def _commit(self, lines: Sequence[bytes]) -> None:
        from .store import keep

        batch = (b"[" + b",".join(lines) + b"]").decode("utf-8")
        async with asyncio.timeout(_PATIENCE), self._database.write() as connection:
            await keep(connection, batch)

    def _put_aside(self, segment: Path, line: bytes) -> None:
        with segment.with_suffix(".refused").open("ab") as file:
            file.write(line + b"\n")
        self._refused(1)

    def _lost(self, error: Exception) -> None:
        if self.trouble is None:
            self.trouble = type(error).__name__
            self._on_trouble(self.trouble)


def _look_at(task: asyncio.Task[None]) -> None:
    """Those who asked may all have left."""
    if not task.cancelled():
        task.exception()


def _read(parts: Iterator[list[bytes]]) -> tuple[list[bytes], list[bytes]] | None:
    """The next (records, what is none)."""
    lines = next(parts, None)
    if lines is None:
        return None
    good = [line for line in lines if is_record(line)]
    return good, [line for line in lines if not is_record(line)] if len(good) < len(lines) else []
