"""docs/reference.md says what callers and operators really meet."""

import re
from pathlib import Path

import pytest
from scripts import reference

from ai_gateway.model.audit import Audit
from ai_gateway.model.key import TokenIssuer
from ai_gateway.model.policy import Policy
from ai_gateway.model.route import Route
from ai_gateway.settings.sections import SECTIONS

PAGE = (Path(__file__).parents[2] / "docs/reference.md").read_text()


def test_every_section_of_gateway_yaml_is_there_field_by_field() -> None:
    for section in SECTIONS:
        assert f"| `{section.name}` | " in PAGE
    for noun in (Route, Policy, TokenIssuer, Audit):
        table = PAGE.split(f"\n### {noun.__name__}\n")[1].split("\n### ")[0]
        assert [f for f in noun.__struct_encode_fields__ if f"| `{f}` | " not in table] == []
    assert "| `retries` | whole number, from 0, to 10 | `2` | How often" in PAGE


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
