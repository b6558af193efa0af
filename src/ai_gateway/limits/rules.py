"""Which buckets and sums a caller's call touches: its policy and the gateway's own rules, worked out.

Every key of a tenant begins with `gw:{tenant}:`, so that on Redis Cluster all lie in one slot.
"""

from collections.abc import Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Literal
from urllib.parse import quote
from zoneinfo import ZoneInfo

from msgspec import Struct

from ai_gateway.catalogue.cost import nano_dollars
from ai_gateway.model.call import Caller, Target
from ai_gateway.model.policy import Budget, RateLimit
from ai_gateway.state.admission import Bucket, Quota

from .periods import period_of

Unit = Literal["requests", "tokens", "usd", "calls"]
_PLAIN = "-._~@+ "
"""What a name may hold in a key beside letters and digits; the rest is escaped."""
ANY_NAME = ("*",)
TOKENS, DOLLARS, CALLS = range(3)
"""Where each stands among the amounts of a call (`demand.Amounts`)."""


class Sum(Struct, frozen=True, kw_only=True):
    """A budget's account: one sum for all the budgets that limit the same thing in the same period."""

    quota: Quota
    per: Literal["user", "key", "tenant"]
    name: str
    """Whose: the user, the key's id or the tenant."""
    unit: Literal["usd", "tokens"]
    period: str
    since: float
    """When the period began, in Unix seconds."""
    ends: float
    """When it ends; 0: never."""
    soft: int | None
    """The lowest of the limits that only warn."""


class Rules(Struct, frozen=True, kw_only=True):
    """All that one call is held to. Good until `until`, and as long as the policy is the same."""

    policy: object
    until: float
    """Unix seconds: the next edge of a period."""
    limits: Sequence[RateLimit]
    buckets: Sequence[Bucket]
    """One for each of `limits`."""
    ones: tuple[float, ...]
    """One for each of `limits`: what a call takes where it is calls that are counted."""
    of_requests: tuple[int, ...]
    """Which of `limits` count calls."""
    of_tokens: tuple[int, ...]
    """Which of `limits` count tokens."""
    quotas: Sequence[Quota]
    """The sums' in their order, then the cap on calls in flight if there is one."""
    counted_in: Sequence[int]
    """What each of `quotas` counts: `TOKENS`, `DOLLARS` or `CALLS`."""
    sums: Sequence[Sum]
    warns: bool
    """One of the sums has a soft limit."""
    counts_tokens: bool
    counts_usd: bool


class GatewayRules(Struct, frozen=True, kw_only=True):
    """What holds for everyone, but where a policy has a rule of the same kind."""

    limits: tuple[RateLimit, ...] = ()
    budgets: tuple[Budget, ...] = ()
    zone: ZoneInfo = ZoneInfo("UTC")


def tells_targets_apart(limits: Sequence[RateLimit]) -> bool:
    """Whether it matters to any of them which of a route's targets a call goes to."""
    return any(
        limit.per in ("user_model", "provider")
        or limit.models != ANY_NAME
        or limit.providers != ANY_NAME
        for limit in limits
    )


def rules_for(
    own: GatewayRules, caller: Caller, target: Target, route: str | None, now: float
) -> Rules:
    """`target`: where the call goes first; `route`: the route it asked for, if it did."""
    policy = caller.policy
    limits: list[RateLimit] = []
    buckets: list[Bucket] = []
    replaced = {_kind(limit) for limit in policy.limits}
    for limit in policy.limits:
        model = _counted(limit, target, route)
        if model is not None:
            limits.append(limit)
            buckets.append(_bucket(limit, caller, target.provider, model, shared=False))
    for limit in own.limits:
        model = None if _kind(limit) in replaced else _counted(limit, target, route)
        if model is not None:
            limits.append(limit)
            shared = limit.per == "provider"
            buckets.append(_bucket(limit, caller, target.provider, model, shared=shared))
    sums = _sums(_budgets(own, policy.budgets), caller, now, own.zone)
    quotas = [one.quota for one in sums]
    counted_in = [TOKENS if one.unit == "tokens" else DOLLARS for one in sums]
    if policy.max_in_flight is not None:
        per, name = ("key", caller.key_id) if caller.key_id is not None else ("user", caller.user)
        key = f"{_tenant(caller)}:in_flight:{per}:{_name(name)}"
        quotas.append(Quota(key=key, limit=policy.max_in_flight, counted=False))
        counted_in.append(CALLS)
    of_tokens = tuple(at for at, limit in enumerate(limits) if limit.unit == "tokens")
    return Rules(
        policy=policy,
        until=min((one.ends for one in sums if one.ends), default=float("inf")),
        limits=limits,
        buckets=buckets,
        ones=(1.0,) * len(limits),
        of_requests=tuple(at for at in range(len(limits)) if at not in of_tokens),
        of_tokens=of_tokens,
        quotas=quotas,
        counted_in=counted_in,
        sums=sums,
        warns=any(one.soft is not None for one in sums),
        counts_tokens=bool(of_tokens) or TOKENS in counted_in,
        counts_usd=DOLLARS in counted_in,
    )


