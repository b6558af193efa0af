"""The endurance run in small: what grows without end shows within minutes."""

import os

import pytest
from benchmarks.endurance import endure, verdicts

from tests.figures import Figure


@pytest.mark.slow
async def test_under_mixed_traffic_nothing_is_left_behind(figure: Figure) -> None:
    """Two minutes, in which caches still fill; with FAULTS=long two hours, in which memory must be flat."""
    long = os.environ.get("FAULTS") == "long"
    minutes = 120.0 if long else 2.0
    looks, traffic, churn = await endure(minutes, 50)
    found = {verdict.what: verdict for verdict in verdicts(looks, traffic)}
    figure(f"{minutes:.0f} minutes:", f"{sum(traffic.made.values()):,} calls, {churn.keys} keys")
    for verdict in found.values():
        figure(f"{verdict.what}:", verdict.figure)
    judged = ("open files", "tasks", "answers other than they should be")
    assert all(found[what].holds for what in judged), found
    assert churn.reloads > 0
    if long:
        assert found["memory"].holds
    else:
        assert looks[-1].memory - looks[len(looks) // 3].memory < 20
