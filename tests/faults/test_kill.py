"""No call that was answered is lost by `kill -9`, and none is counted twice."""

from pathlib import Path

import pytest

from tests.faults.kill import run
from tests.figures import Figure


@pytest.mark.parametrize("kills", [4, pytest.param(100, marks=pytest.mark.slow)])
async def test_every_answered_call_is_in_the_ledger_exactly_once(
    kills: int, database: dict[str, str], tmp_path: Path, figure: Figure
) -> None:
    result = await run(tmp_path, kills, database)
    kind = "postgresql" if database else "sqlite"
    figure(
        f"{kind}, {kills} kills:",
        f"{result.answered} answered, {len(result.missing)} missing, {len(result.twice)} twice, cost "
        f"{result.cost_of_answered} of {result.cost_expected} USD",
    )
    assert result.answered > 20 * kills
    assert result.good, result
