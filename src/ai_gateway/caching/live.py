"""A stream that another replica asks for, followed as it comes.

A replica that waits for another's answer says so on a channel that all hear, once it has found the lease
taken. Whoever holds the lease then copies its stream, from its beginning, into a stream of the shared
state that the waiting one named, and goes on as long as the wish is repeated. So a stream that nobody
else waits for costs nothing. Where it breaks off before the first byte the waiting replica asks itself;
behind it, its callers are told so, as when a provider breaks off.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import contextmanager
from decimal import Decimal
from secrets import token_hex
from time import monotonic
from typing import Protocol

import msgspec
from msgspec import Struct

from ai_gateway.background import end
from ai_gateway.model.answer import StopReason
from ai_gateway.model.call import Outcome, Target
from ai_gateway.model.errors import GatewayError

from .account import account_followed
from .flight import Flight
from .forms import Form

CHANNEL = "gw:cache-wanted"
MOST_COPIED_BYTES = 16 * 1024 * 1024
MOST_COPIES = 64
"""Streams that one replica copies at a time; who asks beyond them waits for the whole answer."""
_MOST_MESSAGES = 20_000
_KEPT_SECONDS = 60.0
"""After its last message a stream is gone, whatever became of both sides."""
_WISH_SECONDS = 2.0
"""Between two repetitions of a wish."""
_WISHED_FOR_SECONDS = 6.0
LEASE_SECONDS = 6.0
"""A holder that died is missed after so long; one that lives renews in time."""
_SILENT_SECONDS = 1.0
"""Without a word for so long, the lease is looked after."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.04
_AT_ONCE = 200


class SharedStreams(Protocol):
    """Of the room `state`; none of it raises."""

    async def get(self, key: str) -> bytes | None: ...
    def delete(self, *keys: str) -> None: ...
    def append(self, stream: str, value: bytes, most: int, ttl: float | None = None) -> None: ...
    async def read_after(self, stream: str, id: bytes, count: int) -> list[tuple[bytes, bytes]]: ...
    def publish(self, channel: str, message: bytes) -> None: ...
    def subscribe(
        self, channel: str, hearer: Callable[[bytes], None], gap: Callable[[], None] | None = None
    ) -> None: ...


class Wish(Struct, frozen=True, array_like=True):
    """Of a replica that waits."""

    key: str
    stream: str
    """Where to copy to."""


class Begun(Struct, frozen=True, array_like=True, tag="b"):
    copy: str
    """Whose messages these are: only one copier is listened to."""
    form: Form
    provider: str
    model: str
    answered_model: str | None


class Piece(Struct, frozen=True, array_like=True, tag="p"):
    copy: str
    number: int
    data: bytes


class Ended(Struct, frozen=True, array_like=True, tag="e"):
    copy: str
    number: int
    cost: Decimal | None
    stop: StopReason | None


class Broken(Struct, frozen=True, array_like=True, tag="x"):
    copy: str


Message = Begun | Piece | Ended | Broken

_encode = msgspec.msgpack.Encoder().encode
_message = msgspec.msgpack.Decoder(Message).decode
_wish = msgspec.msgpack.Decoder(Wish).decode


class Live:
    """A replica's part in it, as the one that asks and as the one that waits."""

    def __init__(self, state: SharedStreams) -> None:
        self._state = state
        self._leading: dict[str, Flight] = {}
        self._copies: dict[str, Copy] = {}

    def start(self) -> None:
        self._state.subscribe(CHANNEL, self._hear)

    async def close(self) -> None:
        await end(*(copy.task for copy in self._copies.values()))

    @contextmanager
    def leading(self, key: str, flight: Flight) -> Generator[None, None, None]:
        """Inside it this replica asks, and may be asked to share."""
        self._leading[key] = flight
        try:
            yield
        finally:
            if self._leading.get(key) is flight:
                del self._leading[key]

    def follow(self, key: str, lease: str) -> "Followed":
        return Followed(self._state, key, lease)

    @property
    def copying(self) -> int:
        return len(self._copies)

    def _hear(self, message: bytes) -> None:
        try:
            wish = _wish(message)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        copy = self._copies.get(wish.stream)
        if copy is not None:
            copy.wished_for()
            return
        flight = self._leading.get(wish.key)
        if flight is None or not flight.joinable or len(self._copies) >= MOST_COPIES:
            return
        copy = self._copies[wish.stream] = Copy(self._state, wish.stream, flight)
        copy.task.add_done_callback(lambda _: self._copies.pop(wish.stream, None))


class _TooLong(Exception):
    """More of it than is copied."""


