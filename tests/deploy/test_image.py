"""The Dockerfile: linted, pinned, and built where the means are at hand."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_hadolint_has_nothing_to_say() -> None:
    done = subprocess.run([str(BIN / "hadolint"), str(ROOT / "Dockerfile")], capture_output=True)
    assert done.returncode == 0, done.stdout.decode()


def test_the_base_is_pinned_by_digest() -> None:
    assert re.search(r"^ARG PYTHON_IMAGE=\S+@sha256:[0-9a-f]{64}$", DOCKERFILE, re.M)
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.M) == ["${PYTHON_IMAGE}"] * 2


def test_it_runs_as_a_numbered_user_who_is_not_root_and_tells_its_health() -> None:
    run = DOCKERFILE.split("AS run", 1)[1]
    assert re.search(r"^USER 10001:10001$", run, re.M)
    assert "HEALTHCHECK" in run
    assert "/health" in run
    assert "VOLUME /var/lib/ai-gateway" in run


def test_dependencies_are_installed_by_hash_and_nothing_else_is() -> None:
    installs = re.findall(r"pip install ([^\\&\n]+)", DOCKERFILE)
    assert len(installs) == 3
    assert all("--require-hashes" in i or "--no-index" in i for i in installs)


def test_the_context_holds_what_is_copied_and_nothing_else() -> None:
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignore[1] == "*"
    let_in = {line[1:] for line in ignore if line.startswith("!")}
    assert let_in == {
        "requirements/*.txt",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "src",
        "scripts/trim_image.py",
    }
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.M):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source


@pytest.mark.slow
def test_the_image_builds_and_serves_on_a_read_only_root(tmp_path: Path) -> None:
    """By buildah, on a base made by debootstrap that stands in for python:3.13-slim-trixie."""
    missing = [name for name in ("buildah", "debootstrap", "unshare") if shutil.which(name) is None]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"needs root and {', '.join(missing) or 'root'}")
    folder = os.environ.get("IMAGE_FOLDER", str(tmp_path))
    done = subprocess.run(
        ["bash", "scripts/prove_image.sh", folder],
        cwd=ROOT, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    told = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    assert told["user"] == "uid=10001(gateway) gid=10001(gateway) groups=10001(gateway)"
    assert told["writes to its root"] == "refused"
    assert told["health"] == '{"status":"healthy","service":"ai-gateway"}'
    assert told["health check"] == "passed"
    assert told["without a key, ACCESS=auto"].startswith("refused")
    assert told["a call"] == "simulator"
    assert told["signs for Bedrock"] == "AWS4-HMAC-SHA256"
    assert told["finds by meaning"] == "7"
    assert told["end by SIGTERM"] == "0"
    assert int(told["size of what is added"].removesuffix("M")) < 200
    names = {c["name"] for c in json.loads(told["bill of materials"])["components"]}
    assert {"ai-gateway", "uvicorn", "msgspec"} <= names
    assert "pip" not in names
