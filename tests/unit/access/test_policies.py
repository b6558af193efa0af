"""A key's rules within its tenant's."""

from decimal import Decimal
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from ai_gateway.access.policies import merge, narrowed
from ai_gateway.model.policy import Budget, CachePolicy, Policy, RateLimit


@pytest.mark.parametrize(
    ("tenant", "key", "merged"),
    [
        (("*",), ("*",), ("*",)),
        (("*",), ("gpt-*",), ("gpt-*",)),
        (("gpt-*", "claude-*"), ("*",), ("gpt-*", "claude-*")),
        (("gpt-*",), ("gpt-4o",), ("gpt-4o",)),
        (("gpt-*",), ("gpt-4*", "claude-3"), ("gpt-4*",)),
        (("gpt-*",), ("claude-*",), ()),
        (("gpt-4o",), ("gpt-*",), ()),
        (("gpt-?o",), ("gpt-4o",), ()),
        (("gpt-?o",), ("gpt-?o",), ("gpt-?o",)),
        ((), ("*",), ()),
    ],
)
def test_a_key_narrows_what_its_tenant_may_use(
    tenant: tuple[str, ...], key: tuple[str, ...], merged: tuple[str, ...]
) -> None:
    assert narrowed(tenant, key) == merged


patterns = st.lists(st.text("ab*?[]", min_size=1, max_size=4), max_size=3).map(tuple)


@given(patterns, patterns, st.text("ab*?[]", max_size=5))
def test_narrowing_never_admits_what_the_tenant_does_not(
    tenant: tuple[str, ...], key: tuple[str, ...], name: str
) -> None:
    if any(fnmatchcase(name, pattern) for pattern in narrowed(tenant, key)):
        assert any(fnmatchcase(name, pattern) for pattern in tenant)


def limit(per: str, capacity: float) -> RateLimit:
    return RateLimit(per=per, capacity=capacity, refill=1)  # type: ignore[arg-type]


def test_a_tenants_own_limits_hold_and_its_defaults_give_way() -> None:
    tenant = Policy(limits=(limit("tenant", 1000), limit("user", 10), limit("key", 50)))
    key = Policy(limits=(limit("user", 99), limit("tenant", 10**6)))
    merged = merge(tenant, key)
    assert {(rule.per, rule.capacity) for rule in merged.limits} == {
        ("tenant", 1000), ("key", 50), ("user", 99),
    }  # fmt: skip


def test_budgets_of_another_period_stand_beside_each_other() -> None:
    month = Budget(per="key", amount=Decimal(100))
    day = Budget(per="key", amount=Decimal(5), period="day")
    assert set(merge(Policy(budgets=(month,)), Policy(budgets=(day,))).budgets) == {month, day}


def test_the_stricter_audit_and_all_guardrails_hold() -> None:
    tenant = Policy(audit="metadata", guardrails=("pii",), max_in_flight=5, priority=1)
    merged = merge(tenant, Policy(audit="off", guardrails=("secrets", "pii"), max_in_flight=2))
    assert (merged.audit, merged.guardrails) == ("metadata", ("pii", "secrets"))
    assert (merged.max_in_flight, merged.priority) == (2, 1)
    assert merge(tenant, Policy(audit="full")).audit == "full"


def test_the_rest_is_the_keys_own_or_the_tenants() -> None:
    tenant = Policy(cache=CachePolicy(mode="exact", ttl=60))
    merged = merge(tenant, Policy(cache=CachePolicy(ttl=5)))
    assert merged.cache == CachePolicy(mode="exact", ttl=5)
    assert merge(Policy(), Policy()) == Policy()


SAID = CachePolicy(
    mode="semantic", ttl=7, scope="user", max_temperature=0.5, keep_truncated=True, join=False,
    limited=False, threshold=0.9, guard=False, semantic_for=("images",),
)  # fmt: skip


def test_every_cache_rule_is_inherited_and_may_be_replaced() -> None:
    assert None not in structs.astuple(SAID), "give the new field a value here"
    assert merge(Policy(cache=SAID), Policy()).cache == SAID
    assert merge(Policy(), Policy(cache=SAID)).cache == SAID
    assert merge(Policy(cache=CachePolicy(join=True, ttl=1)), Policy(cache=SAID)).cache == SAID


def test_every_rule_of_a_tenant_holds_for_a_key_that_says_nothing() -> None:
    tenant = Policy(
        models=("a",), limits=(limit("user", 1),), budgets=(Budget(per="key", amount=Decimal(1)),),
        max_in_flight=1, priority=1, cache=SAID, audit="full", attempts_trace=True, guardrails=("g",), providers=("p",), tools=("t/*",),
    )  # fmt: skip
    unset = structs.asdict(Policy())
    assert [n for n, v in structs.asdict(tenant).items() if v == unset[n]] == []
    assert merge(tenant, Policy()) == tenant
