"""Guards by the shapes of personal data, and the placeholders that stand for what was found."""

import re
from collections.abc import Iterable, Sequence

from ai_gateway.personal_data import SHAPES, Entity

from .guard import Finding, Passage

ENTITIES = tuple(SHAPES)


class PersonalDataGuard:
    """Finds; `Vault` gives the placeholders, since they must be the same throughout one call."""

    def __init__(self, entities: Iterable[Entity]) -> None:
        self._shapes = [(entity, *SHAPES[entity]) for entity in entities]

    def inspect(self, passage: Passage) -> Sequence[Finding]:
        found: list[Finding] = []
        taken: list[tuple[int, int]] = []
        for entity, pattern, holds in self._shapes:
            for match in pattern.finditer(passage.text):
                start, end = match.span()
                if not holds(match[0]) or any(start < e and s < end for s, e in taken):
                    continue
                taken.append((start, end))
                found.append(Finding(start, end, entity, f"[{entity.upper()}]"))
        return found


class Vault:
    """The values that placeholders stand for, in one call; gone with it."""

    __slots__ = ("_by_placeholder", "_by_value", "_counts")

    def __init__(self) -> None:
        self._by_value: dict[str, str] = {}
        self._by_placeholder: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def placeholder(self, entity: str, value: str, *, restores: bool) -> str:
        known = self._by_value.get(value)
        if known is not None:
            return known
        count = self._counts[entity] = self._counts.get(entity, 0) + 1
        placeholder = f"[{entity.upper()}_{count}]"
        self._by_value[value] = placeholder
        if restores:
            self._by_placeholder[placeholder] = value
        return placeholder

    def __bool__(self) -> bool:
        """There is something to restore."""
        return bool(self._by_placeholder)

    def restorations(self, text: str) -> list[Finding]:
        return [
            Finding(match.start(), match.end(), "restored", self._by_placeholder[match[0]])
            for match in _PLACEHOLDER.finditer(text)
            if match[0] in self._by_placeholder
        ]


_PLACEHOLDER = re.compile(r"\[[A-Z_]{2,16}_\d{1,6}\]")
