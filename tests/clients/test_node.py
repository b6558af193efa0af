"""The official Node SDKs, unmodified. Slow, because npm installs them first: `make test-node`."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from .conftest import Process, start_gateway

HERE = Path(__file__).parent / "node"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        shutil.which("node") is None or shutil.which("npm") is None,
        reason="Node and npm are not on this machine",
    ),
]


@pytest.fixture(scope="module")
def installed() -> None:
    subprocess.run(
        ["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=HERE, check=True, timeout=300
    )


@pytest.mark.parametrize("model", ["gpt-4o", "claude-sonnet-4-5"])
@pytest.mark.parametrize(("script", "path"), [("openai.mjs", "/v1"), ("anthropic.mjs", "")])
@pytest.mark.usefixtures("installed")
def test_chat_stream_and_tools(gateway: Process, script: str, path: str, model: str) -> None:
    done = subprocess.run(
        ["node", script, gateway.url + path, model],
        cwd=HERE,
        capture_output=True,
        check=True,
        timeout=60,
    )
    said = json.loads(done.stdout)
    assert "Hello from Node" in said["whole"]
    assert said["streamed"] == said["whole"]
    assert said["tool"] == "get_weather"


@pytest.mark.parametrize("model", ["gpt-4o", "claude-sonnet-4-5"])
@pytest.mark.usefixtures("installed")
def test_vercels_ai_sdk(gateway: Process, model: str) -> None:
    done = subprocess.run(
        ["node", "vercel.mjs", gateway.url, model],
        cwd=HERE,
        capture_output=True,
        check=True,
        timeout=120,
    )
    said = json.loads(done.stdout)
    assert list(said["dialects"]) == ["chat", "responses", "compatible", "messages"]
    for dialect in said["dialects"].values():
        assert "Hello from Vercel" in dialect["whole"]
        assert dialect["streamed"] == dialect["whole"]
        assert dialect["usage"][0] == dialect["usage"][1] > 0
        assert dialect["tool"] == "get_weather"
        assert "sunny in example" in dialect["after"]
        assert dialect["structured"] == {"name": "example", "people": 1}
    assert (said["error"], said["dimensions"]) == (404, [1536, 1536])


@pytest.mark.usefixtures("installed")
def test_openais_sdk_beyond_chat(directory: Path) -> None:
    gateway = start_gateway(directory)
    try:
        done = subprocess.run(
            ["node", "openai_rest.mjs", gateway.url + "/v1"],
            cwd=HERE,
            capture_output=True,
            check=True,
            timeout=90,
        )
    finally:
        gateway.stop()
    said = json.loads(done.stdout)
    assert "Hello from Node" in said["response"]
    assert "sunny in example" in said["ran_tools"]
    assert "from a batch" in said["answered"]
    assert (said["dimensions"], said["batch"], said["heard"]) == ([1536] * 2, "completed", "string")
    assert said["error"] == "model"
    assert all(said.values()), said
