"""Other gateways, on the gateway's core, with the same provider and the same load. `python -m benchmarks.peers`
installs them.

Each in a directory of its own under PEERS_HOME (~/.cache/ai-gateway-peers), by its usual package client;
nothing of it is needed by anything else here. Each is set to be fast, as its documents say, and does only
what a plain relay needs: no keys, limits, ledger or log of its own.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from . import servers, wrk
from .load import PATHS, body_of
from .report.measure import Bench, Figures
from .upstream import CHAT_EVENTS

HOME = Path(os.environ.get("PEERS_HOME", Path.home() / ".cache/ai-gateway-peers"))
START_SECONDS = 120


class Peer(Struct, frozen=True, kw_only=True):
    name: str
    version: str
    settings: str
    """What it is set to, and what it does not do so, for the table."""
    port: int
    headers: Mapping[str, str] = {}
    """What its callers must send beside a call's usual ones."""


LITELLM = Peer(
    name="LiteLLM proxy",
    version="1.109.3",
    settings="one worker, `LITELLM_MODE=PRODUCTION`, log level ERROR, no spend logs, no retries; no key, "
    "no database; its optional enterprise and database packages not installed",
    port=19811,
)
PORTKEY = Peer(
    name="Portkey gateway",
    version="1.15.2",
    settings="on Node, headless; provider and address by header; no key, cache, limits or log",
    port=19812,
    headers={
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"http://127.0.0.1:{servers.UPSTREAM_PORT}/v1",
    },
)
PEERS = (LITELLM, PORTKEY)
NOT_MEASURED = (
    "Bifrost is not measured: no Go module proxy at hand served its module when this was made, "
    "and its npm package holds no gateway, but fetches one."
)
_LITELLM_CONFIG = f"""
model_list:
- model_name: gpt-4o-mini
  litellm_params:
    model: openai/gpt-4o-mini
    api_base: http://127.0.0.1:{servers.UPSTREAM_PORT}/v1
    api_key: bench
litellm_settings: {{telemetry: false, num_retries: 0, set_verbose: false}}
general_settings: {{disable_spend_logs: true, disable_error_logs: true}}
"""
_OPTIONAL = ("litellm-proxy-extras", "litellm-enterprise")
"""Packages that the proxy extra asks for and that are for its database and paid features."""


def install(peer: Peer) -> Path:
    """Its directory. Does nothing where it is installed."""
    home = HOME / peer.name.split()[0].lower()
    done = home / f"installed-{peer.version}"
    if done.exists():
        return home
    home.mkdir(parents=True, exist_ok=True)
    if peer is LITELLM:
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        left_out = home / "overrides.txt"
        left_out.write_text("".join(f"{name} ; python_version < '3'\n" for name in _OPTIONAL))
        subprocess.run(
            [str(Path(sys.executable).parent / "uv"), "pip", "install", "--quiet",
             "--python", str(home / "bin/python"), "--overrides", str(left_out),
             f"litellm[proxy]=={peer.version}"],
            check=True,
        )  # fmt: skip
    else:
        (home / "package.json").write_text(json.dumps({"name": "peer", "private": True}))
        subprocess.run(
            ["npm", "install", "--silent", f"@portkey-ai/gateway@{peer.version}"],
            check=True, cwd=home,
        )  # fmt: skip
    done.touch()
    return home


@contextmanager
def serving(peer: Peer) -> Generator[tuple[int, float], None, None]:
    """Its process, and the seconds until its first answer."""
    home = install(peer)
    with tempfile.TemporaryDirectory() as directory:
        if peer is LITELLM:
            config = Path(directory) / "config.yaml"
            config.write_text(_LITELLM_CONFIG)
            command = [
                str(home / "bin/python"), str(home / "bin/litellm"), "--config", str(config),
                "--host", "127.0.0.1", "--port", str(peer.port), "--num_workers", "1",
            ]  # fmt: skip
            environ = {
                "LITELLM_MODE": "PRODUCTION",
                "LITELLM_LOG": "ERROR",
                # It serves without a key only where told that it may.
                "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            }
        else:
            script = home / "node_modules/@portkey-ai/gateway/build/start-server.js"
            command = ["node", str(script), f"--port={peer.port}", "--headless"]
            environ = {"NODE_ENV": "production"}
        started = time.perf_counter()
        process = servers.pinned(
            {servers.GATEWAY_CORE}, command, **{**environ, "HOME": directory, "PYTHONPATH": ""}
        )
        with servers.running(process) as pid:
            servers.wait_until_answers(
                f"http://127.0.0.1:{peer.port}", "bench", START_SECONDS, **peer.headers
            )
            yield pid, time.perf_counter() - started


def ask(peer: Peer, kind: str, connections: int, seconds: float) -> wrk.Found:
    headers = "".join(f'wrk.headers["{name}"]="{text}"\n' for name, text in peer.headers.items())
    lua = wrk.lua_of(body_of(kind).decode(), key="bench", fresh=True, prologue=headers)
    return wrk.run(peer.port, PATHS[kind], lua, connections, seconds)


def measure(bench: Bench) -> Figures:
    """Peers in turn, and the gateway right beside them, everything off as theirs is."""
    found: Figures = defaultdict(list)
    for peer in PEERS:
        if peer is PORTKEY and shutil.which("node") is None:
            continue
        name = peer.name.split()[0].lower()
        with serving(peer) as (pid, taken):
            found[f"{name}/seconds"].append(taken)
            ask(peer, "chat", 32, max(2, bench.seconds))
            for _ in range(2):
                got = ask(peer, "chat", 32, max(2, bench.seconds))
                found[f"{name}/chat"].append(got.per_second)
                found[f"{name}/p50_ms"].append(got.p50_ms)
            found[f"{name}/chat_1"].append(ask(peer, "chat", 1, 2).per_second)
            try:
                got = ask(peer, "stream", 32, max(4, bench.seconds))
                found[f"{name}/chunks"].append(got.per_second * len(CHAT_EVENTS))
            except SystemExit:
                print(f"{peer.name} did not answer streams with 200", end=" ")
            found[f"{name}/mib"].append(servers.resident_kib(pid) / 1024)
        for which in ("off", "on"):
            with bench.gateway(which) as ours:
                bench.ask(ours, "chat", 32, fresh=True, seconds=1)
                found[f"ours/{which}/chat"].append(
                    bench.ask(ours, "chat", 32, fresh=True)[0].per_second
                )
                got, _ = bench.ask(ours, "stream", 32, fresh=True, seconds=1)
                found[f"ours/{which}/chunks"].append(got.per_second * len(CHAT_EVENTS))
                found[f"ours/{which}/mib"].append(servers.resident_kib(ours) / 1024)
    return found


if __name__ == "__main__":
    for each in PEERS:
        print(f"{each.name} {each.version}: {install(each)}")
