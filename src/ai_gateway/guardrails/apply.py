"""What follows from what a guard finds: the call is refused, the text is changed, or it is noted."""

import inspect
import json
from collections.abc import Callable, Sequence

from msgspec import Struct

from ai_gateway.model.errors import GatewayError
from ai_gateway.model.guardrail import Action, Direction

from .guard import Finding, Guard, Passage
from .personal_data import Vault

Count = Callable[[str, Direction, Action | str], None]
"""`count(guardrail, direction, action)`: one call in which it found something, or failed."""


_FAULTS = (
    GatewayError, OSError, ValueError, TimeoutError, LookupError, TypeError, AttributeError,
    ArithmeticError, RuntimeError,
)  # fmt: skip
"""How a guard that asks elsewhere, or a plugin, fails: at once or once awaited."""


class Armed(Struct, frozen=True, kw_only=True):
    """A guardrail ready to be asked."""

    name: str
    guard: Guard
    on: tuple[Direction, ...]
    action: Action
    fails_open: bool = False
    """What is found where the guard itself fails: nothing, rather than a refusal."""
    vault: bool = False
    """Its replacements are placeholders that stand for one value throughout the call."""
    restores: bool = False
    waits: bool = False
    """It asks somewhere else, so streams are handed to it in larger pieces."""


class Blocked(GatewayError):
    """A guardrail says no. It names the guardrail and what it found, never the text."""

    def __init__(self, guardrail: str, direction: Direction, label: str) -> None:
        what = "request" if direction == "input" else "answer"
        super().__init__(
            "invalid_request",
            f"The guardrail {guardrail} does not let this {what} pass ({label}).",
            code="guardrail_blocked",
        )


class GuardFailed(GatewayError):
    """A guard could not be asked, and nothing passes it unasked."""

    def __init__(self, guardrail: str) -> None:
        super().__init__(
            "unavailable",
            f"The guardrail {guardrail} cannot be asked, and calls must pass it. Try again later.",
            code="guardrail_unavailable",
        )


class Inspector:
    """The guardrails of one direction of one call."""

    def __init__(
        self,
        armed: Sequence[Armed],
        direction: Direction,
        vault: Vault,
        noted: list[str],
        count: Count,
    ) -> None:
        self.armed = [one for one in armed if direction in one.on]
        self._direction: Direction = direction
        self._vault = vault
        self._noted = noted
        self._count = count
        self._seen: set[tuple[str, str]] = set()

    @property
    def waits(self) -> bool:
        return any(one.waits for one in self.armed)

    async def findings(self, passage: Passage, *, behind: int = 0) -> list[Finding]:
        """What must be replaced, in order, without overlaps. Raises Blocked.

        What begins before `behind` has been dealt with and is only there for context.
        """
        kept: list[Finding] = []
        for one in self.armed:
            for finding in await self._ask(one, passage):
                if finding.start < behind or finding.end <= finding.start:
                    continue
                if one.action == "block":
                    self._note(one, finding, "block")
                    raise Blocked(one.name, self._direction, finding.label)
                if one.action == "flag" or finding.replacement is None:
                    self._note(one, finding, "flag")
                    continue
                self._note(one, finding, "redact")
                kept.append(self._placed(one, finding, passage.text))
        return _apart(kept)

    async def _ask(self, one: Armed, passage: Passage) -> Sequence[Finding]:
        try:
            found = one.guard.inspect(passage)
            return await found if inspect.isawaitable(found) else found
        except _FAULTS:
            self._count(one.name, self._direction, "failed")
            if one.fails_open:
                self._noted.append(f"{one.name}=failed")
                return ()
            raise GuardFailed(one.name) from None

    def _placed(self, one: Armed, finding: Finding, text: str) -> Finding:
        if not one.vault:
            return finding
        value = text[finding.start : finding.end]
        placeholder = self._vault.placeholder(finding.label, value, restores=one.restores)
        return Finding(finding.start, finding.end, finding.label, placeholder)

    def _note(self, one: Armed, finding: Finding, action: Action) -> None:
        """Once a call for each guardrail and label."""
        if (one.name, finding.label) in self._seen:
            return
        self._seen.add((one.name, finding.label))
        self._count(one.name, self._direction, action)
        self._noted.append(f"{one.name}={action}:{finding.label}")


def replaced(text: str, findings: Sequence[Finding], *, is_json: bool) -> str:
    """`findings` in order and apart."""
    if not findings:
        return text
    out: list[str] = []
    at = 0
    for finding in findings:
        new = finding.replacement or ""
        out += (text[at : finding.start], json.dumps(new)[1:-1] if is_json else new)
        at = finding.end
    out.append(text[at:])
    return "".join(out)


def _apart(findings: list[Finding]) -> list[Finding]:
    """In order; of two that overlap, the one that begins first, of those the longer."""
    kept: list[Finding] = []
    for finding in sorted(findings, key=lambda f: (f.start, -f.end)):
        if not kept or finding.start >= kept[-1].end:
            kept.append(finding)
    return kept


def merged(first: Sequence[Finding], second: Sequence[Finding]) -> list[Finding]:
    return _apart([*first, *second])
