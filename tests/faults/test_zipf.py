"""What the cache answered, what the provider was asked and what the ledger says are one account."""

from pathlib import Path

import pytest

from tests.faults.zipf import run


@pytest.mark.parametrize("calls", [1500, pytest.param(50_000, marks=pytest.mark.slow)])
async def test_a_replay_is_accounted_for_to_the_cent(calls: int, tmp_path: Path) -> None:
    result = await run(tmp_path, calls, questions=min(5000, calls // 3))
    assert result.hits > calls / 3
    assert result.good, result
