"""The project itself: locks, layers, words."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ai_gateway import __version__

ROOT = Path(__file__).parents[2]


def committed() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name]


@pytest.mark.skipif(
    not (ROOT / ".git").exists() or shutil.which("git") is None,
    reason="needs git and a checkout, to know what is committed",
)
def test_nothing_committed_names_a_registrys_host() -> None:
    # In pieces, so that this file does not name them either.
    hosts = [
        ".".join(parts)
        for parts in (
            ("pypi", "org"),
            ("files", "pythonhosted", "org"),
            ("registry", "npmjs", "org"),
            ("registry", "yarnpkg", "com"),
            ("proxy", "golang", "org"),
            ("static", "crates", "io"),
            ("index", "crates", "io"),
        )
    ]
    found = [
        (path.name, host)
        for path in committed()
        if path.is_file()
        for host in hosts
        if host.encode() in path.read_bytes()
    ]
    assert found == []


@pytest.mark.parametrize("name", ["run", "dev", "build", "clients"])
def test_every_locked_package_has_hashes(name: str) -> None:
    text = (ROOT / f"requirements/{name}.txt").read_text()
    packages = re.findall(r"^[A-Za-z0-9][^\s]*==.*?(?=^[A-Za-z0-9]|\Z)", text, re.M | re.S)
    assert len(packages) >= 8
    assert [p.split("==")[0] for p in packages if "--hash=sha256:" not in p] == []


def test_every_lock_file_of_npm_is_without_addresses() -> None:
    for path in ROOT.glob("tests/**/package-lock.json"):
        if "node_modules" not in path.parts:
            assert '"resolved"' not in path.read_text()


def test_every_client_that_is_run_is_in_its_document() -> None:
    page = (ROOT / "docs/clients.md").read_text()
    python = (ROOT / "requirements/clients.in").read_text().splitlines()
    named = [re.split(r"[\[<]", line)[0] for line in python if line and line[0] != "#"]
    node = json.loads((ROOT / "tests/clients/node/package.json").read_text())["dependencies"]
    missing = [name for name in (*named, *node) if f"`{name}`" not in page]
    assert missing == ["zod"]  # which only writes schemas


def test_every_make_target_says_what_it_is_for() -> None:
    text = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^\.PHONY: (.+)$", text, re.M):
        assert re.search(rf"^{target}:.*## \S", text, re.M), target


def test_the_layers_hold() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_this_version_is_in_the_changelog() -> None:
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_files_are_short_enough_to_hold_in_the_head() -> None:
    long = [
        path.name
        for path in (ROOT / "src").rglob("*.py")
        if len(path.read_text().splitlines()) > 400
    ]
    assert long == []
