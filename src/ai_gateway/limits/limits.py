"""Admits calls and settles them: rate buckets, calls in flight and budgets, all in one step.

An admitted call is settled once, whatever becomes of it. What it truly used takes the place of what
was set aside for it.
"""

from collections.abc import Callable, Sequence
from itertools import count
from random import getrandbits
from time import time
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from ai_gateway.catalogue.cost import nano_dollars
from ai_gateway.catalogue.models import ModelFacts
from ai_gateway.dialects.exchange import Exchange
from ai_gateway.model.call import Caller, Outcome, Standing, Target
from ai_gateway.model.errors import GatewayError
from ai_gateway.state.admission import Bucket, Claim, Grant, Settlement
from ai_gateway.state.store import State, StateLost

from .demand import ONE_CALL, Amounts, demand_of
from .refusal import amount, budget_refusal, in_flight_refusal, rate_refusal
from .rules import GatewayRules, Rules, Sum, rules_for, tells_targets_apart

_MOST_KEPT = 8192
_MOST_RECOUNTS = 3
_ANYWHERE = Target(provider="", model="")
_FROM_CACHE = frozenset({"hit", "semantic", "joined"})


class SpendingUnknown(Exception):
    """The ledger cannot say what was spent."""


class Spending(Protocol):
    """What the ledger knows."""

    async def spent(self, tenant: str, account: Sum) -> int:
        """In the account's whole units, since `account.since`. Raises SpendingUnknown."""
        ...


class NoSpending:
    """Where no ledger is kept, sums begin at nothing."""

    async def spent(self, tenant: str, account: Sum) -> int:
        return 0


class BudgetWarning(Struct, frozen=True, kw_only=True):
    """A soft budget has been passed."""

    tenant: str
    account: Sum
    used: int


class Remaining(Struct, frozen=True, kw_only=True):
    account: Sum
    used: int
    """Spent and set aside, in the account's whole units."""


class Admission(Struct, frozen=True, kw_only=True):
    """What an admitted call holds until it is settled."""

    claim: Claim
    rules: Rules
    degraded: bool
    value: bytes | None
    """Of the key to be looked up."""


