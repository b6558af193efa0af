"""A circuit breaker: a provider's model that fails is left alone for a while, then tried with care.

    closed --failures--> open --time--> half-open --4 good probes--> closed
                          ^                 |
                          +---any failure---+

It opens at half or more failures of at least 20 calls within 10 s, or at 20 failures in a row (else the
good calls from before a hard outage would keep it closed for seconds), or at 20 streams cut in a row with
none between that came whole and not four times as many that began, or at 5 failed connects in a row. It
stays open for 5 s, and twice as long each time a probe fails, up to 60 s. Half-open lets 1 probe
through, then 3 at once. What a caller did wrong never counts, and neither does the end of a call that
entered in another state: news of an outage must not reopen what has just been found well. The clock is
the caller's: every method is told the time.
"""

from collections.abc import Callable
from typing import Literal

from msgspec import Struct, field

State = Literal["closed", "open", "half-open"]
Cause = Literal["failures", "connect", "probe", "admin", "hint"]
Why = Literal["failures", "connect", "probe", "admin", "hint", "recovered"]

WINDOW_SECONDS = 10
LEAST_CALLS = 20
FAILURE_SHARE = 0.5
CONNECT_FAILURES = 5
FAILURES_IN_A_ROW = 20
CUT_SHARE = 0.25
"""Of the streams that began since the first of a row of cut ones."""
FIRST_OPEN_SECONDS = 5.0
LONGEST_OPEN_SECONDS = 60.0
_FIRST_PROBES = 1
_MORE_PROBES = 3


class BreakerChange(Struct, frozen=True, kw_only=True):
    at: float
    """Unix seconds."""
    before: State = field(name="from")
    after: State = field(name="to")
    """The same as before where an operator took it in hand as it was."""
    cause: Why
    """Half-open tells the cause for which it had been open."""


