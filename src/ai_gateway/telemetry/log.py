"""Log lines on standard output, one a call, written off the path in batches: JSON, or text for people
who look on (`text_lines`). At level debug every attempt at a provider has a line too.

A line holds ids, names, numbers and outcomes; never a body, a prompt or a key. What is not printable is
escaped, so a line stays one line, and harmless in a terminal, whatever callers put into names.
"""

import asyncio
import fcntl
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from random import random
from time import monotonic, time
from typing import Any, Literal

import msgspec
from msgspec import Struct

from ai_gateway.courier import Courier, Loss
from ai_gateway.model.attempts import attempts_trace
from ai_gateway.model.call import Outcome

from .text_lines import text_line

Level = Literal["debug", "info", "warning", "error"]
_RANK: dict[str, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_DEBUG, _INFO, _WARNING = _RANK["debug"], _RANK["info"], _RANK["warning"]
_MOST_HELD = 100_000
_BATCH = 2_000
_FLUSH_SECONDS = 0.1
_LONGEST_NAME = 256
_STRANGERS_A_SECOND = 20
"""Lines for calls whose key is not known: whoever guesses keys must not fill the disk."""
_CLOSING_SECONDS = 2.0


class CallLine(Struct, omit_defaults=True):
    """The fields of a call's line; what is as by default is left out."""

    time: str
    level: str
    event: str
    request_id: str
    call_id: str
    endpoint: str
    status: int
    duration_ms: float
    overhead_ms: float
    tenant: str | None = None
    user: str | None = None
    key_id: str | None = None
    requested_model: str = ""
    route: str | None = None
    provider: str | None = None
    model: str | None = None
    answered_model: str | None = None
    stream: bool = False
    attempts: int = 0
    attempts_trace: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int = 0
    cost_usd: str | None = None
    cache: str | None = None
    saved_usd: str | None = None
    first_token_ms: float | None = None
    stop: str | None = None
    error: str | None = None
    error_detail: str | None = None
    notes: tuple[str, ...] = ()
    guardrails: list[str] = []
    upstream_request_id: str | None = None
    trace_id: str | None = None


class AttemptLine(Struct, omit_defaults=True):
    """The fields of an attempt's line."""

    time: str
    level: str
    event: str
    request_id: str
    call_id: str
    number: int
    """From 1."""
    provider: str
    model: str
    status: int
    duration_ms: float
    credential: int
    """Which of the provider's, by its place."""
    error: str | None = None


class Log:
    """Collects lines and writes them on a thread of its own. Past `_MOST_HELD` lines it drops and counts."""

    def __init__(
        self,
        level: Level,
        dropped: Callable[[], None],
        *,
        descriptor: int = 1,
        lock: Path | None = None,
        sample: float = 1.0,
        sampled_out: Callable[[], None] = lambda: None,
        text: bool = False,
    ) -> None:
        """`lock`: a file that keeps workers' lines apart where they share an output. `sample`: the part
        of good calls that get a line; `sampled_out` counts the others, and those of many strangers.
        `text`: for people, instead of JSON."""
        self._sample = sample
        self._sampled_out = sampled_out
        self._lock = None if lock is None else os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        self._rank = _RANK[level]
        self._dropped = dropped
        self._descriptor = descriptor
        self._courier = Courier(
            "log", self._write, most=_MOST_HELD, batch=_BATCH, every=_FLUSH_SECONDS, lost=self._lost
        )
        self._clock = _Clock()
        self._encode: Callable[[Any], bytes] = _text if text else _json
        self.listener: Callable[[str, Mapping[str, str | int | float | bool | None]], None] | None
        self.listener = None
        """Hears of every event, whatever the level that is written."""
        self._second = 0
        self._strangers = 0

    @property
    def waiting(self) -> int:
        """Lines that are not written yet."""
        return self._courier.waiting

    def call(self, outcome: Outcome) -> None:
        """The line of a settled call: `info`, or `warning` where it failed."""
        error = outcome.error
        if error is None:
            if self._rank > _INFO:
                return
            if self._sample < 1.0 and random() >= self._sample:
                self._sampled_out()
                return
        else:
            if self._rank > _WARNING:
                return
            if error == "authentication" and self._are_many():
                self._sampled_out()
                return
        if self._rank <= _DEBUG:
            self._attempts(outcome)
        caller, target, usage = outcome.caller, outcome.target, outcome.usage
        request, trace, attempts = outcome.request, outcome.trace, len(outcome.attempts)
        known = outcome.usage_known
        total = outcome.total_seconds
        first_token = outcome.first_token_seconds
        answered = outcome.answered_model
        # By place: msgspec looks for each name among all fields, which with so many takes longer than
        # everything else here.
        line = CallLine(
            self._clock.now(),
            "info" if error is None else "warning",
            "call",
            request.id,
            outcome.call_id,
            request.endpoint,
            outcome.status,
            round(total * 1000, 3),
            round((total - outcome.upstream_seconds) * 1000, 3),
            caller.tenant if caller else None,
            caller.user[:_LONGEST_NAME] if caller else None,
            caller.key_id if caller else None,
            outcome.requested_model[:_LONGEST_NAME],
            outcome.route,
            target.provider if target else None,
            target.model[:_LONGEST_NAME] if target else None,
            answered[:_LONGEST_NAME] if answered else None,
            outcome.stream,
            attempts,
            attempts_trace(outcome.attempts) if attempts > 1 else None,
            usage.input_tokens if known else None,
            usage.output_tokens if known else None,
            usage.cache_read_tokens,
            None if outcome.cost is None else f"{outcome.cost:f}",
            outcome.cache,
            None if outcome.saved is None else f"{outcome.saved:f}",
            None if first_token is None else round(first_token * 1000, 3),
            outcome.stop,
            error,
            outcome.error_detail,
            outcome.notes,
            outcome.guardrails,
            outcome.upstream_request_id,
            None if trace is None else f"{trace.trace_id:032x}",
        )
        self._courier.put(self._encode(line))

    def event(self, level: Level, event: str, **fields: str | int | float | bool | None) -> None:
        """Anything else worth a line: starting, draining, degrading, a fault of the gateway's own."""
        if self.listener is not None:
            self.listener(event, fields)
        if _RANK[level] >= self._rank:
            self._add({"time": self._clock.now(), "level": level, "event": event, **fields})

    def start(self) -> None:
        self._courier.start()

    async def close(self) -> None:
        """Writes what is held, in the time for it: where nobody reads standard output, it is dropped."""
        await asyncio.to_thread(self._courier.close, _CLOSING_SECONDS)

    def _are_many(self) -> bool:
        """Whether this second has had its lines of strangers."""
        second = int(monotonic())
        if second != self._second:
            self._second, self._strangers = second, 0
        self._strangers += 1
        return self._strangers > _STRANGERS_A_SECOND

    def _add(self, line: object) -> None:
        self._courier.put(self._encode(line))

    def _lost(self, loss: Loss, lines: int) -> None:
        for _ in range(lines):
            self._dropped()

    def _attempts(self, outcome: Outcome) -> None:
        for number, attempt in enumerate(outcome.attempts, 1):
            self._add(
                AttemptLine(
                    time=self._clock.now(),
                    level="debug",
                    event="attempt",
                    request_id=outcome.request.id,
                    call_id=outcome.call_id,
                    number=number,
                    provider=attempt.target.provider,
                    model=attempt.target.model[:_LONGEST_NAME],
                    status=attempt.status,
                    duration_ms=round(attempt.seconds * 1000, 3),
                    credential=attempt.credential,
                    error=attempt.error,
                )
            )

    def _write(self, lines: list[bytes]) -> None:
        """On the courier's thread, which may wait here for as long as nobody reads."""
        data = b"".join(lines)
        view = memoryview(data)
        try:
            if self._lock is not None:
                fcntl.lockf(self._lock, fcntl.LOCK_EX)
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            # Nobody reads standard output any more: the lines are lost, and counted.
            for _ in range(bytes(view).count(b"\n")):
                self._dropped()
        finally:
            if self._lock is not None:
                fcntl.lockf(self._lock, fcntl.LOCK_UN)


_encode = msgspec.json.Encoder().encode


def _json(line: Any) -> bytes:
    encoded = _encode(line)
    if not encoded.isascii() or b"\x7f" in encoded:
        encoded = _printable(encoded)
    return encoded + b"\n"


def _text(line: Any) -> bytes:
    return text_line(msgspec.to_builtins(line))


def _printable(line: bytes) -> bytes:
    """JSON leaves some characters as they are that move a terminal's cursor, turn letters round or end
    a line for some readers; here they are escaped, which means the same."""
    text = line.decode("utf-8", "replace")
    if text.isprintable():
        return line
    return "".join(c if c.isprintable() else _escaped(c) for c in text).encode()


def _escaped(character: str) -> str:
    pairs = character.encode("utf-16-be").hex()
    return "".join(f"\\u{pairs[i : i + 4]}" for i in range(0, len(pairs), 4))


class _Clock:
    """The time as RFC 3339 text; the part down to the second is made once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = ""

    def now(self) -> str:
        at = time()
        second = int(at)
        if second != self._second:
            self._second = second
            self._text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._text}.{int((at - second) * 1000):03d}Z"
