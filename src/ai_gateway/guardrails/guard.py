"""What a guard is: it reads a text and says what it found where. What follows is not its business.

This is the protocol of plugins too. A package offers a factory under the entry point group
`ai_gateway.guardrails`; it is called once with the options of `gateway.yaml` and gives a `Guard`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

from msgspec import Struct

Role = Literal["system", "user", "assistant", "tool"]


class Passage(Struct, frozen=True):
    """One text of a call: a message, a part of one, a tool's result, an answer."""

    text: str
    role: Role


class Finding(Struct, frozen=True):
    """`text[start:end]` is what it is about. `replacement` stands in for it where the guardrail's
    action is `redact`; None where nothing can."""

    start: int
    end: int
    label: str
    """What was found, in a word (`email`, `denied`): shown to the caller, so never the text."""
    replacement: str | None = None


class Guard(Protocol):
    def inspect(self, passage: Passage) -> "Awaitable[Sequence[Finding]] | Sequence[Finding]":
        """May answer at once or be awaited. Must not change what it is given."""
        ...


PluginFactory = Callable[[Mapping[str, Any]], Guard]

OVERLAP = 128
"""Characters of a stream that are held back, since what they begin may end in the next piece.
A guard finds nothing longer than this that spans two pieces."""
