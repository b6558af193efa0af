"""A reader at a shell, with a gateway before them: a page's steps are run as they are told."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx2 as httpx
from scripts.shell import typed

from tests.clients.conftest import Process, start_gateway

from .pages import ROOT, program

ADMIN_KEY = "an-admin-key-of-no-less-than-32-characters"
PRELUDE = """
curl() { command curl -sS --fail-with-body --max-time 20 "$@"; }
set -o pipefail
"""
SERVES = ("make run", "ai-gateway serve", "docker compose up", "docker run -p 8080:8080")
"""These start a gateway: by the harness, with what stands before them or in .env as its environment."""


class Session:
    def __init__(self, folder: Path, simulator: str, environ: dict[str, str]) -> None:
        self.folder = folder
        self.gateway: Process | None = None
        self.last_id = self.last_key = self.last_call = "none-yet"
        for path in ROOT.iterdir():
            if path.name not in ("data", "dist", ".env", ".git"):
                (folder / path.name).symlink_to(path)
        self._environ = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder), "DATA_DIR": str(folder / "data"), "PYTHONPATH": str(ROOT / "src"),
            # Keys that the pages name reach the simulator, not the world.
            "OPENAI_BASE_URL": f"{simulator}/v1", "ANTHROPIC_BASE_URL": simulator, **environ,
        }  # fmt: skip
        self._shell = subprocess.Popen(
            ["bash"], cwd=folder, env=self._environ, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._type(PRELUDE)

    def close(self) -> None:
        self._shell.kill()
        self._shell.wait()
        self._end()

    def _end(self) -> None:
        """At once: one that cannot reach its collector would wait for it."""
        if self.gateway is not None:
            self.gateway.process.kill()
            self.gateway.process.wait()

    def serves(self, command: str) -> bool:
        return re.sub(r"^([A-Z_]+=\S+ )+", "", command).startswith(SERVES)

    def start(self, command: str = "make run") -> None:
        """The gateway, as `command` says; one that runs is ended first."""
        self._end()
        given = dict(re.findall(r"\b([A-Z_]+)=(\S+)", command))
        if command.startswith("docker compose"):
            env = (self.folder / ".env").read_text()
            # The stack's own Redis and PostgreSQL are tests/deploy's.
            given = {
                name: value
                for name, value in re.findall(r"^(\w+)=(.*)$", env, re.M)
                if name in ("ADMIN_KEY", "OPENAI_API_KEY")
            }
        if not command.startswith("docker"):
            given = {k: v for k, v in self._environ.items() if k not in ("PATH", "HOME")} | given
        else:
            given |= {k: v for k, v in self._environ.items() if k.endswith(("_URL", "_DIR"))}
        self.gateway = start_gateway(self.folder, **given)
        log = self.folder / "gateway.log"
        log.unlink(missing_ok=True)
        log.symlink_to(self.gateway.log)
        self._type(f"GATEWAY={self.gateway.url}")

    def wait_for_keys(self) -> None:
        """Until the gateway has heard that there are keys: a call without one is refused."""
        assert self.gateway is not None
        until = time.monotonic() + 20
        while httpx.get(f"{self.gateway.url}/v1/models").status_code != 401:
            assert time.monotonic() < until, "the key does not count"
            time.sleep(0.05)

    def run(self, command: str) -> tuple[int, str]:
        """Exit status and what was said."""
        if program(command) == "make":
            # That it would run: what it runs takes minutes, and is tested elsewhere.
            command = re.sub(r"\bmake ", "make -n ", command)
        status, said = self._type(self._filled(command))
        # What the next commands call `key_...` and `sk-gw-...`.
        for id in re.findall(r"\bkey_[0-9a-f]{8,}", said):
            self.last_id = id
        for key in re.findall(r"\bsk-gw-[\w-]{20,}", said):
            self.last_key = key
        return status, said

    def run_python(self, program: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-c", self._filled(program)], cwd=self.folder, env=self._environ,
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def _filled(self, text: str) -> str:
        if self.gateway is not None:
            text = text.replace("http://localhost:8080", self.gateway.url)
            calls = [line for line in self.gateway.lines() if line["event"] == "call"]
            if calls:
                text = re.sub(r"[0-9a-f]{16}…", str(calls[-1]["call_id"]), text)
        return text.replace("key_...", self.last_id).replace("sk-gw-...", self.last_key)

    def _type(self, command: str) -> tuple[int, str]:
        status, said = typed(self._shell, command)
        assert status is not None, f"the shell ended: {said}"
        return status, said


def has_what_it_needs() -> bool:
    return all(shutil.which(name) for name in ("bash", "curl", "jq", "openssl", "make"))