class Copy:
    """A reader of a flight, and the `Reply` that writes what is read for another replica."""

    def __init__(self, state: SharedStreams, stream: str, flight: Flight) -> None:
        self._state = state
        self._stream = stream
        self._flight = flight
        self._name = token_hex(4)
        self._number = 0
        self._bytes = 0
        self._until = monotonic() + _WISHED_FOR_SECONDS
        self._reader = flight.enter()
        self.task = asyncio.get_running_loop().create_task(self._run())
        self.task.add_done_callback(self._leave)
        self._timer = asyncio.get_running_loop().call_later(_WISHED_FOR_SECONDS, self._end_unwished)

    def wished_for(self) -> None:
        self._until = monotonic() + _WISHED_FOR_SECONDS

    def _end_unwished(self) -> None:
        """Where the one that followed has gone: nobody is asked on for its sake."""
        left = self._until - monotonic()
        if left > 0:
            self._timer = asyncio.get_running_loop().call_later(left, self._end_unwished)
        else:
            self.task.cancel()

    async def _run(self) -> None:
        flight = self._flight
        try:
            await flight.settled()
            if flight.begun and flight.whole_answer is None:
                broken = await flight.stream_to(self._reader, self, flight.outcome, None)
                self._tell(Broken(self._name) if broken is not None else self._ended())
        except _TooLong:
            self._tell(Broken(self._name))

    def _leave(self, _: asyncio.Task[None]) -> None:
        self._timer.cancel()
        self._flight.leave(self._reader)

    @property
    def begun(self) -> bool:
        return False

    async def begin(self, outcome: Outcome) -> None:
        target = outcome.target
        self._tell(
            Begun(
                self._name,
                self._flight.form,
                "" if target is None else target.provider,
                "" if target is None else target.model,
                outcome.answered_model,
            )
        )

    async def piece(self, data: bytes) -> None:
        self._bytes += len(data)
        if self._bytes > MOST_COPIED_BYTES:
            raise _TooLong
        self._tell(Piece(self._name, self._number, data))
        self._number += 1

    def _ended(self) -> Ended:
        outcome = self._flight.outcome
        # It may have had the answer for nothing itself, by its meaning.
        cost = outcome.cost or outcome.saved
        return Ended(self._name, self._number, cost, outcome.stop)

    def _tell(self, message: Message) -> None:
        self._state.append(self._stream, _encode(message), _MOST_MESSAGES, _KEPT_SECONDS)

    async def whole(self, outcome: Outcome, body: bytes, headers: object = ()) -> None:
        raise AssertionError("only streams are copied")

    async def end(self) -> None: ...


class Followed:
    """Another replica's stream, as far as it has come here."""

    def __init__(self, state: SharedStreams, key: str, lease: str) -> None:
        self._state = state
        self._lease = lease
        self._stream = f"gw:live:{token_hex(12)}"
        self._wish = _encode(Wish(key, self._stream))
        self._wishing: asyncio.TimerHandle | None = None
        self._last = b"0"
        self._next = 0
        self._pieces: list[bytes] = []
        self.begun: Begun | None = None
        self.ended: Ended | None = None

    async def look(self) -> bool:
        """Whether there is something to hand on. From the first time on it is asked for. Raises
        GatewayError where the stream broke off."""
        if self._wishing is None:
            self._go_on_wishing()
        for id, data in await self._state.read_after(self._stream, self._last, _AT_ONCE):
            self._last = id
            try:
                message = _message(data)
            except (msgspec.DecodeError, UnicodeDecodeError):
                raise _lost() from None
            if isinstance(message, Begun):
                self.begun = self.begun or message
            elif self.begun is not None and message.copy == self.begun.copy:
                self._take(message)
        return bool(self._pieces) or self.ended is not None

    def _go_on_wishing(self) -> None:
        """By a timer: a caller that reads slowly keeps this from looking for more."""
        self._state.publish(CHANNEL, self._wish)
        self._wishing = asyncio.get_running_loop().call_later(_WISH_SECONDS, self._go_on_wishing)

    def _take(self, message: Piece | Ended | Broken) -> None:
        if isinstance(message, Broken):
            raise _lost()
        if message.number != self._next:
            # Some of it went by unseen.
            raise _lost()
        if isinstance(message, Ended):
            self.ended = message
        else:
            self._next += 1
            self._pieces.append(message.data)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Up to the end. Raises GatewayError where it breaks off, or its replica is gone."""
        holder = await self._state.get(self._lease)
        pause, heard = _FIRST_PAUSE, monotonic()
        checked = heard
        while True:
            if await self.look():
                if self._pieces:
                    data, self._pieces = b"".join(self._pieces), []
                    yield data
                if self.ended is not None:
                    return
                pause, heard = _FIRST_PAUSE, monotonic()
                checked = heard
            elif monotonic() - checked > _SILENT_SECONDS:
                if await self._is_gone(holder, heard) and not await self.look():
                    raise _lost()
                checked = monotonic()
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    async def _is_gone(self, holder: bytes | None, heard: float) -> bool:
        """The one that asked: its lease has ended, or is another's by now, who asks anew."""
        now = await self._state.get(self._lease)
        return now is None or (now != holder and monotonic() - heard > LEASE_SECONDS)

    def account(self, outcome: Outcome) -> None:
        """What is known of it by now."""
        begun = self.begun
        assert begun is not None
        target = Target(provider=begun.provider, model=begun.model) if begun.provider else None
        cost, stop = (None, None) if self.ended is None else (self.ended.cost, self.ended.stop)
        account_followed(outcome, target, begun.answered_model, cost, stop)

    def close(self) -> None:
        if self._wishing is not None:
            self._wishing.cancel()
            self._state.delete(self._stream)


def _lost() -> GatewayError:
    return GatewayError("upstream", "The answer broke off before its end.", code="stream_cut")
