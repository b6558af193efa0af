"""Budgets that limit the same thing are one account, however they are written."""

from decimal import Decimal
from typing import Literal

from ai_gateway.limits.rules import GatewayRules, rules_for
from ai_gateway.model.call import Caller, Target
from ai_gateway.model.policy import Budget, Policy
from ai_gateway.state.admission import Claim, Settlement
from ai_gateway.state.memory import MemoryState


def _budget(per: Literal["user", "key"]) -> Budget:
    return Budget(per=per, unit="tokens", period="total", amount=Decimal(100))


async def test_who_comes_without_a_key_pays_a_user_and_a_key_budget_once() -> None:
    policy = Policy(budgets=(_budget("user"), _budget("key")))
    caller = Caller(tenant="t", user="u", policy=policy)
    rules = rules_for(GatewayRules(), caller, Target(provider="p", model="m"), None, 0.0)
    (quota,) = rules.quotas
    state = MemoryState(clock=lambda: 0.0)
    await state.recount(quota, 0)
    grant = await state.admit(Claim(call_id="1", quotas=rules.quotas, reserves=(60,)))
    assert grant.admitted
    state.settle(Settlement(call_id="1", quotas=rules.quotas, reserved=(60,), spent=(10,)))
    assert await state.used(quota) == 10


def test_a_key_has_a_budget_beside_its_users() -> None:
    policy = Policy(budgets=(_budget("user"), _budget("key")))
    caller = Caller(tenant="t", user="u", key_id="k", policy=policy)
    rules = rules_for(GatewayRules(), caller, Target(provider="p", model="m"), None, 0.0)
    assert [one.name for one in rules.sums] == ["u", "k"]
