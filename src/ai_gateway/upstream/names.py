"""The addresses of providers' names.

The system's resolver may take a quarter of a minute over a name whose servers are away, and an event
loop's own pool for it has few threads: one such name would hold up the look-ups of all others, and the
end of the process. Here a name has at most one look-up under way, in a thread of its own that nothing
waits for at the end. An answer is used at once while it is young; an older one is used too, while it is
looked up anew behind it.
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Sequence
from ipaddress import ip_address

from msgspec import Struct

_FRESH_SECONDS = 5.0
_USABLE_SECONDS = 600.0
"""How long what was found last stands in while the resolver fails."""

Resolve = Callable[[str], Sequence[str]]
"""The addresses of a name; waits, and raises OSError."""


class _Known(Struct, frozen=True):
    addresses: Sequence[str]
    since: float


class Names:
    def __init__(self, resolve: Resolve | None = None) -> None:
        self._resolve = resolve or _by_the_system
        self._known: dict[str, _Known] = {}
        self._under_way: dict[str, asyncio.Future[Sequence[str]]] = {}

    async def addresses(self, host: str) -> Sequence[str]:
        """At least one, to be tried in this order. Raises OSError."""
        if _is_address(host):
            return (host,)
        now = asyncio.get_running_loop().time()
        known = self._known.get(host)
        if known is not None and now - known.since < _FRESH_SECONDS:
            return known.addresses
        under_way = self._under_way.get(host) or self._look_up(host)
        if known is not None and now - known.since < _USABLE_SECONDS:
            return known.addresses
        # Shielded: a call that gives up does not end the look-up for the others.
        return await asyncio.shield(under_way)

    def _look_up(self, host: str) -> "asyncio.Future[Sequence[str]]":
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Sequence[str]] = loop.create_future()
        self._under_way[host] = future

        def told(found: Sequence[str] | OSError) -> None:
            del self._under_way[host]
            if isinstance(found, OSError):
                future.set_exception(found)
                future.exception()  # nobody need be waiting any more
            else:
                self._known[host] = _Known(found, loop.time())
                future.set_result(found)

        def work() -> None:
            try:
                found: Sequence[str] | OSError = self._resolve(host)
            except OSError as error:
                found = error
            except UnicodeError:
                found = OSError("no name")
            try:
                loop.call_soon_threadsafe(told, found)
            except RuntimeError:
                # The loop has ended meanwhile.
                return

        try:
            threading.Thread(target=work, name=f"resolve {host}"[:64], daemon=True).start()
        except RuntimeError:
            told(OSError("no thread to look a name up in"))
        return future


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _by_the_system(host: str) -> Sequence[str]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))
