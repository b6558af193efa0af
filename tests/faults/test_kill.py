"""No call that was answered is lost by `kill -9`, and none is counted twice."""

from pathlib import Path

import pytest

from tests.faults.kill import run


@pytest.mark.parametrize("kills", [4, pytest.param(100, marks=pytest.mark.slow)])
async def test_every_answered_call_is_in_the_ledger_exactly_once(
    kills: int, database: dict[str, str], tmp_path: Path
) -> None:
    result = await run(tmp_path, kills, database)
    assert result.answered > 20 * kills
    assert result.good, result
