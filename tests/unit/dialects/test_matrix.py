"""Every scenario for every pair of dialects keeps its meaning, or says what is lost."""

from pathlib import Path

import pytest

from ai_gateway.dialects.registry import DIALECTS

from .matrix import PAIRS, page, rows

CASES = [(title, name, run) for title, table in rows().items() for name, run in table]


@pytest.mark.parametrize(("caller", "provider"), PAIRS)
@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}: {c[1]}")
def test_nothing_is_lost_in_silence(caller: str, provider: str, case: object) -> None:
    _, _, run = case  # type: ignore[misc]
    found, notes = run(caller, provider)
    assert found
    assert (found == "note") == bool(notes)


def test_the_table_is_large_and_the_document_shows_it() -> None:
    assert len(CASES) >= 80
    assert len(PAIRS) == len(DIALECTS) * (len(DIALECTS) + 2)
    written = (Path(__file__).parents[3] / "docs/dialect-matrix.md").read_text("utf-8")
    assert written == page(), "run `make documents`"
