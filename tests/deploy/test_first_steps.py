"""A stranger's first steps, by the README, in a clean root. Slow; needs root and debootstrap."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from scripts.first_steps import commands

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("heading", ["A trace in Jaeger", "A key with a budget"])
def test_each_takes_three_commands(heading: str) -> None:
    assert len(commands(heading)) == 3


def test_the_first_answer_takes_three_commands() -> None:
    clone, run, *calls = commands("First answer")
    assert clone.startswith("git clone ")
    assert run == "make run"
    assert calls[0].startswith("curl ")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_they_work_in_a_clean_root(tmp_path: Path) -> None:
    missing = [name for name in ("debootstrap", "unshare") if shutil.which(name) is None]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"needs root and {', '.join(missing) or 'root'}")
    folder = os.environ.get("IMAGE_FOLDER", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "scripts/first_steps.py", folder],
        cwd=ROOT, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    seconds = {
        what: float(taken)
        for what, taken in re.findall(r"^(.+): \d commands, ([\d.]+) s", done.stdout, re.M)
    }
    assert seconds["first answer"] < 180
    assert seconds["a key that refuses when it is spent"] < 30
    assert seconds["the wheel alone"] < 180
