"""Taking out of a body what must not be kept, before anything is kept.

A JSON body is changed value by value, so that it stays JSON and no escape hides anything. One that
cannot be read is searched as text; where fields are to be redacted that is not enough, and the body goes.
"""

import re
from fnmatch import translate
from typing import Any

import msgspec

from ai_gateway.model.audit import Redaction
from ai_gateway.personal_data import HINTS, SHAPES

REDACTED = "[REDACTED]"
_DEEPEST = 200


class Redactor:
    """Raises re.error for a pattern that is none."""

    def __init__(self, rules: Redaction) -> None:
        names = "|".join(translate(name) for name in rules.fields)
        self._fields = re.compile(names, re.IGNORECASE) if names else None
        self._patterns = [
            (f"pattern {number}", re.compile(pattern))
            for number, pattern in enumerate(rules.patterns, 1)
        ]
        self._shapes = [
            (entity, *SHAPES[entity], HINTS.get(entity, ("",))) for entity in rules.personal_data
        ]
        self._nothing = self._fields is None and not self._patterns and not self._shapes

    def redact(self, body: bytes, counts: dict[str, int]) -> str:
        """The body as text without what the rules name; adds to `counts` by rule."""
        text = body.decode("utf-8", "replace")
        if self._nothing:
            return text
        if self._fields is None and not self._suspicious(body, text):
            return text
        try:
            value = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if self._fields is not None:
                counts["unreadable"] = counts.get("unreadable", 0) + 1
                return REDACTED
            return self._text(text, counts)
        before = sum(counts.values())
        changed = self._value(value, counts, 0)
        if sum(counts.values()) == before:
            return text
        return msgspec.json.encode(changed).decode()

    def _suspicious(self, body: bytes, text: str) -> bool:
        """Whether the body needs taking apart: something is found in it, or an escape may hide it."""
        return b"\\" in body or self._found(text)

    def _found(self, text: str) -> bool:
        if any(pattern.search(text) for _, pattern in self._patterns):
            return True
        return any(
            holds(found[0])
            for _, pattern, holds, hints in self._shapes
            if _hinted(text, hints)
            for found in pattern.finditer(text)
        )

    def _value(self, value: Any, counts: dict[str, int], depth: int) -> Any:
        if depth > _DEEPEST:
            counts["too deep"] = counts.get("too deep", 0) + 1
            return REDACTED
        match value:
            case str():
                return self._text(value, counts)
            case dict():
                members: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
                return {
                    self._text(name, counts): self._member(name, inner, counts, depth)
                    for name, inner in members.items()
                }
            case list():
                items: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
                return [self._value(inner, counts, depth + 1) for inner in items]
            case int() | float() if not isinstance(value, bool):
                text = repr(value)
                found = self._text(text, counts)
                return value if found == text else found
            case _:
                return value

    def _member(self, name: str, inner: Any, counts: dict[str, int], depth: int) -> Any:
        if self._fields is not None and self._fields.match(name):
            counts["fields"] = counts.get("fields", 0) + 1
            return REDACTED
        return self._value(inner, counts, depth + 1)

    def _text(self, text: str, counts: dict[str, int]) -> str:
        for rule, pattern in self._patterns:
            text, count = pattern.subn(REDACTED, text)
            if count:
                counts[rule] = counts.get(rule, 0) + count
        for entity, pattern, holds, hints in self._shapes:
            if not _hinted(text, hints):
                continue

            def replaced(found: re.Match[str], entity: str = entity, holds: Any = holds) -> str:
                if not holds(found[0]):
                    return found[0]
                counts[entity] = counts.get(entity, 0) + 1
                return f"[{entity.upper()}]"

            text = pattern.sub(replaced, text)
        return text


def _hinted(text: str, hints: tuple[str, ...]) -> bool:
    return any(map(text.__contains__, hints))
