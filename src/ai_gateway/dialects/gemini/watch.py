"""Following a relayed stream: the bytes go through, the account is read off them."""

import msgspec

from ai_gateway.dialects.dialect import ProviderError
from ai_gateway.dialects.sse import BlockSplitter, parse_events
from ai_gateway.model.answer import StopReason
from ai_gateway.model.usage import Usage

from .answers import CALL_MARK
from .errors import failure_of
from .stops import stop_from_wire
from .usage import usage_from_wire
from .wire import decode_peeked_answer

_TELLING = (b'"finishReason"', b'"usageMetadata"', b'"promptFeedback"', b'"error"')
"""In a model's own text the quotes would be escaped; a look too many costs nothing else."""


class GeminiWatcher:
    """`Watcher` for Gemini. Usage comes with every event, as the sum so far; some models give a
    finishReason with every event too. So what may be the last is held back until it is known to be,
    and the account, which is written before it is handed on, is the whole call's."""

    next_number = 0

    __slots__ = (
        "_called",
        "_finished",
        "_held",
        "_splitter",
        "complete",
        "failure",
        "first_content",
        "stop",
        "usage",
    )

    def __init__(self, hide_usage: bool) -> None:
        self._splitter = BlockSplitter()
        self._called = False
        self._finished = False
        self._held = b""
        self.usage: Usage | None = None
        self.stop: StopReason | None = None
        self.complete = False
        self.failure: ProviderError | None = None
        self.first_content = False

    def feed(self, chunk: bytes) -> bytes:
        block = self._splitter.feed(chunk)
        if not block:
            return b""
        held, self._held = self._held, b""
        if self._look(block):
            self._held = block
            # True for whoever asks before more comes: what is held ends the answer, unless more does.
            self.complete = not held
            return held
        self.complete = self._finished
        return held + block

    def end(self) -> bytes:
        held, self._held = self._held, b""
        rest = self._splitter.rest()
        if rest.endswith((b"\n", b"\r")):
            self._look(rest + b"\n\n")
            held += rest
            rest = b""
        # Half an event more: what finished before it was not the last.
        self.complete = self._finished and not rest
        return held

    def _look(self, block: bytes) -> bool:
        """Whether the last of the block's events may end the answer."""
        if CALL_MARK in block:
            self._called = True
        ends = any(mark in block for mark in _TELLING) and self._read(block)
        if not self.first_content and b'"parts"' in block:
            self.first_content = True
        return ends

    def _read(self, block: bytes) -> bool:
        ends = False
        for event in parse_events(block):
            try:
                wire = decode_peeked_answer.decode(event.data)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            if wire.usage_metadata is not None:
                self.usage = usage_from_wire(wire.usage_metadata)
            if wire.error is not None:
                self.failure = failure_of(wire.error)
            ends = True
            if wire.candidates and wire.candidates[0].finish_reason is not None:
                reason = wire.candidates[0].finish_reason
                self.stop = stop_from_wire(reason, called=self._called)
            elif not wire.candidates and wire.prompt_feedback is not None:
                self.stop = "content_filter"
            else:
                ends = False
            self._finished |= ends
        return ends
