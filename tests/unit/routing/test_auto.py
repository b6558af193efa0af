"""`auto`, and targets that are patterns: what they stand for, for whom, for which call."""

import json
from random import Random

import pytest

from ai_gateway.catalogue.catalogue import load_catalogue
from ai_gateway.dialects.exchange import open_exchange
from ai_gateway.model.call import Caller, Operation, Request
from ai_gateway.model.errors import GatewayError
from ai_gateway.model.policy import UNRESTRICTED, Policy
from ai_gateway.model.route import Route, RouteTarget, Strategy
from ai_gateway.routing.check import route_problems
from ai_gateway.routing.destinations import Credential, Directory
from ai_gateway.routing.resolved import Resolved
from ai_gateway.routing.router import Plan, Router
from ai_gateway.routing.vitals import VitalsBook

PROVIDERS = ("openai", "anthropic", "gemini", "groq")


def router_of(routes: dict[str, Route] | None = None, providers: tuple[str, ...] = PROVIDERS) -> Router:  # fmt: skip
    credentials = {
        name: Credential(base_url="http://127.0.0.1:1/v1", secrets=("key",)) for name in providers
    }
    directory = Directory(load_catalogue(), credentials, VitalsBook(), user_agent="test")
    return Router(directory, routes or {}, clock=lambda: 100.0, random=Random(1))


def route(*models: str, strategy: Strategy = "balanced") -> Route:
    return Route(targets=tuple(RouteTarget(model=m) for m in models), strategy=strategy)


def call(model: str, **more: object) -> bytes:
    return json.dumps(
        {"model": model, "messages": [{"role": "user", "content": "hello"}], **more}
    ).encode()


def plan_of(
    router: Router, model: str = "auto", policy: Policy = UNRESTRICTED, **more: object
) -> tuple[Resolved, Plan]:
    body = call(model, **more)
    exchange = open_exchange("chat", "openai_chat", body, now=0)
    request = Request(
        id="r", operation="chat", dialect="openai_chat", endpoint="/v1/chat/completions",
        body=body, headers={}, received=0.0,
    )  # fmt: skip
    resolved = router.resolve("chat", model, policy, "openai_chat")
    caller = Caller(tenant="t", user="u", policy=policy)
    return resolved, router.plan(resolved, exchange, request, caller)


def names(found: Plan | Resolved) -> list[str]:
    order = found.order if isinstance(found, Plan) else found.candidates
    return [f"{c.destination.facts.provider}/{c.destination.facts.name}" for c in order]


def test_auto_is_there_without_being_configured_and_leads_to_every_configured_provider() -> None:
    resolved, plan = plan_of(router_of())
    found = names(resolved)
    assert resolved.route.strategy == "balanced"
    assert {name.split("/")[0] for name in found} == set(PROVIDERS)
    assert len(found) == len(set(found))
    assert plan.most == 8
    assert 8 <= len(plan.order) <= 16


def test_it_stands_for_chat_models_in_use_not_for_all_that_has_a_price() -> None:
    found = names(plan_of(router_of())[0])
    assert "openai/gpt-4o-mini" in found
    for word in ("whisper", "embed", "tts", "image", "audio", "realtime", "davinci", "moderation"):
        assert not [name for name in found if word in name]


def test_what_routes_name_is_among_them() -> None:
    routes = {"own": route("openai/ft:gpt-4o:mine", "gpt-4o"), "more": route("groq/*")}
    found = names(plan_of(router_of(routes))[0])
    assert found[0] == "openai/ft:gpt-4o:mine"
    assert found.count("openai/gpt-4o") == 1


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("openai/gpt-4o*", {"openai/gpt-4o", "openai/gpt-4o-mini"}),
        ("gpt-4o*", {"openai/gpt-4o", "openai/gpt-4o-mini"}),
        ("gemini/gemini-2.5-pro*", {"gemini/gemini-2.5-pro"}),
    ],
)
def test_a_pattern_stands_for_the_models_that_fit(pattern: str, expected: set[str]) -> None:
    router = router_of({"fit": route(pattern)})
    assert set(names(plan_of(router, "fit")[0])) == expected


def test_ones_own_auto_takes_its_place() -> None:
    router = router_of({"auto": route("groq/*", strategy="cheapest")})
    resolved, plan = plan_of(router)
    assert resolved.route.strategy == "cheapest"
    assert {name.split("/")[0] for name in names(plan)} == {"groq"}
    router.swap({})
    assert plan_of(router)[0].route.strategy == "balanced"


def test_the_cheapest_by_price_comes_first() -> None:
    router = router_of({"auto": route("openai/gpt-4*", strategy="cheapest")})
    assert names(plan_of(router)[1])[0] == "openai/gpt-4.1-nano"


@pytest.mark.parametrize("strategy", ["balanced", "cheapest", "fastest", "priority", "weighted"])
def test_only_models_that_can_do_the_call_are_asked(strategy: Strategy) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    seeing = {"messages": [{"role": "user", "content": [picture]}]}
    router = router_of({"auto": route("*", strategy=strategy)})
    assert "openai/o3-mini" in names(plan_of(router)[0])
    for _ in range(2):
        assert "openai/o3-mini" not in names(plan_of(router, **seeing)[1])


def test_a_key_that_may_use_some_models_has_auto_choose_among_them() -> None:
    router = router_of()
    for models in (("gpt-4o*",), ("auto", "openai/gpt-4o*")):
        policy = Policy(models=models)
        for _ in range(2):
            assert set(names(plan_of(router, policy=policy)[1])) == {"openai/gpt-4o", "openai/gpt-4o-mini"}  # fmt: skip
    assert len(plan_of(router, policy=Policy(models=("auto",)))[1].order) > 8
    policy = Policy(providers=("groq", "gemini"))
    assert {n.split("/")[0] for n in names(plan_of(router, policy=policy)[1])} == {"groq", "gemini"}


def test_a_key_that_may_use_none_of_them_is_refused() -> None:
    with pytest.raises(GatewayError) as refused:
        plan_of(router_of(), policy=Policy(models=("whisper-1",)))
    assert refused.value.code == "model_not_allowed"


@pytest.mark.parametrize("operation", ["embeddings", "rerank", "images", "moderations"])
def test_it_is_for_chat_alone(operation: Operation) -> None:
    with pytest.raises(GatewayError) as refused:
        router_of().resolve(operation, "auto")
    assert refused.value.code == "no_model_fits"


def test_a_model_that_is_out_gives_way() -> None:
    router = router_of()
    first = plan_of(router)[1].order[0]
    first.destination.vitals.breaker.force("open")
    assert plan_of(router)[1].order[0] is not first


def test_what_is_set_aside_for_it_is_for_the_dearest() -> None:
    resolved, _ = plan_of(router_of())
    prices = [
        float(f.prices.output.base)
        for c in resolved.candidates
        for f in (c.destination.facts,)
        if f.prices is not None and f.prices.output is not None
    ]
    dearest = [float(f.prices.output.base) for f in resolved.dearest if f.prices is not None and f.prices.output is not None]  # fmt: skip
    assert max(dearest) == max(prices)
    assert len(resolved.dearest) < len(resolved.candidates) / 2


def test_a_pattern_that_fits_nothing_is_a_problem_and_so_is_no_provider() -> None:
    router = router_of()
    problems = route_problems("bad", route("nobody/*"), {}, router.directory)
    assert "fits no chat model" in str(problems[0])
    assert route_problems("good", route("openai/*"), {}, router.directory) == []
    with pytest.raises(GatewayError) as refused:
        router_of(providers=("jina",)).resolve("chat", "auto")
    assert refused.value.code == "no_model_fits"
