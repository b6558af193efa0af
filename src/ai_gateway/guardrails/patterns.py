"""Guards by regular expression: deny lists, and the phrases of prompt injection."""

import re
from collections.abc import Sequence

from ai_gateway.model.guardrail import DenyPatterns

from .guard import Finding, Passage


class DenyGuard:
    def __init__(self, spec: DenyPatterns) -> None:
        """Raises re.error for a pattern that is none."""
        parts = [f"(?:{pattern})" for pattern in spec.patterns]
        for pattern in spec.patterns:
            re.compile(pattern)
        if spec.words:
            words = "|".join(re.escape(word) for word in spec.words)
            parts.append(rf"(?i:(?<!\w)(?:{words})(?!\w))")
        self._pattern = re.compile("|".join(parts)) if parts else None
        self._replacement = spec.replacement

    def inspect(self, passage: Passage) -> Sequence[Finding]:
        if self._pattern is None:
            return ()
        return [
            Finding(found.start(), found.end(), "denied", self._replacement)
            for found in self._pattern.finditer(passage.text)
            if found.end() > found.start()
        ]


_INJECTION = re.compile(
    r"""(?ix)
    \b(?:ignore|disregard|forget|override|bypass)\s+(?:\w+\s+){0,3}?
        (?:previous|prior|above|earlier|preceding|foregoing|system|original|safety)\s+(?:\w+\s+){0,2}?
        (?:instruction|prompt|rule|direction|guideline|message|context|command)s?\b
    | \b(?:reveal|print|show|repeat|output|leak|display)\s+(?:\w+\s+){0,3}?
        (?:system|hidden|initial|secret|original)\s+(?:prompt|instruction|message)s?\b
    | \byou\s+are\s+(?:now\s+)?(?:in\s+)?(?:DAN|developer\s+mode|jailbroken|unrestricted|no\s+longer\s+bound)\b
    | \b(?:pretend|act)\s+(?:that\s+)?(?:you\s+(?:have|had)|as\s+if\s+you\s+(?:have|had))\s+no\s+
        (?:restrictions|rules|guidelines|limits|filters)\b
    | <\|(?:im_start|im_end|system|endoftext)\|>
    | \[/?(?:INST|SYS)\]
    | ^\s*\#{2,}\s*(?:system|new\s+instructions?)\s*:
    """
)


class InjectionGuard:
    """Reads what users and tools say; a system prompt is the operator's own."""

    def inspect(self, passage: Passage) -> Sequence[Finding]:
        if passage.role not in ("user", "tool"):
            return ()
        return [
            Finding(found.start(), found.end(), "prompt_injection", "[REMOVED]")
            for found in _INJECTION.finditer(passage.text)
        ]
