"""What a provider advises about asking again: `retry-after` in its forms, and what is left of a quota."""

import re
from collections.abc import Callable
from datetime import datetime
from email.utils import parsedate_to_datetime

Header = Callable[[bytes], str | None]

_SPAN = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?")


def retry_after(header: Header, now: float) -> float | None:
    """Seconds from `now` (Unix seconds), never below 0; None where nothing sensible is said.

    RFC 9110, section 10.2.3: seconds or a date; OpenAI also sends `retry-after-ms`.
    """
    milliseconds = header(b"retry-after-ms")
    if milliseconds is not None and (number := _number(milliseconds)) is not None:
        return number / 1000
    text = header(b"retry-after")
    if text is None:
        return None
    number = _number(text)
    if number is not None:
        return number
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def until_refill(header: Header, clock: Callable[[], float]) -> float | None:
    """Seconds for which nothing is left, where the provider says that the quota of this model is used
    up; None where something is left or nothing is said. `clock` tells Unix seconds."""
    longest: float | None = None
    for remaining, reset in _QUOTA_HEADERS:
        left = header(remaining)
        if left is not None and left.strip() == "0":
            wait = _span(header(reset), clock())
            if wait is not None:
                longest = wait if longest is None else max(longest, wait)
    return longest


_QUOTA_HEADERS = (
    (b"x-ratelimit-remaining-requests", b"x-ratelimit-reset-requests"),
    (b"x-ratelimit-remaining-tokens", b"x-ratelimit-reset-tokens"),
    (b"anthropic-ratelimit-requests-remaining", b"anthropic-ratelimit-requests-reset"),
    (b"anthropic-ratelimit-tokens-remaining", b"anthropic-ratelimit-tokens-reset"),
)


def _span(text: str | None, now: float) -> float | None:
    """`6m0s`, `20ms`, `1.5` (OpenAI and its followers) or an RFC 3339 date (Anthropic), as seconds."""
    if not text:
        return None
    number = _number(text)
    if number is not None:
        return number
    found = _SPAN.fullmatch(text.strip())
    if found is not None and any(found.groups()):
        days, hours, minutes, seconds, milliseconds = (float(g or 0) for g in found.groups())
        return days * 86400 + hours * 3600 + minutes * 60 + seconds + milliseconds / 1000
    try:
        return max(0.0, datetime.fromisoformat(text).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return max(0.0, number) if number == number else None
