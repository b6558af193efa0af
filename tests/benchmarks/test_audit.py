"""The audit in full keeps up, and what it kept can be trusted."""

import pytest
from benchmarks.audit import sustain


async def test_what_is_kept_is_whole_and_a_change_is_found() -> None:
    found = await sustain(1.0, 200)
    assert found.sent >= 190
    assert (found.kept, found.lost, found.faults) == (found.sent, 0, [])
    assert found.found_by_word
    assert len(found.faults_of_a_change) == 1
    assert "was changed" in found.faults_of_a_change[0]


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_thousand_calls_a_second_for_a_minute_lose_nothing_in_flat_memory() -> None:
    found = await sustain(60.0, 1000)
    assert found.sent >= 59_000
    assert (found.kept, found.lost, found.faults) == (found.sent, 0, [])
    assert found.found_by_word
    assert found.resident_mib[-1] - found.resident_mib[2] < 16
    assert len(found.faults_of_a_change) == 1
