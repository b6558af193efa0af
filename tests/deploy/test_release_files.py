"""The workflows: valid by GitHub's schema, and careful with what they are trusted with."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


@pytest.mark.parametrize(
    ("path", "schema"),
    [*((p, "vendor.github-workflows") for p in WORKFLOWS),
     (ROOT / ".github/dependabot.yml", "vendor.dependabot")],
    ids=lambda value: getattr(value, "name", value),
)  # fmt: skip
def test_valid_by_its_schema(path: Path, schema: str) -> None:
    checker = Path(sys.executable).parent / "check-jsonschema"
    done = subprocess.run(
        [str(checker), "--builtin-schema", schema, str(path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_no_more_is_allowed_than_needed_and_no_stranger_is_run(path: Path) -> None:
    workflow: dict[str, Any] = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert "timeout-minutes" in job
        for step in job["steps"]:
            assert step.get("uses", "actions/").startswith("actions/")
            # Text that others chose reaches a shell by the environment only.
            assert not re.search(r"\$\{\{\s*(github|inputs)\b", step.get("run", ""))


def test_make_targets_and_scripts_that_the_workflows_run_are_here() -> None:
    makefile = (ROOT / "Makefile").read_text()
    text = "".join(p.read_text() for p in WORKFLOWS)
    for target in re.findall(r"run: make ([a-z-]+)$", text, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target
    for path in re.findall(r"(?:bash|pytest) ((?:\.ci|scripts|tests)/\S+)", text):
        assert (ROOT / path).exists(), path
