"""What goes back in one HTTP/1.1 exchange of uvicorn's, in as few writes as it takes: ASGI's two messages
would make two of a whole answer.

`head`: the lines of one, as `head.py` makes them, which are fit for it.
"""

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle


def answer(cycle: RequestResponseCycle, status: int, head: str, body: bytes) -> None:
    """All of it."""
    if cycle.disconnected or cycle.response_started:
        return
    cycle.transport.write(b"%b\r\n%b" % (_head(cycle, status, head), body))
    cycle.response_started = True
    _complete(cycle)


def begin(cycle: RequestResponseCycle, head: str) -> None:
    """The head of a stream (status 200), whose pieces follow by `piece`, then `end`."""
    if cycle.disconnected or cycle.response_started:
        return
    lines = _head(cycle, 200, head)
    cycle.transport.write(lines + b"transfer-encoding: chunked\r\n\r\n")
    cycle.response_started = cycle.chunked_encoding = True
    cycle.waiting_for_100_continue = False


async def piece(cycle: RequestResponseCycle, data: bytes) -> None:
    """Waits while the caller does not read."""
    if cycle.flow.write_paused and not cycle.disconnected:
        await cycle.flow.drain()
    if data and not cycle.disconnected:
        cycle.transport.write(b"%x\r\n%b\r\n" % (len(data), data))


def end(cycle: RequestResponseCycle) -> None:
    if not cycle.disconnected and not cycle.response_complete:
        cycle.transport.write(b"0\r\n\r\n")
        _complete(cycle)


def _head(cycle: RequestResponseCycle, status: int, lines: str) -> bytes:
    """All of it but the empty line."""
    own = b"".join([b"%b: %b\r\n" % header for header in cycle.default_headers])
    close = b"" if cycle.keep_alive else b"connection: close\r\n"
    return b"%b%b%b%b" % (STATUS_LINE[status], own, lines.encode("ascii"), close)


def _complete(cycle: RequestResponseCycle) -> None:
    cycle.response_complete = True
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
