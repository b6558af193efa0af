"""Log lines for people who look on: the same fields as in JSON, the ones looked at first in front.

    12:10:52.123 info    call 200 /v1/chat/completions gpt-4o -> openai/gpt-4o 523.1 ms (own 0.4) 100+200 tokens $0.0035 user=anna ...

No colours. What callers choose is escaped as in JSON, so that a line stays one line and nothing in it steers
a terminal.
"""

import json
from collections.abc import Mapping
from typing import Any

_TIME = slice(11, 23)
_ALWAYS = frozenset({"time", "level", "event"})
_IN_FRONT = _ALWAYS | {
    "status", "endpoint", "requested_model", "provider", "model", "duration_ms", "overhead_ms",
    "first_token_ms", "input_tokens", "output_tokens", "cost_usd",
}  # fmt: skip


def text_line(fields: Mapping[str, Any]) -> bytes:
    """Of a line's fields as JSON would have them; those that are None are left out."""
    words = [fields["time"][_TIME], f"{fields['level']:<7}", _word(fields["event"])]
    shown = _ALWAYS
    if fields["event"] == "call":
        words += _front(fields)
        shown = _IN_FRONT
    for name, value in fields.items():
        if name not in shown and value is not None and value is not False:
            words.append(f"{name}={_word(value)}")
    return " ".join(words).encode() + b"\n"


def _front(fields: Mapping[str, Any]) -> list[str]:
    words = [str(fields["status"]), _word(fields["endpoint"])]
    if fields.get("requested_model") is not None:
        words.append(_word(fields["requested_model"]))
    if fields.get("provider") is not None:
        words.append(f"-> {_word(fields['provider'])}/{_word(fields['model'])}")
    first = fields.get("first_token_ms")
    inner = f"own {fields['overhead_ms']}" + ("" if first is None else f", first token {first}")
    words.append(f"{fields['duration_ms']} ms ({inner})")
    if fields.get("input_tokens") is not None:
        words.append(f"{fields['input_tokens']}+{fields['output_tokens']} tokens")
    if fields.get("cost_usd") is not None:
        words.append(f"${fields['cost_usd']}")
    return words


def _word(value: Any) -> str:
    """As it is where it is one word; else as JSON has it, in ASCII."""
    text = value if isinstance(value, str) else json.dumps(value)
    plain = text.isascii() and text.isprintable() and text and not set(text) & set(' "=')
    return text if plain or not isinstance(value, str) else json.dumps(value)
