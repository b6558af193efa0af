"""Following a relayed stream: the bytes go through, the account is read off them."""

import re

import msgspec

from ai_gateway.dialects.dialect import ProviderError
from ai_gateway.dialects.sse import BlockSplitter, parse_events
from ai_gateway.model.answer import StopReason
from ai_gateway.model.usage import Usage

from .errors import kind_of_code
from .stops import stop_from_wire
from .usage import usage_from_wire
from .wire import PeekedResponse, WireErrorBody, decode_event, decode_peeked_event

_TELLING = (
    b'"response.completed"',
    b'"response.incomplete"',
    b'"response.failed"',
    b'"response.cancelled"',
    b'"type":"error"',
    b'"type": "error"',
)
"""In a model's own text the quotes would be escaped; a look too many costs nothing else."""
_NUMBER = re.compile(rb'"sequence_number" ?: ?(\d{1,9})')
_CONTENT = (b"_text.delta", b"arguments.delta", b"refusal.delta")


class ResponsesWatcher:
    """`Watcher` for Responses. Usage is always part of the stream, so nothing is ever left out."""

    __slots__ = ("_last", "_splitter", "complete", "failure", "first_content", "stop", "usage")

    def __init__(self, hide_usage: bool) -> None:
        self._splitter = BlockSplitter()
        self._last = b""
        """What was handed on last: the events tell their numbers."""
        self.usage: Usage | None = None
        self.stop: StopReason | None = None
        self.complete = False
        self.failure: ProviderError | None = None
        self.first_content = False

    def feed(self, chunk: bytes) -> bytes:
        block = self._splitter.feed(chunk)
        if not block:
            return block
        self._last = block
        if any(mark in block for mark in _TELLING):
            self._read(block)
        if not self.first_content and any(mark in block for mark in _CONTENT):
            self.first_content = True
        return block

    @property
    def next_number(self) -> int:
        numbers = _NUMBER.findall(self._last)
        return int(numbers[-1]) + 1 if numbers else 0

    def end(self) -> bytes:
        rest = self._splitter.rest()
        if not rest.endswith(b"\n"):
            return b""
        self._read(rest + b"\n\n")
        return rest

    def _read(self, block: bytes) -> None:
        for event in parse_events(block):
            if not any(mark in event.data for mark in _TELLING):
                continue
            try:
                wire = decode_peeked_event.decode(event.data)
                match wire.type:
                    case "response.completed" | "response.incomplete" | "response.cancelled":
                        self.complete = True
                        self._note(wire.response)
                    case "response.failed":
                        self._note(wire.response)
                        whole = decode_event.decode(event.data).response
                        self._fail(None if whole is None else whole.error)
                    case "error":
                        own = WireErrorBody(code=wire.code, message=wire.message)
                        self._fail(wire.error or own)
                    case _:
                        pass
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue

    def _note(self, response: PeekedResponse | None) -> None:
        if response is None:
            return
        if response.usage is not None:
            self.usage = usage_from_wire(response.usage)
        details = response.incomplete_details
        called = any(item.type == "function_call" for item in response.output)
        reason = None if details is None else details.reason
        self.stop = stop_from_wire(response.status, reason, called=called)

    def _fail(self, error: WireErrorBody | None) -> None:
        error = error or WireErrorBody()
        self.failure = ProviderError(
            kind=kind_of_code(error.code),
            message=error.message or "the stream broke off",
            code=None if error.code is None else str(error.code),
        )
