"""Whether this process should be sent calls."""

from collections.abc import Callable


class Readiness:
    """Gathers the reasons against. Ready while there are none."""

    def __init__(self) -> None:
        self._checks: list[Callable[[], str | None]] = []
        self._notes: list[Callable[[], str | None]] = []
        self.draining = False

    def add(self, check: Callable[[], str | None]) -> None:
        """`check` gives a reason not to be ready, or None; it must be quick and not wait."""
        self._checks.append(check)

    def add_note(self, check: Callable[[], str | None]) -> None:
        """`check` gives what is amiss without keeping calls from being served, or None."""
        self._notes.append(check)

    def notes(self) -> list[str]:
        return [note for check in self._notes if (note := check()) is not None]

    def reasons(self) -> list[str]:
        found = [reason for check in self._checks if (reason := check()) is not None]
        if self.draining:
            found.append("draining: the gateway is shutting down")
        return found
