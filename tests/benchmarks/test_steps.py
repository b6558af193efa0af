"""A call's path does not grow unnoticed: how many functions it runs through, which no busy machine
changes."""

import pytest
import uvloop
from benchmarks.steps import CASES, counted, per_call

MOST = {
    "everything off": (166, 109),
    "everything on": (246, 208),
    "cached": (149, 143),
}
"""(Python functions, C functions), some two parts in a hundred above what CPython 3.11 counts; later
versions count less. Whoever lowers the counts lowers these."""


@pytest.mark.parametrize("case", CASES)
def test_a_call_runs_through_no_more_functions_than_it_did(case: str) -> None:
    environ, fresh = CASES[case]
    python, c = per_call(uvloop.run(counted(environ, fresh=fresh)))
    most_python, most_c = MOST[case]
    assert python <= most_python
    assert c <= most_c
    # And it was counted at all.
    assert python > most_python // 2
