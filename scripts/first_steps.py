"""Walks the README's first steps as a stranger would, in a clean Debian root, and times them.

sudo .venv/bin/python scripts/first_steps.py FOLDER     (FOLDER keeps the root for the next time)

The root has what the README asks for and nothing else; its pip has no cache. What is typed is read out of
the README. Jaeger, which it runs by docker, is the binary that JAEGER names; without one that step is left out.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from scripts.shell import typed  # noqa: E402

GATEWAY = "http://127.0.0.1:8080"
PACKAGES = "python3,python3-venv,git,make,curl,ca-certificates"
_PATIENCE = 300.0
INSIDE = """
mount -t proc proc "$1/proc"; mount --rbind /dev "$1/dev"; mount --bind "$2" "$1/mnt"
mount -t tmpfs tmpfs "$1/root"; mount -t tmpfs tmpfs "$1/tmp"
exec chroot "$1" env -i HOME=/root PATH=/usr/local/bin:/usr/bin:/bin USER=root bash -c 'cd; exec bash'
"""


def commands(heading: str) -> list[str]:
    """What the README tells to type under a heading, one command a string."""
    section = (ROOT / "README.md").read_text().split(f"\n### {heading}\n")[1].split("\n#")[0]
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", section, re.S)).replace("\\\n", " ")
    return [line for line in blocks.splitlines() if line]


class Terminal:
    """A shell in the clean root, whose commands are timed."""

    def __init__(self, base: Path, mounted: Path, name: str) -> None:
        self._shell = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-ec", INSIDE, "-",
             str(base), str(mounted)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self._name = name

    def run(self, command: str) -> str:
        """Raises RuntimeError where the command fails."""
        status, said = typed(self._shell, command)
        if status != 0:
            raise RuntimeError(f"{self._name}: {command}\n{said}")
        return said

    @contextmanager
    def serving(self, command: str) -> Iterator[None]:
        """`command` runs until the end of the block, which begins when the gateway is ready."""
        self.run(f"{command} > /tmp/served 2>&1 & SERVING=$!")
        until = time.monotonic() + _PATIENCE
        while not _is_ready():
            if time.monotonic() > until:
                raise RuntimeError(self.run("cat /tmp/served"))
            time.sleep(0.05)
        try:
            yield
        finally:
            self.run("kill $SERVING; wait $SERVING || true")

    def close(self) -> None:
        self._shell.kill()
        self._shell.wait()


def _is_ready() -> bool:
    try:
        with urllib.request.urlopen(f"{GATEWAY}/ready", timeout=2):
            return True
    except OSError:
        return False


def _wait_for_keys() -> None:
    """Until a call without a key is refused: the gateway hears of the first within a quarter of a second."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(f"{GATEWAY}/v1/models", timeout=5).close()
        except urllib.error.HTTPError as refused:
            if refused.code == 401:
                return
        time.sleep(0.05)
    raise RuntimeError("the key does not count")


def make_base(folder: Path) -> Path:
    base = folder / "first-steps"
    if not base.exists():
        making = folder / "first-steps.making"
        shutil.rmtree(making, ignore_errors=True)
        subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "trixie", str(making)],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        making.rename(base)
    for path in ("etc/ssl/certs/ca-certificates.crt", "etc/resolv.conf", "etc/pip.conf"):
        if Path("/", path).exists():
            shutil.copy(Path("/", path), base / path)
    return base


def tell(what: str, count: int, started: float, more: str = "") -> None:
    print(f"{what}: {count} commands, {time.monotonic() - started:.1f} s{more}", flush=True)


def first_answer(terminal: Terminal) -> None:
    typed = commands("First answer")
    clone, run, call = typed[0].replace("<this repository>", "/mnt/ai-gateway.git"), *typed[1:3]
    started = time.monotonic()
    terminal.run(clone)
    with terminal.serving(run):
        assert "simulator" in terminal.run(f"{call} -sS")
        tell("first answer", 3, started)
        began = time.monotonic()
        key, paid, refused = commands("A key with a budget")
        terminal.run(key)
        _wait_for_keys()
        assert "simulator" in terminal.run(f"{paid} -sS")
        assert "insufficient_quota" in terminal.run(f"{refused} -sS")
        tell("a key that refuses when it is spent", 3, began)
        terminal.run("rm -rf data")


def trace(terminal: Terminal, jaeger: str) -> None:
    _, run, call = commands("A trace in Jaeger")
    started = time.monotonic()
    collector = subprocess.Popen([jaeger], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with terminal.serving(run):
            terminal.run(f"{call} -sS")
            until = time.monotonic() + 30
            while not (found := _traces()):
                assert time.monotonic() < until, "no trace came to Jaeger"
                time.sleep(0.1)
        tell("a trace in Jaeger", 3, started, f" ({len(found[0]['spans'])} spans)")
    finally:
        collector.terminate()
        collector.wait(20)


def _traces() -> list[dict[str, list[object]]]:
    asked = "http://127.0.0.1:16686/api/traces?service=ai-gateway"
    try:
        with urllib.request.urlopen(asked, timeout=2) as answer:
            return json.load(answer)["data"]
    except OSError:
        return []


def wheel_alone(terminal: Terminal) -> None:
    started = time.monotonic()
    terminal.run("python3 -m venv ~/alone")
    terminal.run("~/alone/bin/pip install --quiet --disable-pip-version-check /mnt/*.whl")
    installed = time.monotonic()
    with terminal.serving("~/alone/bin/ai-gateway serve"):
        ready = time.monotonic()
    tell(
        "the wheel alone", 3, started, f", of them {ready - installed:.1f} s from `serve` to ready"
    )


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    base = make_base(folder)
    mounted = folder / "mounted"
    shutil.rmtree(mounted, ignore_errors=True)
    mounted.mkdir()
    subprocess.run(
        ["git", "clone", "--quiet", "--bare", str(ROOT), str(mounted / "ai-gateway.git")],
        check=True,
    )
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(mounted)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    if _is_ready():
        raise SystemExit("something serves on port 8080 here already")
    terminal = Terminal(base, mounted, "stranger")
    try:
        first_answer(terminal)
        jaeger = os.environ.get("JAEGER")
        if jaeger:
            trace(terminal, jaeger)
        wheel_alone(terminal)
    finally:
        terminal.close()


if __name__ == "__main__":
    main()
