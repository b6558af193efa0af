"""What the path of a call knows of the audit: it decides how much is kept, keeps a copy of what the
caller is sent, and hands the settled call over. Everything slow happens on threads of the audit's own.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from ai_gateway.courier import Courier, Loss
from ai_gateway.model.audit import AuditRecord, Captured
from ai_gateway.model.call import Outcome
from ai_gateway.model.policy import AuditLevel
from ai_gateway.reply import Reply

from .bodies import Bodies
from .capture import CapturingReply
from .record import record_of

_MOST_WAITING = 20_000
_MOST_WEIGHT = 128 * 1024 * 1024
_BATCH = 64
_EVERY = 0.1


class Sink(Protocol):
    """Where records go, each on a courier of its own."""

    name: str

    @property
    def trouble(self) -> str | None:
        """What the last delivery failed of; None where all is well."""
        ...

    @property
    def waiting(self) -> int:
        """Records that are not delivered yet."""
        ...

    def put(self, record: AuditRecord) -> None:
        """Called on the audit's thread; drops and counts what does not fit."""
        ...

    def start(self) -> None: ...

    def close(self, seconds: float) -> None: ...


class Auditor:
    def __init__(
        self,
        level: AuditLevel,
        bodies: Bodies,
        sinks: Sequence[Sink],
        *,
        lost: Callable[[Loss, int], None],
    ) -> None:
        self._level: AuditLevel = level
        self._bodies = bodies
        self._sinks = sinks
        self._lost = lost
        self._courier: Courier[Outcome] = Courier(
            "audit",
            self._prepare,
            most=_MOST_WAITING,
            batch=_BATCH,
            every=_EVERY,
            lost=lost,
            weigh=_weight,
            most_weight=_MOST_WEIGHT,
        )

    def watch(
        self, outcome: Outcome, reply: Reply, key: AuditLevel | None, route: AuditLevel | None
    ) -> Reply:
        """The way back to the caller. The key's (or its tenant's) own word counts before the route's,
        and that before the gateway's."""
        level = outcome.audit = key or route or self._level
        if level == "off":
            return reply
        outcome.answer = Captured(self._bodies.captured_at_most if level == "full" else 0)
        return CapturingReply(reply, outcome.answer)

    def without_bodies(self, outcome: Outcome, key: AuditLevel | None) -> None:
        """Of what passes through in pieces there is no body to keep."""
        outcome.audit = "off" if (key or self._level) == "off" else "metadata"

    def record(self, outcome: Outcome) -> None:
        """Once, when the call is settled."""
        if outcome.audit is None:
            # It was refused before anybody knew whose it is: strangers do not fill the audit.
            outcome.audit = "off" if self._level == "off" else "metadata"
        if outcome.audit != "off":
            self._courier.put(outcome)

    def start(self) -> None:
        """On the event loop's thread. Threads begin with the first record."""
        for sink in self._sinks:
            sink.start()

    def close(self, seconds: float = 5.0) -> None:
        """Blocks; the event loop must go on running meanwhile."""
        self._courier.close(seconds)
        for sink in self._sinks:
            sink.close(seconds)

    @property
    def waiting(self) -> dict[str, int]:
        """What is not kept yet: settled calls (`audit`), and records by their sink."""
        sinks = {f"audit_{sink.name}": sink.waiting for sink in self._sinks}
        return {"audit": self._courier.waiting, **sinks}

    def _prepare(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            try:
                record = record_of(outcome, outcome.audit or self._level, self._bodies)
            except Exception:  # one call that cannot be told must not take others with it
                self._lost("failed", 1)
                continue
            for sink in self._sinks:
                sink.put(record)


def _weight(outcome: Outcome) -> int:
    answer = outcome.answer
    return 2048 + len(outcome.request.body) + (0 if answer is None else answer.kept)
