"""Following a relayed stream: the bytes go through, the account is read off them."""

import msgspec

from ai_gateway.dialects.dialect import ProviderError
from ai_gateway.dialects.sse import BlockSplitter, parse_events
from ai_gateway.model.answer import StopReason
from ai_gateway.model.errors import ErrorKind
from ai_gateway.model.usage import Usage

from .stops import stop_from_wire
from .usage import usage_from_wire
from .wire import PeekedChunk, WireErrorBody, decode_peeked_chunk

_TELLING = (
    b'"finish_reason":"',
    b'"finish_reason": "',
    b'"usage":{',
    b'"usage": {',
    b"[DONE]",
)
_FAILING = (
    b'"error":{',
    b'"error": {',
    b'"error":"',
    b'"error": "',
    b"event: error",
    b"event:error",
)
"""What marks an event worth reading; in a model's own text its quotes would be escaped, and a look
too many does no harm. Plain searches are several times faster than one regular expression."""
_OF_ALL_FAILING = b"error"
"""Seldom there, so that the others are seldom looked for."""


def _first_telling(block: bytes, at: int) -> int:
    """Where the first of them stands, from `at` on; -1 where none does."""
    found = [place for mark in _TELLING if (place := block.find(mark, at)) >= 0]
    if block.find(_OF_ALL_FAILING, at) >= 0:
        found += [place for mark in _FAILING if (place := block.find(mark, at)) >= 0]
    return min(found) if found else -1


class ChatWatcher:
    """`Watcher` for Chat. With `hide_usage` the one event that holds only usage is left out: the
    caller did not ask for it, the gateway did."""

    next_number = 0

    __slots__ = (
        "_hide_usage",
        "_splitter",
        "complete",
        "failure",
        "first_content",
        "stop",
        "usage",
    )

    def __init__(self, hide_usage: bool) -> None:
        self._hide_usage = hide_usage
        self._splitter = BlockSplitter()
        self.usage: Usage | None = None
        self.stop: StopReason | None = None
        self.complete = False
        self.failure: ProviderError | None = None
        self.first_content = False

    def feed(self, chunk: bytes) -> bytes:
        block = self._splitter.feed(chunk)
        if block and (told := _first_telling(block, 0)) >= 0:
            return self._read(block, told)
        if not self.first_content and b"data:" in block:
            self.first_content = True
        return block

    def end(self) -> bytes:
        rest = self._splitter.rest()
        if not rest.endswith(b"\n"):
            return b""
        # A last event without its blank line: common, and whole as far as it goes.
        return self._read(rest, 0)

    def _read(self, block: bytes, at: int) -> bytes:
        """Reads the telling events from `at` on, one by one; the others are not looked at."""
        self.first_content = True
        blank = b"\r\n\r\n" if b"\r\n\r\n" in block else b"\n\n"
        kept: list[bytes] = []
        done = 0
        while True:
            start = block.rfind(blank, done, at)
            start = done if start < 0 else start + len(blank)
            end = block.find(blank, at)
            end = len(block) if end < 0 else end + len(blank)
            # Line breaks of several kinds can leave events together: one to be shown shows all.
            shown = False
            for event in parse_events(block[start:end] + b"\n\n"):
                if event.data == b"[DONE]":
                    self.complete = shown = True
                else:
                    shown = self._note(event.data) or shown
            kept.append(block[done:end] if shown else block[done:start])
            done = end
            at = _first_telling(block, done)
            if at < 0:
                break
        kept.append(block[done:])
        return b"".join(kept)

    def _note(self, data: bytes) -> bool:
        """Reads one telling event; False where it holds nothing but usage nobody asked for."""
        try:
            chunk = decode_peeked_chunk.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return True
        usage = chunk.usage or (chunk.x_groq.usage if chunk.x_groq is not None else None)
        if usage is not None:
            self.usage = usage_from_wire(usage)
        if chunk.error is not None:
            self.failure = failure_of(chunk)
        reasons = [c.finish_reason for c in chunk.choices if c.finish_reason is not None]
        if reasons:
            self.stop = stop_from_wire(reasons[0])
            self.complete = True
        only_usage = chunk.usage is not None and not chunk.choices and chunk.error is None
        return not (self._hide_usage and only_usage)


def failure_of(chunk: PeekedChunk) -> ProviderError:
    """An `error` inside a stream that began with status 200 (OpenRouter, Groq and others)."""
    error = chunk.error
    if not isinstance(error, WireErrorBody):
        return ProviderError(kind="upstream", message=error or "the stream broke off")
    return ProviderError(
        kind=_kind(error),
        message=error.message or "the stream broke off",
        code=None if error.code is None else str(error.code),
    )


def _kind(error: WireErrorBody) -> ErrorKind:
    code = str(error.code or error.type or "")
    if code in ("429", "rate_limit_exceeded"):
        return "rate_limited"
    if code in ("529", "overloaded", "overloaded_error"):
        return "overloaded"
    return "upstream"
