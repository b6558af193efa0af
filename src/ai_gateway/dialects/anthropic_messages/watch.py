"""Following a relayed stream: the bytes go through, the account is read off them."""

import msgspec

from ai_gateway.dialects.dialect import ProviderError
from ai_gateway.dialects.sse import BlockSplitter, parse_events
from ai_gateway.model.answer import StopReason
from ai_gateway.model.usage import Usage

from .errors import kind_of_type
from .stops import stop_from_wire
from .usage import usage_from_wire
from .wire import WireUsage, decode_event

_TELLING = (b"message_start", b"message_delta", b"message_stop", b"event: error", b"event:error")
"""Event names; in a model's own text they may appear too, which costs a look and nothing else."""


class MessagesWatcher:
    """`Watcher` for Messages. Usage is always part of the stream, so nothing is ever left out."""

    next_number = 0

    __slots__ = (
        "_splitter",
        "_usage",
        "complete",
        "failure",
        "first_content",
        "stop",
        "usage",
    )

    def __init__(self, hide_usage: bool) -> None:
        self._splitter = BlockSplitter()
        self._usage: WireUsage | None = None
        self.usage: Usage | None = None
        self.stop: StopReason | None = None
        self.complete = False
        self.failure: ProviderError | None = None
        self.first_content = False

    def feed(self, chunk: bytes) -> bytes:
        block = self._splitter.feed(chunk)
        if not block:
            return block
        for name in _TELLING:
            if name in block:
                self._read(block)
                break
        if not self.first_content and b"content_block_delta" in block:
            self.first_content = True
        return block

    def end(self) -> bytes:
        rest = self._splitter.rest()
        if not rest.endswith(b"\n"):
            return b""
        self._read(rest + b"\n\n")
        return rest

    def _read(self, block: bytes) -> None:
        for event in parse_events(block):
            if event.event in ("content_block_delta", "content_block_start", "ping"):
                continue
            try:
                wire = decode_event.decode(event.data)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            match wire.type:
                case "message_start" if wire.message is not None:
                    self._note(wire.message.usage)
                case "message_delta":
                    self._note(wire.usage)
                    if wire.delta is not None and wire.delta.stop_reason is not None:
                        self.stop = stop_from_wire(wire.delta.stop_reason)
                case "message_stop":
                    self.complete = True
                case "error" if wire.error is not None:
                    self.failure = ProviderError(
                        kind=kind_of_type(wire.error.type),
                        message=wire.error.message or "the stream broke off",
                        code=wire.error.type or None,
                    )
                case _:
                    pass

    def _note(self, usage: WireUsage | None) -> None:
        if usage is not None:
            self.usage = usage_from_wire(usage, self._usage)
            if self._usage is None:
                self._usage = usage
