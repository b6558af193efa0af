"""A refusal in words: what is used up, whose it is, and when to come again."""

from datetime import datetime
from math import ceil, inf
from zoneinfo import ZoneInfo

from ai_gateway.catalogue.cost import NANO
from ai_gateway.model.errors import GatewayError
from ai_gateway.model.policy import RateLimit

from .rules import Sum

_LONGEST_WAIT = 86_400
_IN_FLIGHT_WAIT = 1

_WHOSE = {
    "user": "this user",
    "user_model": "this user and model",
    "key": "this key",
    "tenant": "this tenant",
    "provider": "this provider",
}


def rate_refusal(limit: RateLimit, takes: float, level: float, wait: float) -> GatewayError:
    seconds = _LONGEST_WAIT if wait == inf else min(_LONGEST_WAIT, max(1, ceil(wait)))
    when = (
        "It does not refill."
        if wait == inf
        else f"Try again in {seconds} second{'' if seconds == 1 else 's'}."
    )
    return GatewayError(
        "rate_limited",
        f"Rate limit reached for {_WHOSE[limit.per]}: {limit.unit}, limit {limit.capacity:g} "
        f"at {limit.refill:g} a second, {max(0, int(level))} left, {takes:g} needed. {when}",
        code="rate_limit_exceeded",
        retry_after=seconds,
    )


def in_flight_refusal(limit: int) -> GatewayError:
    return GatewayError(
        "rate_limited",
        f"Too many calls at once: {limit} may be in flight. Try again once one has ended.",
        code="too_many_in_flight",
        retry_after=_IN_FLIGHT_WAIT,
    )


def budget_refusal(
    account: Sum, used: int, reserve: int, now: float, zone: ZoneInfo
) -> GatewayError:
    left = max(0, account.quota.limit - used)
    when = "It has no end: ask for a higher one."
    seconds = _LONGEST_WAIT
    if account.ends:
        edge = datetime.fromtimestamp(account.ends, zone)
        when = f"It starts anew at {edge.isoformat()}."
        seconds = min(_LONGEST_WAIT, max(1, ceil(account.ends - now)))
    period = "" if account.period == "total" else f" of the {account.period}"
    could = ""
    if left:
        could = (
            f" and this call could take up to {amount(account.unit, reserve)}, "
            "by its prompt and its limit on output"
        )
    error = GatewayError(
        "quota_exhausted",
        f"The budget{period} for {_WHOSE[account.per]} is used up: of "
        f"{amount(account.unit, account.quota.limit)}, {amount(account.unit, left)} is left{could}. {when}",
        code="insufficient_quota",
        retry_after=seconds,
    )
    # Official SDKs would try again by themselves; it cannot help.
    error.headers = (("x-should-retry", "false"),)
    return error


def amount(unit: str, value: int) -> str:
    return f"${value / NANO:.6f}".rstrip("0").rstrip(".") if unit == "usd" else f"{value} tokens"
