"""Limits of models and providers, where calls ask for a route."""

from pathlib import Path

import pytest

from tests.serving import post

from .routes import CHAT, Routed, asked, good, refusal, routing

HEADERS = {"cache-control": "no-cache"}


async def statuses(routed: Routed, *models: str) -> list[int]:
    return [
        (await post(routed.url + CHAT, asked(model), headers=HEADERS)).status for model in models
    ]


async def test_a_call_counts_for_the_target_that_its_strategy_puts_first(tmp_path: Path) -> None:
    limits = "limits:\n  - {per: provider, capacity: 2, refill: 0, providers: [a]}\n"
    scripts = [good("a"), good("b")]
    async with routing(tmp_path, scripts, route="strategy: round-robin", more=limits) as routed:
        assert await statuses(routed, *["smart"] * 6) == [200, 200, 200, 200, 429, 200]
        assert routed.counts() == [2, 3]


async def test_no_route_leads_past_a_models_limit(tmp_path: Path) -> None:
    limits = "limits:\n  - {per: user_model, capacity: 1, refill: 0, models: [m]}\n"
    async with routing(tmp_path, [good("a"), good("b")], more=limits) as routed:
        assert await statuses(routed, "a/m", "smart", "auto") == [200, 429, 429]


@pytest.mark.parametrize("per", ["user", "user_model"])
@pytest.mark.parametrize("route", ["smart", "auto"])
async def test_a_limit_may_name_a_route_and_holds_whichever_target_is_asked(
    route: str, per: str, tmp_path: Path
) -> None:
    limits = f"limits:\n  - {{per: {per}, capacity: 3, refill: 0, models: [{route}]}}\n"
    scripts = [good("a"), good("b")]
    async with routing(tmp_path, scripts, route="strategy: round-robin", more=limits) as routed:
        assert await statuses(routed, *[route] * 4) == [200, 200, 200, 429]
        assert await statuses(routed, "a/m", "b/m") == [200, 200]


async def test_what_takes_over_for_a_target_that_fails_is_not_counted_anew(tmp_path: Path) -> None:
    limits = "limits:\n  - {per: provider, capacity: 1, refill: 0, providers: [b]}\n"
    async with routing(tmp_path, [refusal(500), good("b")], more=limits) as routed:
        assert await statuses(routed, "smart", "smart", "b/m", "b/m") == [200, 200, 200, 429]
