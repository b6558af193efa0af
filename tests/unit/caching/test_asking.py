"""What a call is to the cache, and what is remembered of calls that came before."""

from typing import Any

import pytest
from msgspec.json import encode
from msgspec.structs import replace

from ai_gateway.caching.asking import LONGEST_KNOWN_BODY, MOST_KNOWN, Asking, Askings
from ai_gateway.caching.rules import RuleBook, Rules
from ai_gateway.dialects.exchange import open_exchange
from ai_gateway.model.call import Caller, Outcome, Request
from ai_gateway.model.policy import CachePolicy, Policy
from ai_gateway.model.route import Route, RouteTarget

ROUTE = Route(targets=())
CALLER = Caller(tenant="acme", user="ann", key_id="k1")
SHORT = "hello"
LONG = "hello " * LONGEST_KNOWN_BODY


@pytest.fixture
def askings() -> Askings:
    return Askings(RuleBook(Rules()))


def asked(
    askings: Askings, text: str = SHORT, caller: Caller = CALLER, route: Route = ROUTE, **more: Any
) -> Asking | None:
    body = encode({"model": "m", "messages": [{"role": "user", "content": text}], **more})
    request = Request(
        id="r", operation="chat", dialect="openai_chat", endpoint="/", body=body, headers={},
        received=0.0,
    )  # fmt: skip
    exchange = open_exchange("chat", "openai_chat", body, now=0)
    return askings.of(exchange, Outcome(request=request, caller=caller), route)


def key(*given: Any, **more: Any) -> str:
    asking = asked(*given, **more)
    assert asking is not None
    return asking.key


@pytest.mark.parametrize("text", [SHORT, LONG])
def test_a_call_that_comes_again_is_the_same_and_its_stream_is_too(
    askings: Askings, text: str
) -> None:
    first = key(askings, text)
    assert key(askings, text) == key(askings, text, stream=True) == first
    assert key(askings, text + "!") != first
    assert key(askings, text, temperature=0.5) != first


def test_a_call_that_was_pushed_out_of_memory_is_the_same_still(askings: Askings) -> None:
    first = key(askings)
    for number in range(MOST_KNOWN + 1):
        key(askings, str(number))
    assert key(askings) == first


def test_a_route_that_is_changed_has_answers_of_its_own_from_the_next_call_on(
    askings: Askings,
) -> None:
    before = key(askings)
    other = Route(targets=(RouteTarget(model="p/m"),))
    assert key(askings, route=other) != before
    assert key(askings) == before


def test_a_policy_that_is_changed_counts_from_the_next_call_on(askings: Askings) -> None:
    before = key(askings)
    off = replace(CALLER, policy=Policy(cache=CachePolicy(mode="off")))
    assert asked(askings, caller=off) is None
    elsewhere = replace(CALLER, policy=Policy(providers=("openai",)))
    assert key(askings, caller=elsewhere) != before
    assert key(askings) == before


def test_users_share_answers_only_where_the_scope_lets_them(askings: Askings) -> None:
    bob = replace(CALLER, user="bob")
    assert key(askings, caller=bob) == key(askings)
    policy = Policy(cache=CachePolicy(scope="user"))
    own = replace(CALLER, policy=policy)
    assert key(askings, caller=own) != key(askings, caller=replace(bob, policy=policy))


def test_tenants_share_answers_only_where_the_scope_lets_them(askings: Askings) -> None:
    other = replace(CALLER, tenant="other")
    assert key(askings, caller=other) != key(askings)
    policy = Policy(cache=CachePolicy(scope="shared"))
    shared = replace(CALLER, policy=policy)
    assert key(askings, caller=shared) == key(askings, caller=replace(other, policy=policy))
