"""The campaign's table names tests that are there, every scenario once, and its page shows them all."""

import re
from pathlib import Path

from tests.faults.scenarios import SCENARIOS

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "reliability.md"


def test_every_scenario_names_tests_that_are_there() -> None:
    for scenario in SCENARIOS:
        for test in (*scenario.tests, *scenario.long):
            file, _, name = test.partition("::")
            text = (TESTS / file).read_text()
            name = name.split("[")[0]
            assert not name or re.search(rf"def {name}\(", text), test


def test_every_number_is_given_once() -> None:
    numbers = [scenario.number for scenario in SCENARIOS]
    assert numbers == sorted(set(numbers))
