"""What a provider sent is not what its dialect promises."""


class BadAnswer(Exception):
    """A provider's answer that is not what its dialect promises. The message holds no content of it."""


def require_text(data: bytes) -> None:
    """Whole characters of UTF-8, without which no caller can read JSON. Raises BadAnswer."""
    if not data.isascii():
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            raise BadAnswer("the answer is not UTF-8") from None
