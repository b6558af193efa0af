"""Following a relayed stream: the bytes go through, the account is read off them."""

import re

import msgspec

from ai_gateway.dialects.dialect import ProviderError
from ai_gateway.dialects.sse import BlockSplitter, parse_events
from ai_gateway.model.answer import StopReason
from ai_gateway.model.errors import ErrorKind
from ai_gateway.model.usage import Usage

from .stops import stop_from_wire
from .usage import usage_from_wire
from .wire import PeekedChunk, WireErrorBody, decode_peeked_chunk

_TELLING = re.compile(
    rb'"usage":\s*\{|"finish_reason":\s*"|"error":\s*[{"]|^event:\s*error', re.MULTILINE
)
"""What marks an event worth decoding. In a model's own text these quotes would be escaped."""
_BORDER = re.compile(rb"(?<=\n\n)|(?<=\n\r\n)")


class ChatWatcher:
    """`Watcher` for Chat. With `hide_usage` the one event that holds only usage is left out: the
    caller did not ask for it, the gateway did."""

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
        if block and (_TELLING.search(block) or b"[DONE]" in block):
            return self._read(block)
        if not self.first_content and b"data:" in block:
            self.first_content = True
        return block

    def end(self) -> bytes:
        rest = self._splitter.rest()
        if not rest.endswith(b"\n"):
            return b""
        # A last event without its blank line: common, and whole as far as it goes.
        return self._read(rest)

    def _read(self, block: bytes) -> bytes:
        self.first_content = True
        kept: list[bytes] = []
        for piece in _BORDER.split(block):
            shown = True
            for event in parse_events(piece + b"\n\n"):
                if event.data == b"[DONE]":
                    self.complete = True
                elif _TELLING.search(event.data) or event.event == "error":
                    shown = self._note(event.data) and shown
            if shown:
                kept.append(piece)
        return b"".join(kept) if self._hide_usage else block

    def _note(self, data: bytes) -> bool:
        """Reads one telling event; False where it holds nothing but usage."""
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
        return bool(chunk.choices) or chunk.usage is None or chunk.error is not None


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
