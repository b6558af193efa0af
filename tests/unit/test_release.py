"""The wheel and the sdist: whole, the same twice, and enough alone."""

import hashlib
import os
import subprocess
import sys
import tarfile
import time
import tomllib
import urllib.request
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ai_gateway import __version__

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src/ai_gateway"
MADE = ("__pycache__", ".DS_Store")


def build(folder: Path, target: str) -> Path:
    environ = {**os.environ, "SOURCE_DATE_EPOCH": "315532800"}
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)],
        cwd=ROOT, env=environ, check=True, capture_output=True,
    )  # fmt: skip
    (made,) = [p for p in folder.iterdir() if p.suffix == (".whl" if target == "wheel" else ".gz")]
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"), "wheel")


def sources() -> Iterator[str]:
    for path in SOURCE.rglob("*"):
        if path.is_file() and not any(part in MADE for part in path.parts):
            yield str(path.relative_to(ROOT / "src"))


def test_every_file_of_the_package_is_in_the_wheel(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    here = set(sources())
    assert any(not name.endswith(".py") for name in here)
    assert here - inside == set()
    assert {name for name in inside if not name.startswith("ai_gateway-")} - here == set()


def test_the_wheel_says_who_it_is(wheel: Path) -> None:
    assert wheel.name == f"ai_gateway-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as inside:
        about = inside.read(f"ai_gateway-{__version__}.dist-info/METADATA").decode()
        assert f"ai_gateway-{__version__}.dist-info/licenses/LICENSE" in inside.namelist()
    assert "\nLicense-Expression: MIT\n" in about
    assert "\nRequires-Python: >=3.11\n" in about


def test_the_wheel_needs_what_is_locked() -> None:
    locked = [
        line.split(" ;")[0]
        for line in (ROOT / "requirements/run.in").read_text().splitlines()
        if not line.startswith("#")
    ]
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert sorted(declared) == sorted(locked)


@pytest.mark.parametrize("target", ["wheel", "sdist"])
def test_building_twice_gives_the_same_bytes(tmp_path: Path, target: str) -> None:
    hashes = [
        hashlib.sha256(build(tmp_path / turn, target).read_bytes()).hexdigest()
        for turn in ("once", "again")
    ]
    assert hashes[0] == hashes[1]


def test_the_sdist_holds_what_a_packager_needs(tmp_path: Path) -> None:
    with tarfile.open(build(tmp_path, "sdist")) as inside:
        names = {name.split("/", 1)[1] for name in inside.getnames() if "/" in name}
    for needed in ("pyproject.toml", "LICENSE", "README.md", "CHANGELOG.md", "tests/serving.py"):
        assert needed in names
    assert {f"src/{name}" for name in sources()} <= names
    assert [n for n in names if n.startswith((".venv", ".git/"))] == []


@pytest.mark.slow
def test_the_wheel_serves_alone_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    """Installed as a user would, with what it declares, far from this tree."""
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env/bin/python"
    subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", str(wheel)], check=True, timeout=600
    )
    command = str(tmp_path / "env/bin/ai-gateway")
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PORT": "0"}
    told = subprocess.run([command, "--version"], capture_output=True, text=True, env=environ)
    assert told.stdout == f"ai-gateway {__version__}\n"
    started = time.monotonic()
    serving = subprocess.Popen(
        [command, "serve"], env=environ, cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert serving.stderr is not None
        address = serving.stderr.readline().split(" serving on ")[1].strip()
        with urllib.request.urlopen(f"{address}/health", timeout=10) as answer:
            assert answer.read() == b'{"status":"healthy","service":"ai-gateway"}'
        assert time.monotonic() - started < 10
    finally:
        serving.terminate()
        serving.wait(20)
