"""What a provider's rate-limit headers say of a credential: what is left, and when it is whole again."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from math import isfinite
from typing import Literal

from msgspec import Struct

Unit = Literal["requests", "tokens", "input_tokens", "output_tokens"]

_SPAN = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?")
_LONGEST_NUMBER = 18


class Quota(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One limit of a provider's, as it last told it."""

    unit: Unit
    remaining: int
    limit: int | None = None
    resets_in: float | None = None
    """Seconds until all of it is there again, by what was told; 0 where that is past."""


def _anthropic(unit: str) -> tuple[bytes, bytes, bytes]:
    names = (f"anthropic-ratelimit-{unit}-{what}" for what in ("remaining", "limit", "reset"))
    remaining, limit, reset = (name.encode() for name in names)
    return remaining, limit, reset


def _openai(unit: str) -> tuple[bytes, bytes, bytes]:
    """Its followers' too: Azure, Groq, Together, ..."""
    names = (f"x-ratelimit-{what}-{unit}" for what in ("remaining", "limit", "reset"))
    remaining, limit, reset = (name.encode() for name in names)
    return remaining, limit, reset


_HEADERS: tuple[tuple[Unit, tuple[bytes, bytes, bytes]], ...] = (
    ("requests", _openai("requests")),
    ("tokens", _openai("tokens")),
    ("requests", _anthropic("requests")),
    ("tokens", _anthropic("tokens")),
    ("input_tokens", _anthropic("input-tokens")),
    ("output_tokens", _anthropic("output-tokens")),
)
"""(remaining, limit, reset): platform.openai.com/docs/guides/rate-limits, docs.anthropic.com/en/api/rate-limits."""
_ENDS = tuple((names[0], names[2]) for _, names in _HEADERS)


def tells_quota(headers: Mapping[bytes, bytes]) -> bool:
    return (
        b"x-ratelimit-remaining-requests" in headers
        or b"anthropic-ratelimit-requests-remaining" in headers
        or b"x-ratelimit-remaining-tokens" in headers
        or b"anthropic-ratelimit-tokens-remaining" in headers
    )


def until_refill(headers: Mapping[bytes, bytes], clock: Callable[[], float]) -> float | None:
    """Seconds for which nothing is left, where the provider says that a quota of this model is used
    up; None where something is left or nothing is said. `clock` tells Unix seconds."""
    longest: float | None = None
    for remaining, reset in _ENDS:
        left = headers.get(remaining)
        if left is not None and left.strip() == b"0":
            wait = _span(headers.get(reset), clock())
            if wait is not None:
                longest = wait if longest is None else max(longest, wait)
    return longest


def quotas_told(headers: Mapping[bytes, bytes], told_at: float, now: float) -> list[Quota]:
    """What they said, as it stands by now; in Unix seconds. What cannot be read is left out."""
    found: list[Quota] = []
    for unit, (remaining, limit, reset) in _HEADERS:
        left = _count(headers.get(remaining))
        if left is None:
            continue
        span = _span(headers.get(reset), told_at)
        found.append(
            Quota(
                unit=unit,
                remaining=left,
                limit=_count(headers.get(limit)),
                resets_in=None if span is None else round(max(0.0, told_at + span - now), 3),
            )
        )
    return found


def _span(text: bytes | None, now: float) -> float | None:
    """`6m0s`, `20ms`, `1.5` (OpenAI and its followers) or an RFC 3339 date (Anthropic), as seconds."""
    if not text:
        return None
    words = text.decode("latin-1").strip()
    try:
        number = float(words)
    except ValueError:
        pass
    else:
        return max(0.0, number) if isfinite(number) else None
    found = _SPAN.fullmatch(words)
    if found is not None and any(found.groups()):
        days, hours, minutes, seconds, milliseconds = (float(g or 0) for g in found.groups())
        return days * 86400 + hours * 3600 + minutes * 60 + seconds + milliseconds / 1000
    try:
        return max(0.0, datetime.fromisoformat(words).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _count(text: bytes | None) -> int | None:
    if text is None:
        return None
    words = text.strip()
    return int(words) if words.isdigit() and len(words) <= _LONGEST_NUMBER else None