class Breaker:
    """`enter` before a call; if it lets it in, then exactly one of `succeeded`, `failed`, `left`, told
    the era in which the call entered; for a stream `began`, and later `ended` or `broke`."""

    __slots__ = (
        "_bad",
        "_bads",
        "_connects",
        "_cuts",
        "_cuts_among",
        "_cuts_since",
        "_good",
        "_good_before",
        "_goods",
        "_on_change",
        "_open_seconds",
        "_passed",
        "_probes",
        "_row",
        "_row_since",
        "_second",
        "cause",
        "era",
        "forced",
        "retry_at",
        "state",
    )

    def __init__(self, on_change: "Callable[[Breaker, State, Why], None] | None" = None) -> None:
        self.state: State = "closed"
        self.cause: Cause | None = None
        """Why it left `closed`."""
        self.forced: Literal["open", "closed"] | None = None
        """An operator's word, which holds until it is taken back."""
        self.retry_at = 0.0
        """When an open one lets a probe through."""
        self.era = 1
        """Counts its changes of state."""
        self._on_change = on_change
        self._open_seconds = FIRST_OPEN_SECONDS
        self._connects = 0
        self._row = 0
        self._row_since = 0.0
        self._cuts = 0
        self._cuts_since = 0.0
        self._cuts_among = 0
        self._probes = 0
        self._passed = 0
        self._second = 0
        self._good = self._bad = 0
        self._good_before = 0
        """How many were good as this second began; what came since joins `_goods` when it is over."""
        self._goods = [0] * WINDOW_SECONDS
        self._bads = [0] * WINDOW_SECONDS

    def allows(self, now: float) -> bool:
        """Whether `enter` would let a call in; changes nothing."""
        if self.forced is not None:
            return self.forced == "closed"
        if self.state == "closed":
            return True
        if self.state == "open":
            return now >= self.retry_at
        return self._probes < (_FIRST_PROBES if self._passed == 0 else _MORE_PROBES)

    def enter(self, now: float) -> int:
        """The era of the call let in; 0 where it is not."""
        if self.state == "closed" and self.forced is None:
            return self.era
        if not self.allows(now):
            return 0
        if self.forced is not None:
            return self.era
        if self.state == "open":
            self._probes = self._passed = 0
            self._become("half-open", self.cause)
        self._probes += 1
        return self.era

    def succeeded(self, now: float, era: int) -> None:
        """A whole answer is here."""
        if era == self.era:
            self._cuts = 0
            self.began(now, era)

    def began(self, now: float, era: int) -> None:
        """A stream's first piece is here: a success so far."""
        if era != self.era:
            return
        self._connects = self._row = 0
        self._cuts_among += 1
        if int(now) != self._second:
            self._advance(int(now))
        self._good += 1
        if self.state == "half-open":
            self._probes = max(0, self._probes - 1)
            self._passed += 1
            if self._passed >= _FIRST_PROBES + _MORE_PROBES:
                self._close()

    def failed(self, now: float, era: int, *, connect: bool = False) -> None:
        if era != self.era:
            return
        self._advance(int(now))
        self._bads[self._second % WINDOW_SECONDS] += 1
        self._bad += 1
        self._connects = self._connects + 1 if connect else 0
        if self._row == 0 or now - self._row_since >= WINDOW_SECONDS:
            self._row, self._row_since = 0, now
        self._row += 1
        self._judge(now)

    def ended(self, era: int) -> None:
        """A stream that began came whole."""
        if era == self.era:
            self._cuts = 0

    def broke(self, now: float, era: int) -> None:
        """A stream that began failed after all: it was cut."""
        if era != self.era:
            return
        self._advance(int(now))
        self._bads[self._second % WINDOW_SECONDS] += 1
        self._bad += 1
        if self._good > 0:
            self._good -= 1
        # Streams that begin well say nothing against a row of those that end badly.
        if self._cuts == 0 or now - self._cuts_since >= WINDOW_SECONDS:
            self._cuts, self._cuts_since, self._cuts_among = 0, now, 0
        self._cuts += 1
        self._judge(now)

    def left(self, era: int) -> None:
        """A call that entered tells nothing: its caller left, or the fault was not the provider's."""
        if era == self.era and self.state == "half-open":
            self._probes = max(0, self._probes - 1)

    def force(self, forced: Literal["open", "closed"] | None) -> None:
        """By an operator. None gives it back to its own judgement, starting closed."""
        before = self.state
        self.forced = forced
        if forced is None:
            self._close("admin")
        else:
            self._become(forced, "admin" if forced == "open" else None, "admin")
        if before == self.state and self._on_change is not None:
            self._on_change(self, before, "admin")

    def hint(self, now: float, seconds: float) -> None:
        """Another replica opened its own: so does this one, unless it knows better."""
        if self.forced is None and self.state == "closed":
            self.retry_at = now + min(seconds, LONGEST_OPEN_SECONDS)
            self._become("open", "hint")

    def revive(self) -> None:
        """It was found well by probes: an open one closes before its time."""
        if self.forced is None and self.state == "open":
            self._close()

    def condemn(self, now: float) -> None:
        """It was found ill by probes, while nobody else asked."""
        if self.forced is None and self.state == "closed":
            self._open(now, "probe")

    def _judge(self, now: float) -> None:
        if self.state == "half-open":
            self._open_seconds = min(self._open_seconds * 2, LONGEST_OPEN_SECONDS)
            self._open(now, "probe")
        elif self.state == "closed":
            if self._connects >= CONNECT_FAILURES:
                self._open(now, "connect")
            elif max(self._row, self._cuts_in_a_row()) >= FAILURES_IN_A_ROW or (
                self._good + self._bad >= LEAST_CALLS
                and self._bad >= (self._good + self._bad) * FAILURE_SHARE
            ):
                self._open(now, "failures")

    def _cuts_in_a_row(self) -> int:
        """None where many more began meanwhile: they have not had the time yet to come whole."""
        return self._cuts if self._cuts >= self._cuts_among * CUT_SHARE else 0

    def _open(self, now: float, cause: Cause) -> None:
        self.retry_at = now + self._open_seconds
        self._probes = self._passed = self._connects = self._row = self._cuts = 0
        self._become("open", cause)

    def _close(self, why: Why = "recovered") -> None:
        self._open_seconds = FIRST_OPEN_SECONDS
        self._probes = self._passed = self._connects = self._row = self._cuts = 0
        self._good = self._bad = self._good_before = 0
        self._goods = [0] * WINDOW_SECONDS
        self._bads = [0] * WINDOW_SECONDS
        self._become("closed", None, why)

    def _become(self, state: State, cause: Cause | None, why: Why | None = None) -> None:
        before, self.state, self.cause = self.state, state, cause
        if before == state:
            return
        self.era += 1
        if self._on_change is not None:
            self._on_change(self, before, why or cause or "recovered")

    def _advance(self, second: int) -> None:
        """Forgets what is older than the window."""
        if second == self._second:
            return
        self._goods[self._second % WINDOW_SECONDS] = self._good - self._good_before
        for old in range(max(self._second + 1, second - WINDOW_SECONDS + 1), second + 1):
            slot = old % WINDOW_SECONDS
            self._good -= self._goods[slot]
            self._bad -= self._bads[slot]
            self._goods[slot] = self._bads[slot] = 0
        self._second = second
        if self._good < 0:
            self._good = 0
        self._good_before = self._good
