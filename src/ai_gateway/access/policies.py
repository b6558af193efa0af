"""A key's rules within its tenant's: one Policy, merged once and kept."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from msgspec import structs

from ai_gateway.model.policy import AuditLevel, Budget, CachePolicy, Policy, RateLimit

_AUDIT: dict[AuditLevel | None, int] = {None: 0, "off": 1, "metadata": 2, "full": 3}
_ANY = ("*",)
_Rule = TypeVar("_Rule", RateLimit, Budget)


def merge(tenant: Policy, key: Policy) -> Policy:
    """What is left out of the key's is the tenant's.

    - `models`, `providers`, `tools`: a key narrows its tenant's; a pattern of its own that is not within them
      has no effect.
    - `limits`, `budgets`: the tenant's that are `per: tenant` always hold; of the others a key's own
      takes the place of the tenant's of the same kind.
    - `guardrails`: both; `audit`: the stricter.
    """
    return Policy(
        models=narrowed(tenant.models, key.models),
        providers=narrowed(tenant.providers, key.providers),
        tools=narrowed(tenant.tools, key.tools),
        limits=_overlaid(tenant.limits, key.limits, _kind_of_limit),
        budgets=_overlaid(tenant.budgets, key.budgets, _kind_of_budget),
        max_in_flight=key.max_in_flight if key.max_in_flight is not None else tenant.max_in_flight,
        priority=key.priority or tenant.priority,
        cache=_cache(tenant.cache, key.cache),
        attempts_trace=key.attempts_trace
        if key.attempts_trace is not None
        else tenant.attempts_trace,
        audit=max(tenant.audit, key.audit, key=_AUDIT.__getitem__),
        guardrails=tuple(dict.fromkeys((*tenant.guardrails, *key.guardrails))),
    )


def narrowed(outer: tuple[str, ...], inner: tuple[str, ...]) -> tuple[str, ...]:
    """The patterns of `inner` that admit nothing but what `outer` admits; `*` means all of it."""
    if outer == _ANY:
        return inner
    kept: list[str] = []
    for pattern in inner:
        if pattern == "*":
            kept += outer
        elif any(_within(pattern, wider) for wider in outer):
            kept.append(pattern)
    return tuple(dict.fromkeys(kept))


def _within(pattern: str, wider: str) -> bool:
    """Whether all that `pattern` admits, `wider` admits: certain where the wider one is a name, or a
    name's beginning and `*`; anything else has to be written the same."""
    beginning, star, rest = wider.partition("*")
    if pattern == wider or wider == "*":
        return True
    plain = not any(c in beginning for c in "?[")
    return plain and bool(star) and not rest and pattern.startswith(beginning)


def _overlaid(
    tenant: Iterable[_Rule], key: Iterable[_Rule], kind: Callable[[_Rule], tuple[object, ...]]
) -> tuple[_Rule, ...]:
    own = [rule for rule in key if rule.per != "tenant"]
    replaced = {kind(rule) for rule in own}
    return (*(r for r in tenant if r.per == "tenant" or kind(r) not in replaced), *own)


def _kind_of_limit(limit: RateLimit) -> tuple[object, ...]:
    return limit.per, limit.unit, limit.models, limit.providers


def _kind_of_budget(budget: Budget) -> tuple[object, ...]:
    return budget.per, budget.unit, budget.period, budget.hard


def _cache(tenant: CachePolicy, key: CachePolicy) -> CachePolicy:
    said = {name: v for name, v in structs.asdict(key).items() if v is not None}
    return structs.replace(tenant, **said)
