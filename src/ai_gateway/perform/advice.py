"""When a provider advises to ask again: `retry-after` in its forms."""

from collections.abc import Callable
from email.utils import parsedate_to_datetime

Header = Callable[[bytes], str | None]


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


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return max(0.0, number) if number == number else None
