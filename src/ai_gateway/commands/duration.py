"""Durations as people write them."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def seconds(text: str) -> float:
    """`90d`, `12h`, `30m`, `45s`, `2w`; a bare number is seconds. Raises ValueError."""
    number, unit = (text[:-1], text[-1:]) if text[-1:] in _UNITS else (text, "s")
    value = float(number) * _UNITS[unit]
    if not 0 <= value < 3.2e9:
        raise ValueError("out of range")
    return value
