"""wrk, which costs the load's core least: a closed loop, each connection asks again once it has its answer."""

import re
import subprocess
import tempfile
import time
from typing import NamedTuple

from . import servers
from .load import PATHS, body_of

_PLACE = "@@@@@@@@@@@@"


class Found(NamedTuple):
    per_second: float
    p50_ms: float
    p99_ms: float


def lua_of(
    body: str, *, key: str = "", fresh: bool, among: int = 0, prologue: str = "", bearer: str = ""
) -> str:
    """The script of a load. `fresh`: twelve of the body's x become a number that never comes again;
    `among`: one of so many numbers, by chance. `bearer`: a Lua expression for each call's key."""
    before, found, after = body.replace("x" * 12, _PLACE, 1).partition(_PLACE)
    before, after = (part.replace("\\", "\\\\").replace('"', '\\"') for part in (before, after))
    lua = (
        'wrk.method="POST"\nwrk.headers["content-type"]="application/json"\n'
        f'wrk.headers["authorization"]="Bearer {key}"\n'
        f"local at={int(time.time() * 1e6) % 10**11}\nmath.randomseed(at)\n"
        f'local before, after="{before}", "{after}"\n{prologue}'
    )
    if not found or not (fresh or among or bearer):
        return lua + f'wrk.body=before .. "{"y" * 12 if found else ""}" .. after\n'
    number = f"math.random({among})" if among else "at"
    step = "" if among or not fresh else "at = at + 1; "
    head = f'wrk.headers["authorization"]="Bearer " .. {bearer}; ' if bearer else ""
    return (
        f"{lua}request = function() {step}{head}return wrk.format(nil, nil, nil, "
        f'before .. string.format("%012d", {number}) .. after) end\n'
    )


def run(port: int, path: str, lua: str, connections: int, seconds: float) -> Found:
    """Fails unless every answer was a 2xx."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(lua)
        script.flush()
        done = subprocess.run(
            ["taskset", "-c", str(servers.LOAD_CORE), "wrk", "-t1", f"-c{connections}",
             f"-d{max(1, round(seconds))}s", "--timeout", "30s", "--latency", "-s", script.name,
             f"http://127.0.0.1:{port}{path}"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    return read(done.stdout)


def read(said: str) -> Found:
    """What wrk printed."""
    if "Non-2xx" in said:
        raise SystemExit(f"not every answer was a 200:\n{said}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    return Found(float(rate[1]) if rate else 0.0, _ms(said, "50%"), _ms(said, "99%"))


def _ms(said: str, which: str) -> float:
    found = re.search(rf"{which}\s+([\d.]+)(us|ms|s)", said)
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]] if found else 0.0


def ask(
    port: int, kind: str, connections: int, seconds: float, *, key: str = "", fresh: bool
) -> Found:
    lua = lua_of(body_of(kind).decode(), key=key, fresh=fresh)
    return run(port, PATHS[kind], lua, connections, seconds)
