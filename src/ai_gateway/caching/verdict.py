"""What a verifier is asked, and what its answer says."""

import msgspec
from msgspec import Struct

_QUESTION = (
    "Two users asked an assistant the questions below. Would one and the same answer serve both fully "
    "and correctly? A different number, name, place, time, language, scope or detail means no. "
    "Answer with one word, yes or no.\n\n<first>\n{one}\n</first>\n\n<second>\n{other}\n</second>"
)


class _Message(Struct):
    content: str | None = None


class _Choice(Struct):
    message: _Message


class _Answer(Struct):
    choices: list[_Choice]


_answer = msgspec.json.Decoder(_Answer).decode


def verification(model: str, one: str, other: str) -> bytes:
    """A chat completion that asks whether two questions want the same answer."""
    return msgspec.json.encode(
        {
            "model": model,
            "messages": [{"role": "user", "content": _QUESTION.format(one=one, other=other)}],
            "max_tokens": 16,
            "temperature": 0,
        }
    )


def verdict(answer: bytes) -> bool:
    """Raises OSError where it is neither yes nor no."""
    try:
        word = (_answer(answer).choices[0].message.content or "").strip().lower()
    except (msgspec.DecodeError, IndexError) as error:
        raise OSError(type(error).__name__) from None
    if not word.startswith(("yes", "no")):
        raise OSError("neither yes nor no")
    return word.startswith("yes")
