"""How the simulator behaves: by option at its start, and by request header for one answer."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

ErrorKind = Literal[
    "400", "401", "403", "404", "429", "500", "502", "503", "529", "reset", "hang", "html", "truncated"
]  # fmt: skip


class SimulatorOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Header names are `x-simulator-` and the field's name with dashes."""

    first_token_ms: float = 0
    """Wait before the answer, or a stream's first event."""
    tokens_per_second: float = 0
    """Pace of a stream; 0: all at once."""
    answer_tokens: int = 0
    """Size of a filler answer; 0: a short natural one."""
    error_rate: float = 0
    """Share of calls that fail, 0 to 1, evenly spread: every n-th call."""
    error_kind: ErrorKind = "500"
    """How they fail: a status, or `reset`, `hang`, `html` under 200, `truncated` JSON."""
    cut_after_events: int = 0
    """A stream breaks off after so many events; 0: never."""
    cut_mid_event: bool = False
    """The break comes in the middle of an event."""
    stream_error_after: int = 0
    """A stream reports an error, as an event, after so many; 0: never."""
    retry_after: str | None = None
    """The header that goes with a failure."""
    chunk_bytes: int = 0
    """A stream is written in pieces of this size, whatever that cuts; 0: an event each."""
    omit_done: bool = False
    """A stream ends without its terminal event."""
    require_key: bool = False
    """Calls without any key are answered 401."""
    keep_calls: int = 0
    """`GET /simulator/calls` tells the account of the last so many: user, model, tokens in and out."""


class BadOption(Exception):
    """An option that is none; the message is fit for whoever set it."""


_NAMES = {
    b"x-simulator-" + name.replace("_", "-").encode(): name
    for name in SimulatorOptions.__struct_fields__
}


def with_headers(
    options: SimulatorOptions, headers: Iterable[tuple[bytes, bytes]]
) -> SimulatorOptions:
    """The options for one request. Raises BadOption."""
    given = {_NAMES[name]: value.decode("latin-1") for name, value in headers if name in _NAMES}
    return changed(options, given) if given else options


def changed(options: SimulatorOptions, given: Mapping[str, str]) -> SimulatorOptions:
    """Text values are read as the fields' types. Raises BadOption."""
    merged: dict[str, Any] = {**msgspec.structs.asdict(options), **given}
    try:
        found = msgspec.convert(merged, SimulatorOptions, strict=False)
    except msgspec.ValidationError as error:
        raise BadOption(f"simulator option: {error}") from None
    if not 0 <= found.error_rate <= 1:
        raise BadOption("simulator option: error_rate must be from 0 to 1")
    if min(found.first_token_ms, found.tokens_per_second, found.answer_tokens) < 0:
        raise BadOption("simulator option: numbers must not be negative")
    return found
