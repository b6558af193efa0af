"""Puts the parts of a stream one after the other, for dialects that hold one open at a time."""

from ai_gateway.model.answer import Delta, PartEnd, PartStart, Signature

PartEvent = PartStart | Delta | Signature | PartEnd


class InTurn:
    """What comes for a later part waits until the one before it has ended."""

    __slots__ = ("_open", "_waiting")

    def __init__(self) -> None:
        self._open: int | None = None
        self._waiting: list[PartEvent] = []

    def feed(self, event: PartEvent) -> list[PartEvent]:
        """The events whose turn it is, in order."""
        if self._open is not None and event.index != self._open:
            self._waiting.append(event)
            return []
        self._note(event)
        return [event, *self._release()] if self._open is None else [event]

    def end(self) -> list[PartEvent]:
        """What still waits, the open part's end first."""
        out: list[PartEvent] = []
        while self._open is not None:
            out.append(PartEnd(index=self._open))
            self._open = None
            out += self._release()
        return out

    def _release(self) -> list[PartEvent]:
        out: list[PartEvent] = []
        while self._waiting and self._open is None:
            index = self._waiting[0].index
            mine = [e for e in self._waiting if e.index == index]
            self._waiting = [e for e in self._waiting if e.index != index]
            for event in mine:
                self._note(event)
            out += mine
        return out

    def _note(self, event: PartEvent) -> None:
        if isinstance(event, PartStart):
            self._open = event.index
        elif isinstance(event, PartEnd):
            self._open = None
