"""What a model answered: whole (`Answer`) or as it comes (`Event`s), in no dialect."""

from typing import Literal

from msgspec import Struct

from .content import Part
from .errors import ErrorKind
from .usage import NO_USAGE, Usage

StopReason = Literal[
    "stop",  # the model was done
    "stop_sequence",  # one of the caller's stop strings came up
    "length",  # the output limit was reached
    "context_window",  # the context window was full
    "tool_calls",  # it wants tools called
    "refusal",  # the model or its provider declined
    "content_filter",  # a filter cut the answer
    "pause",  # a long server-side turn paused; send it back to go on
    "error",  # the provider gave up on the answer
]


class Answer(Struct, frozen=True, kw_only=True):
    id: str
    model: str
    """As the provider names it."""
    created: int = 0
    """Unix seconds; 0 where the dialect carries none."""
    parts: tuple[Part, ...] = ()
    stop: StopReason = "stop"
    stop_sequence: str | None = None
    usage: Usage = NO_USAGE


class Start(Struct, frozen=True, kw_only=True):
    """Opens a stream; comes exactly once, first."""

    id: str
    model: str
    created: int = 0
    usage: Usage | None = None
    """Input usage where the dialect tells it at the start (Anthropic)."""


class PartStart(Struct, frozen=True, kw_only=True):
    """Part number `index` (0, 1, ...) begins. `part` holds what is known so far; its text, thinking
    or arguments may be empty and grow by `Delta`s. Parts may interleave (parallel tool calls in
    Chat); an encoder that must not interleave keeps the later ones back."""

    index: int
    part: Part


class Delta(Struct, frozen=True, kw_only=True):
    """More of part `index`: text, thinking, refusal, or a tool call's arguments (JSON text)."""

    index: int
    text: str


class Signature(Struct, frozen=True, kw_only=True):
    """The signature of thinking part `index`."""

    index: int
    signature: str


class PartEnd(Struct, frozen=True, kw_only=True):
    index: int


class Finish(Struct, frozen=True, kw_only=True):
    """Closes a good stream; comes once, last, after every part has ended. `usage` is the whole call's."""

    stop: StopReason
    stop_sequence: str | None = None
    usage: Usage | None = None


class Failure(Struct, frozen=True, kw_only=True):
    """The provider reported an error inside the stream. Nothing follows."""

    kind: ErrorKind
    message: str
    code: str | None = None
    usage: Usage | None = None


Event = Start | PartStart | Delta | Signature | PartEnd | Finish | Failure
