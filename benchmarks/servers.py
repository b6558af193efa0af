"""The processes of a bench, each pinned to its core: the gateway, its limit, its provider."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Collection, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from .load import body_of

ROOT = Path(__file__).parent.parent
UPSTREAM_PORT = 19801
GATEWAY_PORT = 19802
HAPROXY_PORT = 19803

PYTHON = os.environ.get("BENCH_PYTHON", sys.executable).split()
"""The interpreter that runs the gateway, e.g. one built with profile-guided optimisation."""

EMPTY: Mapping[str, str] = {}
GATEWAY_CORE = 0
LOAD_CORE = 1 if (os.cpu_count() or 1) > 1 else 0


def pinned(cores: set[int], arguments: list[str], **environ: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        arguments,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), **environ},
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )


def pin_load() -> None:
    """This process makes the load itself."""
    os.sched_setaffinity(0, {LOAD_CORE})


def load_process(*arguments: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.load", *arguments],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CORE}),
    )


@contextmanager
def running(process: "subprocess.Popen[bytes]") -> Generator[int, None, None]:
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


@contextmanager
def upstream() -> Generator[str, None, None]:
    process = pinned({LOAD_CORE}, [sys.executable, "-m", "benchmarks.upstream", str(UPSTREAM_PORT)])
    with running(process):
        wait_until_answers(f"http://127.0.0.1:{UPSTREAM_PORT}")
        yield f"http://127.0.0.1:{UPSTREAM_PORT}"


def migrate(environ: Mapping[str, str]) -> None:
    """Makes the gateway's database, and ends."""
    given = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), **environ}
    command = [*PYTHON, "-m", "ai_gateway", "migrate"]
    subprocess.run(command, check=True, cwd=ROOT, env=given, capture_output=True)


@contextmanager
def gateway(
    upstream_url: str,
    key: str = "",
    cores: Collection[int] = (GATEWAY_CORE,),
    environ: Mapping[str, str] = EMPTY,
    **more: str,
) -> Generator[tuple[int, float], None, None]:
    """As its user starts it, but for the cache: the bench asks the same again and again. Gives its
    process and the seconds until its first answer."""
    started = time.perf_counter()
    process = pinned(
        set(cores),
        [*PYTHON, "-m", "ai_gateway", "serve"],
        **{
            "PORT": str(GATEWAY_PORT),
            "OPENAI_API_KEY": "bench",
            "OPENAI_BASE_URL": f"{upstream_url}/v1",
            "ANTHROPIC_API_KEY": "bench",
            "ANTHROPIC_BASE_URL": f"{upstream_url}/v1",
            # Limits are in force, and never reached.
            "RATE_LIMIT_CAPACITY": "1000000000",
            "RATE_LIMIT_REFILL_RATE": "1000000000",
            "CACHE_TTL": "0",
            **environ,
            **more,
        },
    )
    with running(process) as pid:
        wait_until_answers(f"http://127.0.0.1:{GATEWAY_PORT}", key)
        yield pid, time.perf_counter() - started


@contextmanager
def haproxy() -> Generator[bool, None, None]:
    """A plain reverse proxy on the gateway's core: the limit of what standing between costs."""
    if shutil.which("haproxy") is None:
        yield False
        return
    with tempfile.NamedTemporaryFile("w", suffix=".cfg") as config:
        config.write(
            "global\n nbthread 1\ndefaults\n mode http\n timeout connect 5s\n timeout client 60s\n"
            " timeout server 60s\n http-reuse always\n option http-no-delay\n"
            f"listen bench\n bind 127.0.0.1:{HAPROXY_PORT}\n server u 127.0.0.1:{UPSTREAM_PORT}\n"
        )
        config.flush()
        process = pinned({GATEWAY_CORE}, ["haproxy", "-f", config.name])
        with running(process):
            wait_until_answers(f"http://127.0.0.1:{HAPROXY_PORT}")
            yield True


def wait_until_answers(url: str, key: str = "", seconds: float = 60, **headers: str) -> None:
    """Until a chat call gets its 200."""
    request = urllib.request.Request(
        f"{url}/v1/chat/completions",
        body_of("chat"),
        {"content-type": "application/json", "authorization": f"Bearer {key}", **headers},
    )
    deadline = time.monotonic() + seconds
    last: OSError | None = None
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(request, timeout=5):
                return
        except OSError as error:
            last = error
            time.sleep(0.005)
    raise SystemExit(f"{url} did not answer: {last}")


def resident_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def workers_of(pid: int) -> list[int]:
    """A supervisor's processes; itself, where there is one process only."""
    told = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in told] or [pid]
