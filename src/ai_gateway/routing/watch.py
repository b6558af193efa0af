"""What is told of targets: a metric and a log line for each change of a breaker."""

from collections.abc import Callable, Mapping
from itertools import islice

from msgspec import DecodeError
from msgspec.json import Decoder, encode

from .breaker import Breaker, Why
from .concurrency import Limiter
from .vitals import OnBreakerChange, VitalsBook

_MOST_SHOWN = 100
_RANK = {"closed": 0.0, "half-open": 1.0, "open": 2.0}


_read = Decoder(tuple[str, str, float]).decode
HINTS = "breakers"
"""The channel of the shared state."""

Tell = Callable[[str, str, str, str], None]
"""`tell(provider, model, state, cause)`"""


def breaker_watch(tell: Tell) -> OnBreakerChange:
    def changed(provider: str, model: str, breaker: Breaker, why: Why) -> None:
        tell(provider, model, breaker.state, why)

    return changed


def hint_of(provider: str, model: str, seconds: float) -> bytes:
    """What one process tells the others of a breaker it opened."""
    return encode((provider, model, seconds))


def take_hint(vitals: VitalsBook, message: bytes, now: float) -> None:
    """Opens the breaker that another process opened, if it is closed here. What nobody asked for here
    is left alone, and so is a message that cannot be read: a hint is no more than that."""
    try:
        provider, model, seconds = _read(message)
    except DecodeError:
        return
    found = vitals.find(provider, model)
    if found is not None:
        found.breaker.hint(now, seconds)


def states(vitals: VitalsBook) -> Mapping[tuple[str, ...], float]:
    """Of the breakers that are not closed, as the metric shows them; so many at most."""
    ill = (v for v in vitals.all() if v.breaker.state != "closed")
    return {(v.provider, v.model[:64]): _RANK[v.breaker.state] for v in islice(ill, _MOST_SHOWN)}


def concurrency(
    vitals: VitalsBook, read: Callable[[Limiter], float]
) -> Mapping[tuple[str, ...], float]:
    """Of the models whose calls under way are limited; so many at most."""
    found = ((v, v.limiter) for v in vitals.all())
    limited = ((v, limiter) for v, limiter in found if limiter is not None)
    return {(v.provider, v.model[:64]): read(one) for v, one in islice(limited, _MOST_SHOWN)}
