"""AWS's binary event stream (application/vnd.amazon.eventstream): frames with headers and checksums.

Read by botocore, imported with the first such stream.
"""

from typing import Any, cast

from msgspec.json import encode

from ai_gateway.dialects.dialect import BadAnswer
from ai_gateway.dialects.sse import ServerSentEvent


class EventStreamFrames:
    """Bytes, cut anywhere -> events. Raises BadAnswer for a frame that fails its checksum."""

    __slots__ = ("_buffer", "_error")

    def __init__(self) -> None:
        from botocore.eventstream import (  # pyright: ignore[reportMissingTypeStubs]
            EventStreamBuffer,
            ParserError,
        )

        self._buffer: Any = EventStreamBuffer()
        self._error: type[Exception] = ParserError

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        self._buffer.add_data(chunk)
        try:
            return [_event(message) for message in self._buffer]
        except self._error as error:
            raise BadAnswer(f"a frame of the stream is broken: {type(error).__name__}") from None

    def end(self) -> list[ServerSentEvent]:
        return []


def _event(message: Any) -> ServerSentEvent:
    headers = cast(dict[str, Any], message.headers)
    kind = str(headers.get(":message-type", "event"))
    payload = cast(bytes, message.payload)
    if kind == "error":
        # An error that the service did not model is told in headers, with no payload.
        told = {"message": str(headers.get(":error-message", ""))}
        return ServerSentEvent(f"error:{headers.get(':error-code', 'error')}", encode(told))
    name = headers.get(":event-type") if kind == "event" else headers.get(":exception-type")
    return ServerSentEvent(f"{kind}:{name}", payload)