def whole(unit: str, amount: Decimal) -> int:
    return nano_dollars(amount) if unit == "usd" else int(amount)


def _counted(limit: RateLimit, target: Target, route: str | None) -> str | None:
    """The name that a call is counted under, the model's or its route's; None where the limit does not
    hold for it."""
    if not _matches(target.provider, limit.providers):
        return None
    if _matches(target.model, limit.models):
        return target.model
    return route if route is not None and _matches(route, limit.models) else None


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(pattern == "*" or fnmatchcase(name, pattern) for pattern in patterns)


def _kind(limit: RateLimit) -> tuple[object, ...]:
    return limit.per, limit.unit, limit.models, limit.providers


def _bucket(limit: RateLimit, caller: Caller, provider: str, model: str, *, shared: bool) -> Bucket:
    match limit.per:
        case "user":
            whose = f"user:{_name(caller.user)}"
        case "user_model":
            whose = f"user:{_name(caller.user)}:model:{_name(model)}"
        case "key":
            # Who comes without a key (a token, open mode) is held by name: no limit goes unheard.
            whose = f"key:{_name(caller.key_id)}" if caller.key_id else f"user:{_name(caller.user)}"
        case "tenant":
            whose = "tenant"
        case "provider":
            whose = f"provider:{_name(provider)}"
    place = f"gw:{{{whose}}}" if shared else f"{_tenant(caller)}:{whose}"
    only = "" if limit.models == limit.providers == ANY_NAME else f":{_only(limit)}"
    return Bucket(
        key=f"{place}:{limit.per}:{limit.unit}{only}",
        capacity=limit.capacity,
        refill=limit.refill,
        shared=shared,
    )


def _only(limit: RateLimit) -> str:
    """Tells limits of one kind apart that hold for different models."""
    return _name(f"{','.join(limit.models)};{','.join(limit.providers)}")


def _budgets(own: GatewayRules, policy: tuple[Budget, ...]) -> list[Budget]:
    replaced = {(b.per, b.unit, b.period, b.hard) for b in policy}
    rest = [b for b in own.budgets if (b.per, b.unit, b.period, b.hard) not in replaced]
    return [*policy, *rest]


def _sums(budgets: list[Budget], caller: Caller, now: float, zone: ZoneInfo) -> list[Sum]:
    found: list[Sum] = []
    together: dict[tuple[Literal["user", "key", "tenant"], str, str], list[Budget]] = {}
    for budget in budgets:
        # Who comes without a key is held by name; both of its budgets are then one account.
        per = "user" if budget.per == "key" and caller.key_id is None else budget.per
        together.setdefault((per, budget.unit, budget.period), []).append(budget)
    for (per, _, _), same in together.items():
        first = same[0]
        name = {"user": caller.user, "key": caller.key_id or "", "tenant": caller.tenant}[per]
        period, since, ends = period_of(first.period, now, zone)
        hard = min((whole(b.unit, b.amount) for b in same if b.hard), default=None)
        soft = min((whole(b.unit, b.amount) for b in same if not b.hard), default=None)
        limit = hard if hard is not None else soft
        assert limit is not None
        found.append(
            Sum(
                quota=Quota(
                    key=f"{_tenant(caller)}:spent:{per}:{_name(name)}:{first.unit}:{period}",
                    limit=limit,
                    hard=hard is not None,
                    expires=int(ends) + 86_400 if ends else 0,
                ),
                per=per,
                name=name,
                unit=first.unit,
                period=first.period,
                since=since,
                ends=ends,
                soft=soft,
            )
        )
    return found


def _tenant(caller: Caller) -> str:
    return f"gw:{{{_name(caller.tenant)}}}"


def _name(text: str | None) -> str:
    """Fit to stand between the colons and braces of a key."""
    return quote(text or "", safe=_PLAIN)
