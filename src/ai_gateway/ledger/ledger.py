"""Where a call's account is written down: before its answer ends, once."""

from collections.abc import Sequence
from time import perf_counter

from ai_gateway.model.call import Outcome
from ai_gateway.reply import PassingReply, Reply

from .record import is_accountable, record_of
from .spool import Spool


class Ledger:
    def __init__(self, spool: Spool, *, price_version: str) -> None:
        self._spool = spool
        self._price_version = price_version

    def watch(self, outcome: Outcome, reply: Reply) -> Reply:
        """The way back to the caller, by which the record is written before the last byte leaves."""
        return _RecordingReply(self, outcome, reply)

    def record(self, outcome: Outcome) -> None:
        """Once a call, whoever comes first: the end of its answer, or the end of its path."""
        if outcome.recorded or not is_accountable(outcome):
            return
        outcome.recorded = True
        seconds = perf_counter() - outcome.request.received
        self._spool.append(record_of(outcome, seconds, self._price_version))


class NoLedger:
    """Keeps nothing."""

    def watch(self, outcome: Outcome, reply: Reply) -> Reply:
        return reply

    def record(self, outcome: Outcome) -> None:
        return


class _RecordingReply(PassingReply):
    __slots__ = ("_ledger", "_outcome")

    def __init__(self, ledger: Ledger, outcome: Outcome, reply: Reply) -> None:
        self._reply = reply
        self._ledger = ledger
        self._outcome = outcome

    async def whole(
        self, outcome: Outcome, body: bytes, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        self._ledger.record(outcome)
        await self._reply.whole(outcome, body, headers)

    async def piece(self, data: bytes) -> None:
        if self._outcome.complete:
            self._ledger.record(self._outcome)
        await self._reply.piece(data)

    async def end(self) -> None:
        self._ledger.record(self._outcome)
        await self._reply.end()
