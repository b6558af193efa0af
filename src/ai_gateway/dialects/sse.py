"""Server-sent events, as the WHATWG HTML standard parses them (section 9.2.6), sans-io.

Fed bytes cut anywhere, the decoder yields the same events as for one piece.
"""

from msgspec import Struct

from .bad_answer import BadAnswer, require_text

MAX_EVENT_BYTES = 32 * 1024 * 1024


class ServerSentEvent(Struct, frozen=True):
    event: str
    """`message` where the stream names none."""
    data: bytes


class BlockSplitter:
    """Cuts a byte stream into runs of whole events, to the letter, holding an unfinished one back.

    Raises BadAnswer for an event larger than is held, and for what is not UTF-8.
    """

    __slots__ = ("_held", "_size", "_tail")

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._size = 0
        self._tail = b""

    def feed(self, chunk: bytes) -> bytes:
        """All bytes up to and including the last blank line; `b""` if none ended yet."""
        if not self._held and chunk.endswith(b"\n\n"):
            require_text(chunk)
            return chunk
        # A border may straddle the cut: look for it in the chunk with the three bytes before it.
        near = self._tail + chunk
        border = _last_border(near)
        if border == 0:
            self._held.append(chunk)
            self._size += len(chunk)
            self._tail = near[-3:]
            if self._size > MAX_EVENT_BYTES:
                # Let go of it now: the error's traceback may live for a while, and hold it.
                self._held = []
                raise BadAnswer("a single event of the stream is larger than is held")
            return b""
        cut = border - len(self._tail)
        self._held.append(chunk[:cut])
        whole = b"".join(self._held)
        require_text(whole)
        rest = chunk[cut:]
        self._held = [rest] if rest else []
        self._size = len(rest)
        self._tail = rest[-3:]
        return whole

    def rest(self) -> bytes:
        held = b"".join(self._held)
        self._held, self._size, self._tail = [], 0, b""
        return held


def _last_border(data: bytes) -> int:
    """The offset just behind the last blank line; 0 where there is none."""
    border = 0
    for blank in (b"\n\n", b"\n\r\n", b"\r\r"):
        at = data.rfind(blank)
        if at >= 0:
            border = max(border, at + len(blank))
    return border


def parse_events(block: bytes) -> list[ServerSentEvent]:
    """The events of a run of whole events. Comments, ids and retry times are passed over."""
    events: list[ServerSentEvent] = []
    name = "message"
    data: list[bytes] = []
    if b"\r" in block:
        block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    for line in block.split(b"\n"):
        if not line:
            if data:
                events.append(
                    ServerSentEvent(name, data[0] if len(data) == 1 else b"\n".join(data))
                )
            name, data = "message", []
        elif line.startswith(b"data:"):
            data.append(line[6:] if line[5:6] == b" " else line[5:])
        elif line.startswith(b"event:"):
            name = line[6:].strip().decode("utf-8", "replace")
        elif line == b"data":
            data.append(b"")
    return events


class SseDecoder:
    """Bytes, cut anywhere -> events."""

    __slots__ = ("_at_start", "_splitter")

    def __init__(self) -> None:
        self._splitter = BlockSplitter()
        self._at_start = True

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        block = self._splitter.feed(chunk)
        if not block:
            return []
        if self._at_start:
            self._at_start = False
            block = block.removeprefix(b"\xef\xbb\xbf")
        return parse_events(block)

    def end(self) -> list[ServerSentEvent]:
        """Events after the last blank line. The standard drops them; providers that close right
        after `data: [DONE]` with one line break are common, so a last whole line counts."""
        rest = self._splitter.rest()
        return parse_events(rest + b"\n\n") if rest.endswith((b"\n", b"\r")) else []


def sse(data: bytes) -> bytes:
    return b"data: " + data + b"\n\n"


def named_sse(event: bytes, data: bytes) -> bytes:
    return b"event: " + event + b"\ndata: " + data + b"\n\n"
