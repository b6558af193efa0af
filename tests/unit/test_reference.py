"""docs/reference.md says what callers and operators really meet."""

import re
from pathlib import Path

import pytest
from scripts import reference

PAGE = (Path(__file__).parents[2] / "docs/reference.md").read_text()


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("model_not_found", "404"),
        ("invalid_api_key", "401"),
        ("insufficient_quota", "429"),
        ("upstream_timeout", "504"),
        ("queue_full", "503"),
        ("audit_record_not_found", "404"),
        ("too_many_lines", "batch"),
    ],
)
def test_a_code_has_its_status(code: str, status: str) -> None:
    assert f"| `{code}` | {status} |" in PAGE


def test_codes_are_words_that_programs_can_compare() -> None:
    codes = re.findall(r"^\| `([^`]+)` \| (?:\d|batch)", PAGE, re.M)
    assert len(codes) > 60
    assert [code for code in codes if not re.fullmatch(r"[a-z_]+", code)] == []


def test_an_event_that_nobody_explained_stops_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(reference.EVENTS, "breaker")
    with pytest.raises(ValueError, match="breaker"):
        reference.reference()
