"""Operators' words on breakers, in several processes."""

from ai_gateway.routing.forced import FORCED, ForcedBreakers
from ai_gateway.routing.vitals import VitalsBook
from ai_gateway.state.memory import MemoryState


class Shared(MemoryState):
    """What several processes share: with a stream, and a switch to take it away."""

    def __init__(self) -> None:
        super().__init__()
        self.stream: list[bytes] = []
        self.away = False

    def append(self, stream: str, value: bytes, most: int, ttl: float | None = None) -> None:
        if not self.away:
            self.stream = [*self.stream, value][-most:]

    async def read_after(self, stream: str, id: bytes, count: int) -> list[tuple[bytes, bytes]]:
        numbered = [(b"%d" % n, value) for n, value in enumerate(self.stream, 1)]
        return [] if self.away else [m for m in numbered if int(m[0]) > int(id)][:count]

    def publish(self, channel: str, message: bytes) -> None:
        if not self.away:
            super().publish(channel, message)


class Process:
    def __init__(self, state: MemoryState, clock: float = 100.0) -> None:
        self.now = clock
        self.vitals = VitalsBook()
        self.forced = ForcedBreakers(self.vitals, state, clock=lambda: self.now)

    def of(self, model: str = "m") -> tuple[str, str | None]:
        breaker = self.vitals.of("a", model).breaker
        return breaker.state, breaker.forced


async def processes(state: MemoryState, *clocks: float) -> list[Process]:
    made = [Process(state, clock) for clock in clocks]
    for process in made:
        await process.forced.open()
    return made


async def test_a_word_holds_in_every_process_at_once_until_it_is_taken_back() -> None:
    one, two = await processes(Shared(), 100, 100)
    one.forced.force("a", "m", "open")
    assert one.of() == two.of() == ("open", "open")
    assert two.of("other") == ("closed", None)
    two.forced.force("a", "m", None)
    assert one.of() == two.of() == ("closed", None)


async def test_a_process_that_starts_later_learns_it() -> None:
    state = Shared()
    (one,) = await processes(state, 100)
    one.forced.force("a", "m", "open")
    one.forced.force("a", "n", "closed")
    one.forced.force("a", "n", None)
    (two,) = await processes(state, 100)
    assert two.of() == ("open", "open")
    assert two.of("n") == ("closed", None)


async def test_the_later_word_wins_though_its_clock_is_behind() -> None:
    one, two = await processes(Shared(), 1000, 100)
    one.forced.force("a", "m", "open")
    two.forced.force("a", "m", "closed")
    assert one.of() == two.of() == ("closed", "closed")


async def test_what_was_said_while_the_state_was_away_is_told_when_it_is_back() -> None:
    state = Shared()
    one, two = await processes(state, 100, 100)
    state.away = True
    one.forced.force("a", "m", "open")
    one.now = 101
    one.forced.force("a", "m", "closed")
    await one.forced.look()
    assert one.of() == ("closed", "closed")
    assert two.of() == ("closed", None)
    state.away = False
    await one.forced.look()
    assert two.of() == ("closed", "closed")
    assert len(state.stream) == 1
    await one.forced.look()
    assert len(state.stream) == 1


async def test_a_message_that_cannot_be_read_changes_nothing() -> None:
    state = Shared()
    (one,) = await processes(state, 100)
    for message in (b"", b"{}", b'["a","m","ajar",1]', b"\xff"):
        state.append(FORCED, message, 10)
        state.publish(FORCED, message)
    await one.forced.look()
    assert one.of() == ("closed", None)


async def test_the_memory_of_words_is_bounded() -> None:
    (one,) = await processes(MemoryState(), 100)
    for number in range(3000):
        one.forced.force("a", f"m{number}", "open" if number < 10 else None)
    assert one.of("m5") == ("open", "open")