class Limits:
    def __init__(
        self,
        state: State,
        own: GatewayRules,
        *,
        spending: Spending,
        assumed_output: int,
        warned: Callable[[BudgetWarning], None],
        refuse_uncounted: bool = False,
        clock: Callable[[], float] = time,
    ) -> None:
        """`assumed_output`: tokens set aside for output where the caller sets no limit.
        `refuse_uncounted`: refuse calls whose budget's sum nobody can tell, instead of not counting."""
        self._state = state
        self._own = own
        self._spending = spending
        self._assumed_output = assumed_output
        self._warned = warned
        self._refuse_uncounted = refuse_uncounted
        self._clock = clock
        self._own_by_target = tells_targets_apart(own.limits)
        self._kept: dict[tuple[str, str, str | None, str, str, str | None], Rules] = {}
        self._told: set[str] = set()
        self._ids = count()
        self._prefix = f"{getrandbits(64):x}-"

    def tells_targets_apart(self, caller: Caller) -> bool:
        """Whether it matters to the caller's limits which of a route's targets its call goes to."""
        return self._own_by_target or tells_targets_apart(caller.policy.limits)

    async def admit(
        self,
        exchange: Exchange | None,
        target: Target,
        models: Sequence[ModelFacts],
        outcome: Outcome,
        look_up: str | None = None,
    ) -> Admission | None:
        """`exchange`: None where nothing is known of what the call may use. `target`: where the call would go first; `models`: all it may go to; `outcome.route` counts
        as a name of the model too. Raises
        GatewayError(rate_limited | quota_exhausted | unavailable); None where nothing limits it."""
        caller = outcome.caller
        assert caller is not None
        rules = self._rules(caller, target, outcome.route)
        if not rules.buckets and not rules.quotas and look_up is None:
            return None
        demand = ONE_CALL
        if rules.counts_tokens or rules.counts_usd:
            demand = demand_of(exchange, models, self._assumed_output, usd=rules.counts_usd)
        claim = Claim(
            call_id=f"{self._prefix}{next(self._ids):x}",
            buckets=rules.buckets,
            takes=_takes(rules, demand[0]) if rules.of_tokens else rules.ones,
            quotas=rules.quotas,
            reserves=_of_quotas(rules, demand),
            look_up=look_up,
        )
        try:
            grant = await self._state.admit(claim)
            if grant.unknown:
                claim, rules, grant = await self._recounted(claim, rules, grant, caller.tenant)
        except StateLost as lost:
            raise GatewayError(
                "unavailable",
                "Limits cannot be held to right now; try again shortly.",
                code="limits_unavailable",
                retry_after=1,
            ) from lost
        self._tell(rules, grant, outcome, caller)
        if not grant.admitted:
            raise self._refusal(rules, claim, grant)
        return Admission(claim=claim, rules=rules, degraded=grant.degraded, value=grant.value)

    def settle(self, admission: Admission, outcome: Outcome) -> None:
        """Never waits."""
        claim, rules = admission.claim, admission.rules
        if not rules.quotas and not rules.counts_tokens:
            return
        tokens = dollars = 0
        if outcome.cache not in _FROM_CACHE:
            tokens = outcome.usage.total_tokens
            if rules.counts_usd and outcome.cost is not None:
                dollars = nano_dollars(outcome.cost)
        buckets: list[Bucket] = []
        returns: list[float] = []
        for at in rules.of_tokens:
            back = claim.takes[at] - tokens
            if back:
                buckets.append(claim.buckets[at])
                returns.append(back)
        if not buckets and not claim.quotas:
            return
        self._state.settle(
            Settlement(
                call_id=claim.call_id,
                buckets=buckets,
                returns=returns,
                quotas=claim.quotas,
                reserved=claim.reserves,
                spent=_of_quotas(rules, (tokens, dollars, 0)),
                degraded=admission.degraded,
            )
        )

    async def remaining(self, caller: Caller) -> list[Remaining]:
        """What is left of the caller's budgets; those nobody can tell are left out."""
        rules = self._rules(caller, _ANYWHERE, None)
        found: list[Remaining] = []
        for account in rules.sums:
            try:
                used = await self._state.used(account.quota)
                if used is None:
                    used = await self._spending.spent(caller.tenant, account)
            except (StateLost, SpendingUnknown):
                continue
            found.append(Remaining(account=account, used=used))
        return found

    def _rules(self, caller: Caller, target: Target, route: str | None) -> Rules:
        which = (caller.tenant, caller.user, caller.key_id, target.provider, target.model, route)
        rules = self._kept.get(which)
        if rules is not None and rules.policy is caller.policy and self._clock() < rules.until:
            return rules
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        rules = self._kept[which] = rules_for(self._own, caller, target, route, self._clock())
        return rules

    async def _recounted(
        self, claim: Claim, rules: Rules, grant: Grant, tenant: str
    ) -> tuple[Claim, Rules, Grant]:
        """Sums that the state has lost, or never had, are told it by the ledger."""
        for _ in range(_MOST_RECOUNTS):
            lost: list[int] = []
            for at in grant.unknown:
                account = rules.sums[at]
                try:
                    spent = await self._spending.spent(tenant, account)
                except SpendingUnknown:
                    lost.append(at)
                else:
                    await self._state.recount(account.quota, spent)
            if lost:
                if self._refuse_uncounted:
                    raise StateLost("the ledger cannot be asked")
                claim, rules = _without(claim, rules, lost)
            grant = await self._state.admit(claim)
            if not grant.unknown:
                break
        return claim, rules, grant

    def _tell(self, rules: Rules, grant: Grant, outcome: Outcome, caller: Caller) -> None:
        """Leaves in the outcome what the caller is told of its limits."""
        outcome.degraded = grant.degraded
        if rules.of_requests:
            outcome.requests_left = _nearest(rules, rules.of_requests, grant.levels)
        if rules.of_tokens:
            outcome.tokens_left = _nearest(rules, rules.of_tokens, grant.levels)
        if not rules.warns:
            return
        for account, used in zip(rules.sums, grant.used, strict=False):
            if account.soft is not None and used > account.soft and grant.admitted:
                outcome.budget_warning = (
                    f"{account.per} {account.period}: {amount(account.unit, used)} of "
                    f"{amount(account.unit, account.soft)}"
                )
                if account.quota.key not in self._told:
                    if len(self._told) >= _MOST_KEPT:
                        self._told.clear()
                    self._told.add(account.quota.key)
                    self._warned(BudgetWarning(tenant=caller.tenant, account=account, used=used))

    def _refusal(self, rules: Rules, claim: Claim, grant: Grant) -> GatewayError:
        at = grant.refused_by
        if at < len(rules.limits):
            return rate_refusal(rules.limits[at], claim.takes[at], grant.levels[at], grant.wait)
        at -= len(rules.limits)
        if at >= len(rules.sums):
            return in_flight_refusal(rules.quotas[at].limit)
        return budget_refusal(
            rules.sums[at], grant.used[at], claim.reserves[at], self._clock(), self._own.zone
        )


def _takes(rules: Rules, tokens: int) -> list[float]:
    takes = list(rules.ones)
    for at in rules.of_tokens:
        takes[at] = min(tokens, rules.limits[at].capacity)
    return takes


def _of_quotas(rules: Rules, amounts: Amounts) -> list[int]:
    """Of each quota the amount that it counts."""
    return list(map(amounts.__getitem__, rules.counted_in))


def _without(claim: Claim, rules: Rules, lost: Sequence[int]) -> tuple[Claim, Rules]:
    kept = [at for at in range(len(rules.quotas)) if at not in lost]
    quotas = [rules.quotas[at] for at in kept]
    reserves = [claim.reserves[at] for at in kept]
    return replace(claim, quotas=quotas, reserves=reserves), replace(
        rules,
        quotas=quotas,
        counted_in=[rules.counted_in[at] for at in kept],
        sums=[one for at, one in enumerate(rules.sums) if at not in lost],
    )


def _nearest(rules: Rules, which: Sequence[int], levels: Sequence[float]) -> Standing:
    """How the caller stands with the one of these limits that has the least left."""
    at = which[0] if len(which) == 1 else min(which, key=levels.__getitem__)
    limit, level = rules.limits[at], levels[at]
    return Standing(
        limit=int(limit.capacity),
        remaining=int(level) if level > 0 else 0,
        reset=(limit.capacity - level) / limit.refill if limit.refill > 0 else None,
    )
