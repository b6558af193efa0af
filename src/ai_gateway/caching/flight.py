"""One asking of a provider, and everyone who waits for its answer.

The asking writes into a `Flight`, which is a `Reply`; those who joined read it from there at their own
pace: a late reader of a stream gets what has come so far at once, then follows. The caller who set a
stream off reads like all others, from an asking in a task of its own; a whole answer is asked for in
its caller's task (`led_by`), which costs less. Either way the first caller may leave and the rest still
get their answer; the asking ends when nobody waits any more.

The asking may run ahead of its fastest reader by `AHEAD` bytes. All of the answer is kept while it is
short enough to be stored; beyond that nobody joins any more, and what all have read is let go.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from msgspec import Struct

from ai_gateway.dialects.bridge import TranslatingBridge
from ai_gateway.model.call import Outcome
from ai_gateway.model.carrier import CALLER_LEFT, Carrier, Task
from ai_gateway.model.errors import GatewayError
from ai_gateway.reply import Reply

from .forms import Form

AHEAD = 64 * 1024
RETRIED = frozenset({401, 402, 403, 407, 408, 409, 425, 429})
"""Refusals that say nothing of the question itself, so that another asking may fare better."""


class Whole(Struct, frozen=True):
    status: int
    body: bytes
    headers: Sequence[tuple[str, str]]


class Reader(Struct, eq=False):
    at: int = 0
    """The next piece to read, counted from the stream's first."""
    taken: int = 0
    """Bytes read."""


