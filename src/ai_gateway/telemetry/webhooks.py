"""Events that somebody should hear of, sent to one address that the operator chose.

They are the log's own events, a few of them: a budget passed, a breaker opened, the error budget burning,
Redis or the database lost. Each goes out once in an hour for the same thing, signed, and is tried again
where the other side is away. Sending happens on a thread; what cannot be delivered is counted.
"""

import hmac
from collections.abc import Callable, Mapping
from hashlib import sha256
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from threading import Event
from time import monotonic, time
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from ai_gateway.courier import Courier, Loss

_AGAIN_AFTER = 3600.0
_MOST_REMEMBERED = 1000
_MOST_WAITING = 200
_PAUSES = (1.0, 4.0, 16.0)
_TIMEOUT = 5.0
_CLOSING = 2.0
_TRY_AGAIN = frozenset({408, 425, 429})
_encode = msgspec.json.Encoder().encode

Fields = Mapping[str, str | int | float | bool | None]

TOLD: Mapping[str, tuple[str, ...]] = {
    "budget_passed": ("tenant", "per", "name", "unit", "period"),
    "breaker": ("provider", "model", "state"),
    "error_budget_burning": (),
    "state_lost": (),
    "ledger_database_lost": (),
}
"""The events that are sent, each with the fields by which one is the same as another."""


def _id_of(what: tuple[object, ...], at: int) -> str:
    hour = at // int(_AGAIN_AFTER)
    return sha256(_encode([*what, hour])).hexdigest()[:32]


class Notice(Struct, frozen=True, kw_only=True):
    """The body that is posted."""

    id: str
    """The same in every try, and from every process of the gateway that tells the same thing in the same
    hour: who receives it twice can tell."""
    event: str
    at: int
    """Seconds since 1970."""
    instance: str
    fields: Fields


class NotTaken(Exception):
    """The address would not have it, or could not be reached."""


class Refused(Exception):
    """Not worth another try."""


class Webhooks:
    def __init__(
        self,
        url: str,
        secret: str | None,
        *,
        instance: str,
        service: str = "ai-gateway",
        sent: Callable[[int], None],
        lost: Callable[[Loss, int], None],
        pauses: tuple[float, ...] = _PAUSES,
    ) -> None:
        self._url = urlsplit(url)
        self._secret = None if secret is None else secret.encode()
        self._instance = instance
        self._service = service
        self._sent = sent
        self._pauses = pauses
        self._told: dict[tuple[object, ...], float] = {}
        self._ended = Event()
        self._courier: Courier[Notice] = Courier(
            "webhooks", self._deliver, most=_MOST_WAITING, batch=1, every=0.2, lost=lost
        )

    @property
    def waiting(self) -> int:
        return self._courier.waiting

    def heard(self, event: str, fields: Fields) -> None:
        """An event of the log's; most are not for sending."""
        same_by = TOLD.get(event)
        if same_by is None or (event == "breaker" and fields.get("state") != "open"):
            return
        key = (event, *(fields.get(name) for name in same_by))
        now = monotonic()
        last = self._told.get(key)
        if last is not None and now - last < _AGAIN_AFTER:
            return
        if len(self._told) >= _MOST_REMEMBERED:
            self._told = {k: t for k, t in self._told.items() if now - t < _AGAIN_AFTER}
        if len(self._told) < _MOST_REMEMBERED:
            self._told[key] = now
        self._courier.put(
            Notice(
                id=_id_of((self._service, *key), int(time())),
                event=event,
                at=int(time()),
                instance=self._instance,
                fields=dict(fields),
            )
        )

    def close(self) -> None:
        """Blocks for a moment."""
        self._ended.set()
        self._courier.close(_CLOSING)

    def _deliver(self, notices: list[Notice]) -> None:
        for notice in notices:
            body = _encode(notice)
            for pause in (*self._pauses, None):
                try:
                    self._post(body, notice.id)
                    break
                except (OSError, HTTPException, NotTaken):
                    # Once the end has come there is no waiting, and no trying again.
                    if pause is None or self._ended.wait(pause):
                        raise
            self._sent(1)

    def _post(self, body: bytes, id: str) -> None:
        """Redirects are not followed: the address is the operator's choice, not the receiver's."""
        url = self._url
        kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
        connection = kind(url.hostname or "", url.port, timeout=_TIMEOUT)
        try:
            path = (url.path or "/") + (f"?{url.query}" if url.query else "")
            connection.request("POST", path, body, self._headers(body, id))
            status = connection.getresponse().status
        finally:
            connection.close()
        if status in _TRY_AGAIN or status >= 500:
            raise NotTaken(f"answered {status}")
        if not 200 <= status < 300:
            # It will not have it however often it is asked.
            raise Refused(f"answered {status}")

    def _headers(self, body: bytes, id: str) -> dict[str, str]:
        headers = {"content-type": "application/json", "x-gateway-event-id": id}
        if self._secret is not None:
            at = str(int(time()))
            signed = hmac.digest(self._secret, f"{at}.".encode() + body, "sha256").hex()
            headers["x-gateway-timestamp"] = at
            headers["x-gateway-signature"] = f"sha256={signed}"
        return headers
