"""When the same target is asked again: how long to wait, and how many may do so at once."""

from random import Random

BASE_SECONDS = 0.25
LONGEST_SECONDS = 8.0
_SHARE = 0.2
_LEAST = 3


def backoff(retry: int, advised: float | None, random: Random) -> float | None:
    """Seconds before retry number `retry` (0, 1, ...): exponential with full jitter, unless the provider
    advised. None: it advised longer than a call should wait."""
    if advised is not None:
        return advised if advised <= LONGEST_SECONDS else None
    return random.uniform(0, min(LONGEST_SECONDS, BASE_SECONDS * 2**retry))


class RetryBudget:
    """At most a fifth of the live calls (but at least 3) may be retries at one time, so that retries
    never become the storm that keeps a provider down."""

    __slots__ = ("_retrying", "live", "refused")

    def __init__(self) -> None:
        self.live = 0
        """Calls being performed."""
        self.refused = 0
        self._retrying = 0

    def take(self) -> bool:
        """Room for one retry, to be given back once its attempt is over."""
        if self._retrying >= max(_LEAST, self.live * _SHARE):
            self.refused += 1
            return False
        self._retrying += 1
        return True

    def give_back(self) -> None:
        self._retrying -= 1