class Flight(Struct, eq=False):
    """A `Reply` to the asking, a source to its readers. Owned by one event loop."""

    form: Form
    outcome: Outcome
    """The account of the call that set it off, which pays."""
    most_kept: int
    begun: bool = False
    ended: bool = False
    whole_answer: Whole | None = None
    failure: BaseException | None = None
    joinable: bool = True
    size: int = 0
    task: Task | None = None
    """What ends with the last reader; None while its caller waits for it in its own task."""
    _carrier: Carrier | None = None
    """Of the call in whose task it is asked."""
    _caller_left: bool = False
    _pieces: list[bytes] = []
    _first: int = 0
    _readers: list[Reader] = []
    """But for the caller that is `led_by`."""
    _waiting: list[asyncio.Future[None]] = []
    _room: asyncio.Future[None] | None = None

    # What the asking writes.

    async def whole(
        self, outcome: Outcome, body: bytes, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        self.whole_answer = Whole(outcome.status, body, headers)
        self.begun = self.ended = True
        if self._waiting:
            self._wake()

    async def begin(self, outcome: Outcome) -> None:
        self.begun = True
        self._wake()

    async def piece(self, data: bytes) -> None:
        self._pieces.append(data)
        self.size += len(data)
        if self.size > self.most_kept and self.joinable:
            self.joinable = False
            self._drop_read()
        self._wake()
        while self._is_ahead():
            self._room = asyncio.get_running_loop().create_future()
            await self._room

    async def end(self) -> None:
        self.ended = True
        self._wake()

    def land(self, task: asyncio.Task[None]) -> None:
        """The asking is over (a callback of its task)."""
        self.over_by(asyncio.CancelledError() if task.cancelled() else task.exception())
        self.task = None

    def over_by(self, failure: BaseException | None) -> None:
        """The asking is over; well, where nothing failed."""
        self.joinable = False
        if isinstance(failure, asyncio.CancelledError):
            failure = GatewayError("unavailable", "The call was given up.", code="given_up")
        # A copy: the exception itself would hold the frames it came through, and they this flight.
        self.failure = None if failure is None else copy_of(failure)
        self._wake()

    def recorded(self) -> bytes | None:
        """All that was sent, where it was a whole answer or a whole stream that was kept."""
        if self.whole_answer is not None:
            return self.whole_answer.body if len(self.whole_answer.body) <= self.most_kept else None
        if not self.ended or self._first or self.size > self.most_kept:
            return None
        return b"".join(self._pieces)

    # What its readers do.

    @property
    def readers(self) -> int:
        return len(self._readers)

    def enter(self) -> Reader:
        reader = Reader()
        self._readers.append(reader)
        return reader

    def leave(self, reader: Reader) -> None:
        """The last one to leave ends an asking that is still under way."""
        self._readers.remove(reader)
        if not self._readers and self.task is not None and not self.task.done():
            self.joinable = False
            self.task.cancel(CALLER_LEFT)
        elif not self.joinable:
            self._drop_read()
        self._give_room()

    async def led_by(self, carrier: Carrier, asks: Coroutine[Any, Any, None]) -> None:
        """`asks`, the asking, in the task of the call that set it off. Its caller's leaving ends it only
        where nobody else waits; at the end that caller's call is cancelled all the same."""
        self._carrier = carrier
        carrier.stays = self._stays
        try:
            await asks
        except BaseException as failure:
            self.over_by(failure)
            raise
        finally:
            carrier.stays = self._carrier = self.task = None
        if self._caller_left:
            raise asyncio.CancelledError(CALLER_LEFT)

    def _stays(self) -> bool:
        """Its caller has left: whether others wait, for whom the asking goes on."""
        if self._readers and self._carrier is not None:
            self.task, self._caller_left = self._carrier.task, True
            return True
        # About to be cancelled: whoever comes now had better ask anew.
        self.joinable = False
        return False

    async def settled(self) -> None:
        """Waits until an answer begins, or fails to."""
        while not self.begun and self.failure is None:
            await self._change()

    async def over(self) -> None:
        """Waits until all of a stream is here."""
        while not self.ended and self.failure is None:
            await self._change()

    async def stream_to(
        self, reader: Reader, reply: Reply, outcome: Outcome, bridge: TranslatingBridge | None
    ) -> BaseException | None:
        """Hands a begun stream on, up to its end, through `bridge` where the reader's dialect is
        another. Gives the failure that cut it."""
        if not reply.begun:
            await reply.begin(outcome)
        while True:
            if reader.at < self._first + len(self._pieces):
                data = self._take(reader)
                out = data if bridge is None else bridge.feed(data)
                if out:
                    await reply.piece(out)
                self._give_room()
            elif self.ended:
                break
            elif self.failure is not None:
                return self.failure
            else:
                await self._change()
        if bridge is not None and (tail := bridge.end()):
            await reply.piece(tail)
        return None

    def _take(self, reader: Reader) -> bytes:
        """All that the reader has not read yet."""
        pieces = self._pieces
        at = reader.at - self._first
        if at == len(pieces) - 1:
            data = pieces[-1]
        elif at == 0:
            data = b"".join(pieces)
        else:
            data = b"".join(pieces[at:])
        reader.at = self._first + len(pieces)
        reader.taken += len(data)
        if not self.joinable:
            self._drop_read()
        return data

    def _is_ahead(self) -> bool:
        """The asking has to wait: for the fastest reader, or, once not all is kept, for the slowest."""
        if not self._readers:
            return False
        taken = [reader.taken for reader in self._readers]
        if self.size - max(taken) > AHEAD:
            return True
        return not self.joinable and self.size - min(taken) > self.most_kept

    def _drop_read(self) -> None:
        """Lets go what every reader has read."""
        if not self._readers or self._kept_whole():
            return
        slowest = min(reader.at for reader in self._readers)
        if slowest > self._first:
            del self._pieces[: slowest - self._first]
            self._first = slowest

    def _kept_whole(self) -> bool:
        return self.size <= self.most_kept

    def _give_room(self) -> None:
        if self._room is not None and not self._room.done() and not self._is_ahead():
            self._room.set_result(None)

    async def _change(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


def says_of_the_question(failure: BaseException) -> bool:
    """Whether a failure would be any other asking's too, and so is handed to all who wait."""
    return (
        isinstance(failure, GatewayError)
        and 400 <= failure.status < 500
        and failure.status not in RETRIED
    )


def copy_of(failure: BaseException) -> GatewayError:
    """The same refusal for another caller: an exception belongs to the one who raises it."""
    if not isinstance(failure, GatewayError):
        return GatewayError("internal", "The gateway failed.", code="internal_error")
    copy = GatewayError(
        failure.kind,
        failure.message,
        field=failure.field,
        code=failure.code,
        retry_after=failure.retry_after,
        status=failure.status,
    )
    copy.headers = failure.headers
    return copy
