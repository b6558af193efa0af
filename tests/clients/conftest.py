"""A gateway and its two providers as separate processes, as in production."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO
from uuid import uuid4

import pytest
from msgspec import Struct

from tests.ports import free_port

START_SECONDS = 30.0


class Process(Struct):
    process: "subprocess.Popen[bytes]"
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def lines(self) -> list[dict[str, object]]:
        """The log, parsed; a line being written is left out."""
        text = self.log.read_text("utf-8")
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def stderr(self) -> str:
        return self.log.with_suffix(".err").read_text("utf-8")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


def start_gateway(directory: Path, *, within: Sequence[str] = (), **environ: str) -> Process:
    """`ai-gateway serve` on a free port, with nothing configured but what is given. `within`: a command
    that runs it in its place, such as `unshare`."""
    log = directory / f"gateway-{time.monotonic_ns()}.log"
    with log.open("wb") as out:
        process = _run(
            ["serve"],
            out,
            {"PORT": "0", "ENDPOINT_GRACE": "0", "RATE_LIMIT_CAPACITY": "0", **environ},
            within,
        )
    port = _wait_for_port(process, log)
    return Process(process, port, log)


def start_simulator(directory: Path, port: int, *options: str) -> Process:
    log = directory / f"simulator-{port}.log"
    arguments = ["simulate", "--port", str(port)]
    for option in options:
        arguments += ["--option", option]
    with log.open("wb") as out:
        process = _run(arguments, out, {})
    _wait_for_answer(port)
    return Process(process, port, log)


def _run(
    arguments: list[str], out: IO[bytes], environ: dict[str, str], within: Sequence[str] = ()
) -> "subprocess.Popen[bytes]":
    root = Path(__file__).parents[2]
    with Path(out.name).with_suffix(".err").open("wb") as err:
        return subprocess.Popen(
            [*within, sys.executable, "-m", "ai_gateway", *arguments],
            stdout=out,
            stderr=err,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(root / "src"), **environ},
            cwd=out.name.rsplit("/", 1)[0],
        )


def _wait_for_port(process: "subprocess.Popen[bytes]", log: Path) -> int:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        # In JSON, or as text (LOG_FORMAT).
        serving = re.search(r'(?:"event":"| )serving\b.*\bport"?[:=](\d+)', log.read_text("utf-8"))
        if serving is not None:
            return int(serving[1])
        assert process.poll() is None, "the gateway ended at its start"
        time.sleep(0.02)
    raise AssertionError("the gateway did not start")


def _wait_for_answer(port: int) -> None:
    import socket

    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            time.sleep(0.02)
    raise AssertionError("the simulator did not start")


def to_fail(model: str) -> str:
    """The model by a name that no other test asks for. A circuit breaker is a provider's model's, and
    the gateway is every test's: one that fails must not close the way to the others."""
    return f"{model}-{uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clients")


@pytest.fixture(scope="session")
def simulator(directory: Path) -> Iterator[Process]:
    running = start_simulator(directory, free_port(), "require_key=true")
    yield running
    running.stop()


@pytest.fixture(scope="session")
def gateway(directory: Path, simulator: Process) -> Iterator[Process]:
    """OpenAI, Anthropic, Gemini and Groq are all the simulator, reached over HTTP as they would be."""
    running = start_gateway(
        directory,
        OPENAI_API_KEY="sk-openai",
        OPENAI_BASE_URL=f"{simulator.url}/v1",
        ANTHROPIC_API_KEY="sk-ant",
        ANTHROPIC_BASE_URL=simulator.url,
        SIMULATOR_BASE_URL=f"{simulator.url}/v1",
        SIMULATOR_API_KEY="sk-sim",
        SIMULATOR_ANTHROPIC_BASE_URL=simulator.url,
        SIMULATOR_ANTHROPIC_API_KEY="sk-sim",
        GEMINI_API_KEY="google-key",
        GEMINI_BASE_URL=f"{simulator.url}/v1beta",
        GROQ_API_KEY="sk-groq",
        GROQ_BASE_URL=f"{simulator.url}/v1",
    )
    yield running
    running.stop()
